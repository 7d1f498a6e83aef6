// The inference protocol's names of element types ("FP32", "BYTES", ...) and what they are here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/tensor/dtype.h"

namespace ingot::serve {

// DType::kUndefined where the protocol has no such name.
DType ParseWireType(std::string_view name);
// "" for types that the protocol cannot carry.
std::string_view WireName(DType type);
// The name in config.pbtxt: "TYPE_FP32".
std::string ConfigName(DType type);

// BYTES elements as they travel: a little-endian length of four bytes, then the bytes.
void AppendBytesElement(std::string_view element, std::string& out);
// Splits them; throws Error(kInvalidInput) where they are cut short or do not number `count`
// (`count` < 0: any number).
std::vector<std::string_view> SplitBytesElements(std::span<const std::byte> bytes, int64_t count);

// The most axes that a tensor of a request may have.
inline constexpr int kMaxRank = 16;

// The shape of a tensor in a request, without memory of its own.
struct Dims {
  int64_t extent[kMaxRank] = {};
  int rank = 0;

  std::span<const int64_t> span() const { return {extent, static_cast<size_t>(rank)}; }
  // Product of the extents; -1 where it overflows or an extent is negative.
  int64_t size() const;
  std::string ToString() const;  // "[1,784]"
};
Dims MakeDims(std::span<const int64_t> extents);
std::string ShapeText(std::span<const int64_t> dims);

}  // namespace ingot::serve
