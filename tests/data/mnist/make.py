#!/usr/bin/env python3
"""Makes this folder's files from the whole of MNIST: python3 make.py FOLDER_WITH_THE_FOUR_GZ_FILES

The first 2,000 training and the first 500 test samples, as gzipped IDX files without time stamps.
"""
import gzip
import pathlib
import struct
import sys

here = pathlib.Path(__file__).parent
for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
             "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
    data = gzip.decompress((pathlib.Path(sys.argv[1]) / name).read_bytes())
    count = 2000 if name.startswith("train") else 500
    rank = data[3]
    dims = struct.unpack(f">{rank}I", data[4:4 + 4 * rank])
    item = 1
    for dim in dims[1:]:
        item *= dim
    begin = 4 + 4 * rank
    cut = data[:4] + struct.pack(f">{rank}I", count, *dims[1:]) + data[begin:begin + count * item]
    (here / name).write_bytes(gzip.compress(cut, 9, mtime=0))
