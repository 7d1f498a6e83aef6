#!/usr/bin/env python3
"""Makes small pictures of shapes, with Python's standard library: FOLDER/{train,test}/CLASS/*.png,
and the same in tar shards: FOLDER/train-{0..2}.tar, FOLDER/test-0.tar.

usage: make.py FOLDER
"""
import io
import pathlib
import random
import struct
import sys
import tarfile
import zlib

SIZE = 32
CLASSES = ("circle", "cross", "square")


def png(rows):
    """A PNG of rows of (red, green, blue)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pixels = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def inside(shape, x, y, radius):
    if shape == "circle":
        return x * x + y * y <= radius * radius
    if shape == "square":
        return max(abs(x), abs(y)) <= radius * 0.85
    return min(abs(x), abs(y)) <= radius * 0.3 and max(abs(x), abs(y)) <= radius


def picture(shape, numbers):
    radius = numbers.uniform(6, 11)
    middle = [numbers.uniform(radius, SIZE - radius) for _ in range(2)]
    ink = [numbers.randint(120, 255) for _ in range(3)]
    paper = [numbers.randint(0, 90) for _ in range(3)]
    return png([[[min(255, max(0, value + numbers.randint(-15, 15)))
                  for value in (ink if inside(shape, x - middle[0], y - middle[1], radius) else paper)]
                 for x in range(SIZE)] for y in range(SIZE)])


def add(shard, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    shard.addfile(entry, io.BytesIO(data))


def main():
    folder = pathlib.Path(sys.argv[1])
    for half, count, shards in (("train", 120, 3), ("test", 30, 1)):
        (folder / half).mkdir(parents=True, exist_ok=True)
        tars = [tarfile.open(folder / f"{half}-{s}.tar", "w") for s in range(shards)]
        for shape in CLASSES:
            numbers = random.Random(f"{half} {shape}")
            place = folder / half / shape
            place.mkdir(exist_ok=True)
            for i in range(count):
                data = picture(shape, numbers)
                (place / f"{i:03}.png").write_bytes(data)
                add(tars[i % shards], f"{shape}/{i:03}.png", data)
                add(tars[i % shards], f"{shape}/{i:03}.txt", shape.encode())
        for shard in tars:
            shard.close()


if __name__ == "__main__":
    main()
