// Images as tensors of bytes: u8 [H, W, C] with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB,
// alpha). PNG here, JPEG in jpeg.h, and whichever of them a file is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/tensor/tensor.h"

namespace ingot::formats {

struct ImageLimits {
  int64_t pixels = 64 * 1024 * 1024;
};

struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;
};

// PNG or JPEG, as the first bytes say; `enough` as in ParseJpeg. Throws as those do, and
// Error(kUnsupported) for other image formats (which it names).
Tensor ParseImage(const Blob& blob, const std::string& name, const ImageLimits& limits = {},
                  ImageSize enough = {});
Tensor ReadImage(const std::string& path, const ImageLimits& limits = {});

// What ParseImage would say of a picture's size, from its header alone. Throws as that does, but
// for damage behind the header.
ImageSize ParseImageSize(const Blob& blob, const std::string& name, const ImageLimits& limits = {});

// Throws Error(kUnsupported) for more pixels than the limit.
void CheckPixels(const std::string& name, ImageSize size, const ImageLimits& limits);

// Reads a PNG of any colour type and depth, interlaced or not, with the channels that it has:
// palettes become RGB, 1, 2, 4 and 16 bits become 8. Nothing is allocated for pixels before the
// size has been compared with the limits and with the length of the file. Throws Error: kNotFound
// or kIo from the file, kCorrupt for damage, kInvalidInput above the limits, kUnsupported for other
// image formats (which it names).
Tensor ReadPng(const std::string& path, const ImageLimits& limits = {});

// The same from bytes; `name` is what messages call them.
Tensor ParsePng(const Blob& blob, const std::string& name, const ImageLimits& limits = {});

// To [H, W, channels], channels being 1 or 3. Alpha is laid over white paper. Grey is
// (299 R + 587 G + 114 B) / 1000 (ITU-R BT.601), rounded, on the stored values, as is usual in
// image data sets. Throws Error(kInvalidInput) for a tensor that is no image.
Tensor ConvertImage(const Tensor& image, int channels);

// Throws Error(kInvalidInput) for a tensor that is not u8 [H, W, 1 to 4] with H and W from 1.
std::vector<std::byte> EncodePng(const Tensor& image);

}  // namespace ingot::formats
