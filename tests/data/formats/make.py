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

# Pictures of 48 x 36 smooth pixels in the kinds of JPEG there are, and what Pillow reads of them.
y, x = np.mgrid[0:36, 0:48]
waves = np.dstack([127 + 100 * np.sin(x / 9), 127 + 100 * np.cos(y / 7), 2.5 * (x + y)]).clip(0, 255)
waves = Image.fromarray(waves.astype(np.uint8))
waves.save(here / "waves.png")
waves.save(here / "waves.jpg", quality=85)
waves.save(here / "waves_progressive.jpg", quality=85, progressive=True)
waves.convert("L").save(here / "waves_grey.jpg", quality=85)
waves.convert("CMYK").save(here / "waves_cmyk.jpg", quality=85)
for name in ("waves", "waves_progressive", "waves_grey", "waves_cmyk"):
    picture = Image.open(here / f"{name}.jpg")
    np.save(here / f"{name}.npy", np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture))
# Scaled by its triangle filter.
np.save(here / "waves_17x11.npy", np.asarray(waves.resize((17, 11), Image.BILINEAR)))
np.save(here / "waves_70x80.npy", np.asarray(waves.resize((70, 80), Image.BILINEAR)))
