"""Installs the build into a temporary prefix, then builds and runs a program against that alone.

usage: install_test.py BUILD_FOLDER SOURCE_FOLDER COMPILER
"""

import pathlib
import subprocess
import sys
import tempfile


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n")
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout


def main(build, source, compiler):
    with tempfile.TemporaryDirectory(prefix="ingot-install-") as folder:
        folder = pathlib.Path(folder)
        prefix, consumer = folder / "prefix", folder / "consumer"
        run("cmake", "--install", build, "--prefix", prefix)
        run("cmake", "-S", pathlib.Path(source) / "examples" / "custom_op", "-B", consumer, "-G",
            "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={compiler}")
        # Nothing of the source tree may be needed.
        for line in (consumer / "build.ninja").read_text().splitlines():
            if "INCLUDES" in line and str(pathlib.Path(source) / "src") in line:
                sys.exit(f"the installed package points into the source tree: {line}")
        run("cmake", "--build", consumer)
        print(run(consumer / "squared_relu"), end="")
        program = prefix / "bin" / "ingot"
        if program.exists():
            print(run(program, "--help").splitlines()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
