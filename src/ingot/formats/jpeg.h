// JPEG images as tensors of bytes: u8 [H, W, C] with C = 1 (grey) or 3 (RGB).
#pragma once

#include <string>

#include "ingot/formats/bytes.h"
#include "ingot/formats/image.h"
#include "ingot/tensor/tensor.h"

namespace ingot::formats {

bool IsJpeg(std::span<const std::byte> bytes);

// Baseline and progressive JPEG of 8 bits, grey, YCbCr, RGB, or CMYK (taken as Adobe writes it,
// inverted). Marks of orientation are not looked at. With `enough`, a larger picture is decoded at
// the smallest of 1, 1/2, 1/4 and 1/8 of its size that is not below it in height nor in width,
// which costs much less. Nothing is allocated for pixels before the size has been compared with the
// limits. Throws Error: kCorrupt for damage and truncation, kInvalidInput above the limits,
// kUnsupported for kinds of JPEG that are not read; `name` is what messages call the bytes.
Tensor ParseJpeg(const Blob& blob, const std::string& name, const ImageLimits& limits = {},
                 ImageSize enough = {});

// What the header says.
ImageSize ParseJpegSize(const Blob& blob, const std::string& name, const ImageLimits& limits = {});

}  // namespace ingot::formats
