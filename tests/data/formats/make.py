#!/usr/bin/env python3
"""Makes this folder's files with the formats' own Python packages: safetensors, numpy, pillow."""
import io
import pathlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
weight = (np.arange(6, dtype=np.float32) / 2).reshape(2, 3)
ids = np.arange(100, dtype=np.int64)

save_file({"weight": weight,
           'naïve "name"': np.array([-1, 9], np.int16),
           "scalar": np.array(2.5, np.float64),
           "empty": np.zeros((0, 3), np.float16),
           "mask": np.array([True, False, True])},
          here / "reference.safetensors", metadata={"format": "np"})

np.save(here / "c_order.npy", weight)
counting = (np.arange(12) * 1000).reshape(2, 3, 2)
np.save(here / "fortran_big_endian.npy", np.asfortranarray(counting.astype(">i4")))
np.savez(here / "stored.npz", weight=weight, ids=ids)
np.savez_compressed(here / "compressed.npz", weight=weight, ids=ids)

# 5 wide, 3 high; every pixel of its own.
rgb = np.arange(45, dtype=np.uint8).reshape(3, 5, 3) * 5
grey = rgb[:, :, 0].copy()
alpha = np.dstack([rgb, np.full((3, 5), 51, np.uint8)])
Image.fromarray(rgb).save(here / "rgb.png")
Image.fromarray(grey).save(here / "grey.png")
Image.fromarray(alpha).save(here / "rgba.png")
Image.fromarray((grey > 100)).save(here / "one_bit.png")
Image.fromarray(rgb).quantize(16).save(here / "palette.png")
Image.fromarray(grey.astype(np.uint16) * 257).save(here / "grey16.png")
Image.fromarray(rgb).save(here / "photo.jpg")
