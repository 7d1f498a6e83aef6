"""Unpacks the Debian package into a root that holds nothing else but the libraries it depends on,
and runs the program there.

usage: package_test.py PACKAGE.deb
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}\n"
                 f"{done.stdout}{done.stderr}")
    return done.stdout


def libraries_of(binary):
    """Files that the dynamic linker loads for a program, the linker among them."""
    return re.findall(r"(/\S+) \(0x", run("ldd", binary))


def owners(files):
    """The Debian packages that the files belong to."""
    names = set()
    for file in files:
        for candidate in (file, file.removeprefix("/usr"), "/usr" + file, str(pathlib.Path(file).resolve())):
            done = subprocess.run(["dpkg", "-S", candidate], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                names.add(done.stdout.split(":")[0])
                break
    return names


def main(package):
    depends = run("dpkg-deb", "-f", package, "Depends")
    print(f"depends: {depends.strip()}")
    with tempfile.TemporaryDirectory(prefix="ingot-package-") as folder:
        root = pathlib.Path(folder)
        run("dpkg-deb", "-x", package, root)
        program = root / "usr" / "bin" / "ingot"
        own = list((root / "usr").glob("lib/**/libingot.so.*"))
        needed = {file for binary in [program, *own] for file in libraries_of(binary)
                  if not file.startswith(str(root))}
        declared = {re.split(r"[ (]", word.strip())[0] for word in depends.split(",")}
        # What a library needs in turn is its package's business.
        if not owners(needed) & declared:
            sys.exit(f"none of {sorted(owners(needed))} is among the package's dependencies")
        for file in needed:
            target = root / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target, follow_symlinks=True)
        said = run("chroot", root, "/usr/bin/ingot", "info")
        print(said.splitlines()[0])
        (root / "tmp").mkdir(exist_ok=True)
        job = pathlib.Path(root / "tmp" / "job.yaml")
        job.write_text("data: {source: {synthetic: {shape: [4], classes: 2, samples: 64}}, batch: 16}\n"
                       "model: {layers: [{dense: 2}]}\nloss: softmax_cross_entropy\n"
                       "optimizer: {sgd: {learning_rate: 0.1}}\nepochs: 1\n")
        run("chroot", root, "/usr/bin/ingot", "train", "/tmp/job.yaml", "--out", "/tmp/run",
            "--threads", "1")
        if not (root / "tmp" / "run" / "summary.json").is_file():
            sys.exit("the run in the clean root left no summary")
    print("the package runs in a clean root")


if __name__ == "__main__":
    main(*sys.argv[1:])
