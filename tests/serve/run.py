"""Runs the server's tests in a virtual environment of its own, with real clients from PyPI.

usage: run.py [test...], or run.py soak [SECONDS]; the environment is BUILD/venv-serve, made once. Where the packages
cannot be had, says so and passes: the C++ tests cover the server without them.
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", "build")).resolve()


def main():
    if not (BUILD / "ingot-serve").exists():
        print("skipped: this build has no ingot-serve")
        return 0
    environment = BUILD / "venv-serve"
    python = environment / "bin" / "python"
    stamp = environment / "complete"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        try:
            subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=300)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                            "-r", str(HERE / "requirements.txt")], check=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"skipped: the clients cannot be installed: {error}")
            return 0
        stamp.write_text(wanted)
    if sys.argv[1:2] == ["soak"]:
        return subprocess.run([str(python), str(HERE / "soak.py"), *sys.argv[2:]], check=False).returncode
    status = 0
    for test in sorted(HERE.glob("*_test.py")):
        status |= subprocess.run([str(python), str(test), *sys.argv[1:]], check=False).returncode
    return status


sys.exit(main())
