// Products of f32 with weights of 4 or 8 bits in blocks that have a scale and a zero point
// (MatMulNBits): the weights stay as they are, and are widened in registers while they are read.
//
//   y[m, n] = bias[n] + sum over blocks b of k of scale[n, b] * (sum of x[m, k] * w[n, k] -
//             zero[n, b] * sum of x[m, k])
// Sums in a block go upwards in vectors, blocks upwards.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::cpu {

struct NarrowMatrix {
  const uint8_t* weights = nullptr;  // [n][blocks][block * bits / 8], low bits first
  const float* scales = nullptr;     // [n][blocks]
  const float* zeros = nullptr;      // [n][blocks]
  size_t n = 0, k = 0, block = 0, blocks = 0;
  int bits = 4;  // or 8
};

// Columns [begin, end) of the product with `rows` rows of x [rows, k]. Scratch: `rows` times
// NarrowScratchFloats(matrix), with what PrepareNarrow wrote for the same x.
void NarrowProduct(const NarrowMatrix& matrix, const float* scratch, size_t rows, size_t begin,
                   size_t end, const float* bias, float* y);

size_t NarrowScratchFloats(const NarrowMatrix& matrix);  // of a row
void PrepareNarrow(const NarrowMatrix& matrix, const float* x, size_t rows, float* scratch);

}  // namespace ingot::cpu
