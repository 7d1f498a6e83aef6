// Reading and writing integers in a stated byte order, and reversing the bytes of whole arrays.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace ingot::formats {

// Zero copy of stored values rests on this: the formats that are mapped are little endian.
static_assert(std::endian::native == std::endian::little, "Ingot needs a little endian machine");

// The caller guarantees sizeof(T) bytes at `p`; no alignment is needed.
template <std::unsigned_integral T>
T LoadLittle(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

template <std::unsigned_integral T>
T LoadBig(const std::byte* p) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>((value << 8) | std::to_integer<T>(p[i]));
  }
  return value;
}

template <std::unsigned_integral T>
void AppendLittle(std::vector<std::byte>& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

template <std::unsigned_integral T>
void AppendBig(std::vector<std::byte>& out, T value) {
  for (size_t i = sizeof(T); i > 0; --i) {
    out.push_back(static_cast<std::byte>(value >> (8 * (i - 1))));
  }
}

// Reverses the bytes of each item of `item_size` bytes; the span holds whole items.
inline void ReverseItems(std::span<std::byte> bytes, size_t item_size) {
  if (item_size < 2) return;
  for (size_t i = 0; i + item_size <= bytes.size(); i += item_size) {
    std::reverse(bytes.data() + i, bytes.data() + i + item_size);
  }
}

}  // namespace ingot::formats
