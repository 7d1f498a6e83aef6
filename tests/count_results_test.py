"""Tests of count_results.py: every way a test program can end is counted."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import count_results  # noqa: E402

FAILURE = "<failure message='x'/>"


class CountResultsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.reports = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def junit(self, **entries):
        body = "".join(f"<testcase name='{name}'>{inner}</testcase>" for name, inner in entries.items())
        (self.reports / "ctest.xml").write_text(f"<testsuite>{body}</testsuite>")

    def gtest(self, name, **cases):
        suite = [{"name": case, "status": "RUN", "result": "COMPLETED", **more}
                 for case, more in cases.items()]
        (self.reports / f"{name}.json").write_text(
            json.dumps({"testsuites": [{"name": "Suite", "testsuite": suite}]}))

    def test_cases_and_scripts_add_up(self):
        self.junit(base_test="", script="")
        self.gtest("base_test", A={}, B={}, C={"result": "SKIPPED"})
        self.assertEqual(count_results.count(self.reports), (3, [], 1))

    def test_failing_case_is_named(self):
        self.junit(base_test=FAILURE)
        self.gtest("base_test", A={}, B={"failures": [{"failure": "1 != 2"}]})
        self.assertEqual(count_results.count(self.reports), (1, ["Suite.B"], 0))

    def test_crash_without_report(self):
        self.junit(base_test=FAILURE)
        self.assertEqual(count_results.count(self.reports), (0, ["base_test"], 0))

    def test_crash_after_report(self):
        self.junit(base_test=FAILURE)
        self.gtest("base_test", A={})
        passed, failed, _ = count_results.count(self.reports)
        self.assertEqual((passed, len(failed)), (1, 1))

    def test_half_written_report(self):
        self.junit(base_test=FAILURE)
        (self.reports / "base_test.json").write_text('{"testsuites": [')
        passed, failed, _ = count_results.count(self.reports)
        self.assertEqual((passed, len(failed)), (0, 1))

    def test_exit_status(self):
        self.junit(script="")
        self.assertEqual(count_results.main([str(self.reports), "0"]), 0)
        self.assertEqual(count_results.main([str(self.reports), "8"]), 1)
        self.junit()
        self.assertEqual(count_results.main([str(self.reports), "0"]), 1)
        (self.reports / "ctest.xml").unlink()
        self.assertEqual(count_results.main([str(self.reports), "0"]), 1)


if __name__ == "__main__":
    unittest.main(buffer=True)
