// Depthwise convolutions of f32 as training needs them, channels last, on one thread: the product
// and the two products of its gradient.
//
// x [N, H, W, C], w [KH, KW, 1, C], y [N, OH, OW, C]. Every element is one chain of fused
// multiply-adds: of dx over the taps in row-major order, of dw over samples, then output positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/cpu/convolution.h"

namespace ingot::cpu {

// For every input position along an axis the outputs that it reaches, and by which tap.
struct TapLists {
  struct Meeting {
    int64_t tap;
    int64_t output;
  };
  std::vector<Meeting> meetings;
  std::vector<size_t> begin;  // of each position's meetings, and their end
};
TapLists TapsOfInputs(const ConvolutionAxis& axis);

// dx. `rows` and `columns` are TapsOfInputs of the shape's axes.
void DepthwiseInputGradient(const ConvolutionShape& shape, const TapLists& rows,
                            const TapLists& columns, const float* dy, const float* w, float* dx);

// dw.
void DepthwiseWeightGradient(const ConvolutionShape& shape, const float* x, const float* dy,
                             float* dw);

}  // namespace ingot::cpu
