// Pooling of f32 with the channels last, one output position at a time: the pieces of the pooling
// kernels. A tap is the row of channels at one input position of the window.
//
// Each element is computed by itself, over the taps in order, so that the bits do not depend on the
// instruction set.
#pragma once

#include <cstddef>

namespace ingot::cpu {

// The input positions of one window.
struct PoolTaps {
  const float* const* rows = nullptr;  // [count], each [channels]
  float* const* gradients = nullptr;   // the same rows of the gradient
  size_t count = 0;                    // at least 1
  size_t channels = 0;
  bool alone = false;  // no other window has these rows: their gradients are written, not added to
};

// y = the largest of the rows; NaN counts as larger than any number.
void MaxOfTaps(const PoolTaps& taps, float* y);
// Adds dy, for each channel, to the gradient of the first row that holds its largest element.
void MaxOfTapsGradient(const PoolTaps& taps, const float* dy);
// y = factor * the sum of the rows.
void SumOfTaps(const PoolTaps& taps, float factor, float* y);
// Adds factor * dy to the gradient of each row.
void SumOfTapsGradient(const PoolTaps& taps, float factor, const float* dy);

}  // namespace ingot::cpu
