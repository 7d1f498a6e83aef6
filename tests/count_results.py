"""Sums up a test run: one closing line 'N passed, N failed' that counts every test case.

usage: count_results.py REPORTS CTEST_STATUS

REPORTS holds ctest.xml (ctest's own JUnit report, one entry for each test program or script) and, for
each GoogleTest program, NAME.json. A program that failed without saying which case (it crashed, or
was stopped) counts as one failure. The exit status is 0 only when all passed and ctest said so too.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree


def cases_of(report):
    """(passed, failed names, skipped) of one GoogleTest JSON report."""
    passed, failed, skipped = 0, [], 0
    for suite in json.loads(report.read_text())["testsuites"]:
        for case in suite["testsuite"]:
            if case.get("status") != "RUN":
                continue
            if case.get("failures"):
                failed.append(f"{suite['name']}.{case['name']}")
            elif case.get("result") == "SKIPPED":
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


def count(reports):
    """The same for a whole run."""
    passed, failed, skipped = 0, [], 0
    for entry in xml.etree.ElementTree.parse(reports / "ctest.xml").getroot().iter("testcase"):
        name = entry.get("name")
        failed_here = entry.find("failure") is not None or entry.get("status") == "fail"
        skipped_here = entry.find("skipped") is not None or entry.get("status") == "notrun"
        report = reports / f"{name}.json"
        if report.exists():
            try:
                program = cases_of(report)
            except (ValueError, KeyError):
                program = (0, [f"{name} (its report is not readable)"], 0)
            passed += program[0]
            failed += program[1]
            skipped += program[2]
            if failed_here and not program[1]:
                failed.append(f"{name} (ended without a report of the failing case)")
        elif failed_here:
            failed.append(name)
        elif skipped_here:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    reports, ctest_status = pathlib.Path(arguments[0]), int(arguments[1])
    try:
        passed, failed, skipped = count(reports)
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        passed, failed, skipped = 0, [f"ctest left no report: {error}"], 0
    if ctest_status != 0 and not failed:
        failed.append(f"ctest itself (exit status {ctest_status})")
    if failed:
        print("\nfailed:")
        for name in failed:
            print(f"  {name}")
    line = f"{passed} passed, {len(failed)} failed"
    print(line + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
