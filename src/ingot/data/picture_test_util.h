// Small pictures for tests, as files.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/formats/bytes.h"
#include "ingot/formats/image.h"
#include "ingot/tensor/tensor.h"

namespace ingot::data {

// The JPEG, PNG and npy files beside the tests of the formats.
inline const std::string kFormatsFolder = INGOT_SOURCE_DIR "/tests/data/formats/";

// [height, width, 3] of value(y, x, channel).
inline Tensor MakePicture(int64_t height, int64_t width,
                          const std::function<int(int64_t, int64_t, int64_t)>& value) {
  Tensor picture(DType::kU8, Shape{height, width, 3});
  uint8_t* at = picture.data<uint8_t>().data();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < 3; ++c) *at++ = static_cast<uint8_t>(value(y, x, c));
    }
  }
  return picture;
}

inline std::string PngOf(const Tensor& picture) {
  const std::vector<std::byte> bytes = formats::EncodePng(picture);
  return std::string(formats::AsText(bytes));
}

// One colour: red, green and blue.
inline std::string PlainPng(int64_t height, int64_t width, int red, int green, int blue) {
  const int colour[] = {red, green, blue};
  return PngOf(
      MakePicture(height, width, [&colour](int64_t, int64_t, int64_t c) { return colour[c]; }));
}

}  // namespace ingot::data
