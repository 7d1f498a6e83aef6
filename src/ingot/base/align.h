// Rounding sizes up to the alignment of memory that kernels see.
#pragma once

#include <cstdint>

namespace ingot {

// The next multiple of a cache line, 64 bytes.
constexpr uint64_t AlignUp(uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace ingot
