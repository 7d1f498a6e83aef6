#!/usr/bin/env python3
"""Makes NumPy arrays without NumPy: FOLDER/{train,test}_{x,y}.npy, points of two spirals.

usage: make.py FOLDER
"""
import math
import pathlib
import random
import struct
import sys


def write(path, dtype, letter, shape, values):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     struct.pack(f"<{len(values)}{letter}", *values))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for half, count in (("train", 1000), ("test", 200)):
        numbers = random.Random(half)
        points, labels = [], []
        for i in range(count):
            turn, label = numbers.uniform(0.5, 5), i % 2
            angle = turn + math.pi * label
            points += [turn * math.cos(angle) / 5 + numbers.gauss(0, 0.02),
                       turn * math.sin(angle) / 5 + numbers.gauss(0, 0.02)]
            labels.append(label)
        write(folder / f"{half}_x.npy", "<f4", "f", (count, 2), points)
        write(folder / f"{half}_y.npy", "<i8", "q", (count,), labels)


if __name__ == "__main__":
    main()
