// Depthwise convolutions of f32 as training needs them, channels last, on one thread: the product
// and the two products of its gradient.
//
// x [N, H, W, C], w [KH, KW, 1, C], y [N, OH, OW, C]. Every element is one chain of fused
// multiply-adds: of y and dx over the taps in row-major order, of dw over samples, then output
// positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/cpu/convolution.h"

namespace ingot::cpu {

// For every position along an axis the positions on the other side that it meets, and by which tap.
struct TapLists {
  struct Meeting {
    int64_t tap;
    int64_t other;
  };
  std::vector<Meeting> meetings;
  std::vector<size_t> begin;  // of each position's meetings, and their end
};
TapLists TapsOfOutputs(const ConvolutionAxis& axis);
TapLists TapsOfInputs(const ConvolutionAxis& axis);

// One sample: to[r, c, :] = (bias) + the sum over what position (r, c) meets of from * w.
// `from_columns`: positions in a row of `from`; `taps`: in a row of w.
struct DepthwiseGather {
  const TapLists* rows = nullptr;
  const TapLists* columns = nullptr;
  int64_t from_columns = 0;
  int64_t taps = 0;
  size_t channels = 0;
};
void GatherDepthwise(const DepthwiseGather& gather, const float* from, const float* w,
                     const float* bias, float* to);

// dw, of all samples.
void DepthwiseWeightGradient(const ConvolutionShape& shape, const float* x, const float* dy,
                             float* dw);

}  // namespace ingot::cpu
