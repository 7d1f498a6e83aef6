// Large f32 products on one thread: blocks over k that stay in cache, both sides packed into
// panels.
//
// Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), on the tile of
// tile_product.h. Sums go upwards in k, one chain for each element whatever the blocks, as in
// matmul.h: the two give the same bits, but for the sign of a zero where that one skips zeros.
#pragma once

#include <cstddef>

#include "backends/cpu/matmul.h"

namespace ingot::cpu {

// Whether a product of this shape is better blocked: a function of the shape alone.
bool IsBlockedProduct(size_t m, size_t n, size_t k, bool b_transposed);

size_t BlockedMatMulScratchFloats(size_t m, size_t n, size_t k);

// As MatMul; `scratch` has BlockedMatMulScratchFloats(...) floats, aligned to 64 bytes.
void BlockedMatMul(const MatMulArguments& arguments);

}  // namespace ingot::cpu
