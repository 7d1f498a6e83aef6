// Products of few rows with a transposed right side, on one thread: c = a * b^T as the transpose of
// b * a^T. The rows of b, which are many, are read where they stand, once and in order; what is
// packed is a. Sums go upwards in k, as in matmul.h: the same bits.
#pragma once

#include <cstddef>

#include "backends/cpu/matmul.h"

namespace ingot::cpu {

// Whether a product with b stored as [n, k] is better swapped: a function of the shape alone.
bool IsSwappedProduct(size_t m, size_t n, size_t k);

size_t SwappedMatMulScratchFloats(size_t m, size_t k);

// As MatMul with b_transposed and a_column_stride 1; `scratch` has SwappedMatMulScratchFloats(...)
// floats, aligned to 64 bytes.
void SwappedMatMul(const MatMulArguments& arguments);

}  // namespace ingot::cpu
