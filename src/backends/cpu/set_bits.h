// The places of the bits that are set in a byte, and their number: a table for turning masks of
// lanes into lists without branches.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ingot::cpu {

struct SetBits {
  std::array<std::array<uint8_t, 8>, 256> places{};  // upwards; 0 beyond `count`
  std::array<uint8_t, 256> count{};
};

constexpr SetBits MakeSetBits() {
  SetBits table;
  for (size_t byte = 0; byte < 256; ++byte) {
    for (uint8_t bit = 0; bit < 8; ++bit) {
      if ((byte >> bit & 1) != 0) table.places[byte][table.count[byte]++] = bit;
    }
  }
  return table;
}

inline constexpr SetBits kSetBits = MakeSetBits();

}  // namespace ingot::cpu
