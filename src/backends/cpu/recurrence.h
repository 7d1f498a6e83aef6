// LSTM and GRU (linear_before_reset) layers of f32 on one thread, and backpropagation through time.
//
// A step is two products of the whole batch (with W and with R) and the gates. Gradients of weights
// add up over steps, from the last to the first, in chunks of a fixed number of rows. Sums go
// upwards in k. Thread-safe; allocates nothing.
#pragma once

#include <cstddef>

#include "ingot/ops/recurrence.h"

namespace ingot::cpu {

struct RecurrentForward {
  const float *x, *w, *r;
  const float *b, *h0, *c0;           // each may be null
  float *y, *last_h, *last_c, *kept;  // all but y may be null
};

size_t RecurrentScratchFloats(const ops::RecurrentSizes& sizes);
void RunRecurrent(const ops::RecurrentSizes& sizes, const RecurrentForward& operands,
                  float* scratch);

struct RecurrentBackward {
  const float *x, *w, *r, *h0, *c0, *y, *kept;  // states may be null
  const float *dy, *d_last_h, *d_last_c;        // each may be null
  float *dx, *dw, *dr, *db, *dh0, *dc0;         // dx may be null; dc0 null for a GRU
};

size_t RecurrentGradientScratchFloats(const ops::RecurrentSizes& sizes);
void RunRecurrentGradient(const ops::RecurrentSizes& sizes, const RecurrentBackward& operands,
                          float* scratch);

}  // namespace ingot::cpu
