// Normalisation of rows of f32 and its gradient, on one thread.
//
// Sums over a row are in an order fixed by its length and the instruction set, sums over rows go
// downwards. Formulas: ingot/ops/families/layer_normalization.cc. Thread-safe; allocates nothing.
#pragma once

#include <cstddef>

namespace ingot::cpu {

struct RowNormalization {
  size_t rows = 0, length = 0;
  float epsilon = 0;
  bool centred = true;  // false: RMSNormalization
  const float* x = nullptr;
  const float* scale = nullptr;  // [length]
};

// y = h * scale + bias; bias, mean and inverse (one number a row) may be null.
void NormalizeRows(const RowNormalization& rows, const float* bias, float* y, float* mean,
                   float* inverse);

// d_bias may be null. dx may be dy.
void NormalizeRowsGradient(const RowNormalization& rows, const float* dy, float* dx, float* d_scale,
                           float* d_bias);

}  // namespace ingot::cpu
