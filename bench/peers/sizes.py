"""Prints the installed size in bytes of a distribution with all that it depends on, as JSON.

usage: sizes.py DISTRIBUTION...; run by the Python of the environment that holds one of them, of which
the first counts. "gpu" is the part that serves GPUs only (packages named nvidia-*, cuda-* and triton),
which PyPI's torch brings along.
"""

import importlib.metadata
import json
import re
import sys

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
GPU = re.compile(r"^(nvidia[-_]|cuda[-_]|triton$)")


def is_needed(requirement):
    """False for extras; other markers (platform, version) are decided by what is installed."""
    return "extra ==" not in requirement.partition(";")[2]


def closure(name, found):
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return  # a marker that does not hold here
    key = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
    if key in found:
        return
    size = 0
    for file in distribution.files or []:
        path = file.locate()
        size += path.stat().st_size if path.is_file() else 0
    found[key] = size
    for requirement in distribution.requires or []:
        if is_needed(requirement):
            closure(NAME.match(requirement).group(), found)


if __name__ == "__main__":
    sizes = {}
    for name in sys.argv[1:]:
        if not sizes:
            closure(name, sizes)
    gpu = sum(size for name, size in sizes.items() if GPU.match(name))
    print(json.dumps({"bytes": sum(sizes.values()), "gpu": gpu}))
