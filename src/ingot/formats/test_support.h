// Helpers of the formats' tests: bytes from text and numbers, and back.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/file.h"
#include "ingot/base/test_error.h"
#include "ingot/base/test_folder.h"
#include "ingot/formats/bytes.h"

namespace ingot::formats {

inline Blob BlobOf(std::string_view text) {
  return CopyBlob(AsBytes(text));
}
inline Blob BlobOf(const std::vector<std::byte>& bytes) {
  return CopyBlob(bytes);
}

inline std::vector<std::byte> BytesOf(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

inline std::string TextOf(const std::vector<std::byte>& bytes) {
  return std::string(AsText(bytes));
}

}  // namespace ingot::formats
