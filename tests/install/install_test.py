"""Installs the build into a temporary prefix, then builds and runs a program against that alone.

usage: install_test.py BUILD_FOLDER SOURCE_FOLDER COMPILER
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile


def run(*command, environment=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False, env=environment)
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n")
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout


def check_c_interface(folder, prefix, source, compiler):
    """The C example by pkg-config and by CMake, with libingot alone."""
    libraries = next(prefix.glob("lib*/**/pkgconfig")).parent
    environment = dict(os.environ, PKG_CONFIG_PATH=str(libraries / "pkgconfig"),
                       LD_LIBRARY_PATH=str(libraries))
    flags = run("pkg-config", "--cflags", "--libs", "ingot", environment=environment).split()
    example = source / "examples" / "c"
    for program in folder / "by_pkg_config", folder / "by_cmake" / "run_model":
        if program.name == "by_pkg_config":
            run("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", example / "run_model.c", *flags,
                "-o", program)
        else:
            run("cmake", "-S", example, "-B", program.parent, "-G", "Ninja",
                f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={compiler}")
            run("cmake", "--build", program.parent)
        said = run(program, environment=environment)
        print(said, end="")
        version = re.search(r"VERSION ([0-9.]+)", (source / "CMakeLists.txt").read_text()
                            .split("project(", 1)[1])[1]
        if f"ingot {version}, C interface 1" not in said or "16 steps, loss" not in said:
            sys.exit(f"the C example said: {said}")
        model = source / "tests" / "data" / "models" / "mobilenet_blocks.dynamo.onnx"
        print(run(program, model, environment=environment), end="")


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
        check_c_interface(folder, prefix, pathlib.Path(source), compiler)
        program = prefix / "bin" / "ingot"
        if program.exists():
            print(run(program, "--help").splitlines()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
