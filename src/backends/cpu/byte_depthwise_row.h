// What a row of output of a depthwise convolution of bytes is made of, and the order of its taps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/byte_rows.h"
#include "backends/cpu/convolution.h"

namespace ingot::cpu {

inline bool IsThreeByThree(const ConvolutionShape& shape) {
  return shape.rows.kernel == 3 && shape.columns.kernel == 3;
}

// Where a tap stands among those that are multiplied two at once. Of three by three the upper two
// of each column go together: so they are once made ready for all positions that meet the column.
inline size_t DepthwiseSlot(const ConvolutionShape& shape, size_t tap) {
  constexpr size_t kOfThree[] = {0, 2, 4, 1, 3, 5, 6, 7, 8};
  return IsThreeByThree(shape) ? kOfThree[tap] : tap;
}

// One row of output.
struct ByteDepthwiseRow {
  const ConvolutionShape* shape = nullptr;
  const std::byte* sample = nullptr;  // of x
  int64_t row = 0;
  bool is_signed = false;
  const std::byte* beyond = nullptr;  // [channels], zero points
  const int16_t* w = nullptr;      // [blocks][pairs][kDepthwiseBlock][2], in DepthwiseSlot's order
  const int32_t* start = nullptr;  // [blocks][kDepthwiseBlock]
  ByteFinish finish;               // its scale and offset likewise
  int64_t taps_count = 0;          // even
  const std::byte** taps = nullptr;  // scratch: [taps_count]
  int64_t* steps = nullptr;          // scratch: [taps_count]
  std::byte* to = nullptr;
};

}  // namespace ingot::cpu
