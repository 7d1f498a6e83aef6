// Matrix products of f32 on one thread: the register-tiled kernels of the CPU backend.
//
// Compiled for every instruction set that Highway knows and dispatched at run time. The order of
// every sum is fixed by the shapes and the instruction set: sums over k go upwards in k, with fused
// multiply-add where the instruction set has it. Left factors that are zero throughout a tile may
// be skipped, which keeps the bits (but for the sign of a zero) as long as the right side is
// finite; a training step stops before parameters become infinite or NaN. What is skipped depends
// on values and shapes alone, so equal inputs give equal bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/activation.h"

namespace ingot::cpu {

// No vector of these kernels holds more f32 than this, whatever the instruction set.
inline constexpr size_t kMostLanes = 16;
// The columns of the widest panel of any instruction set: four such vectors.
inline constexpr size_t kWidestPanel = 4 * kMostLanes;

// c[m, n] = epilogue(sum_k a[m, k] * b[k, n] + bias[n]), row-major, strides in elements.
struct MatMulArguments {
  const float* a = nullptr;
  size_t a_row_stride = 0;     // from a[m, k] to a[m + 1, k]
  size_t a_column_stride = 1;  // from a[m, k] to a[m, k + 1]; not 1 for a transposed a
  const float* b = nullptr;
  size_t b_stride = 0;        // from b[k, n] to b[k + 1, n]
  bool b_transposed = false;  // b is stored as [n, k], b_stride from one n to the next
  float* c = nullptr;
  size_t c_stride = 0;
  size_t m = 0, n = 0, k = 0;
  const float* bias = nullptr;  // [n], or null
  Epilogue epilogue;
  const float* gradient_of = nullptr;  // y[m, n] with c's stride, for Epilogue kReluGradient
  float* scratch = nullptr;            // MatMulScratchFloats(...) floats, aligned to 64 bytes
};

// Words of scratch for a list of up to `count` indices, its length and the entries that are written
// beyond.
constexpr size_t ListWords(size_t count) {
  return (count + kMostLanes + 32 + 15) / 16 * 16;
}

size_t MatMulScratchFloats(size_t n, size_t k, bool b_transposed);

void MatMul(const MatMulArguments& arguments);
// Whether so many columns of the left side are zero in its first rows that MatMul, which skips
// those, is best whatever the shape.
bool HasManyZeroColumns(const MatMulArguments& arguments);

// One shard's part of a weight gradient: x [rows, m], d [rows, n].
struct ShardProduct {
  const float* x = nullptr;
  size_t x_stride = 0;
  const float* d = nullptr;
  size_t d_stride = 0;
  size_t rows = 0;
  const uint8_t* bytes = nullptr;  // x as bytes with x's stride, in its place
};

// Bytes are looked at so many columns at a time, and 32 rows of a shard.
inline constexpr size_t kByteColumns = 16;
constexpr size_t ByteWords(size_t rows) {
  return (rows + 31) / 32;
}

// out[i - begin, j] = sum over shards (by the fixed tree) of sum over rows of x[row, i] * d[row,
// j], for i in [begin, end) and j in [0, n): the rows [begin, end) of a weight gradient [m, n],
// dense. Where x are bytes, in all shards, each stands for `byte_scale` times itself in f32.
// `scratch`: ShardMatMulScratchFloats(...) floats, aligned to 64 bytes.
void ShardMatMulTile(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n,
                     float* out, float* scratch, float byte_scale = 1);
size_t ShardMatMulScratchFloats(size_t shards, size_t largest_rows, size_t n, bool bytes = false);

// out[r, c] = x[r * stride + c] * scale in f32, r < rows and c < columns; out is dense.
void WidenBytes(const uint8_t* x, size_t stride, size_t rows, size_t columns, float scale,
                float* out);

// out[i] = the tree sum over s of parts[s][i], i < count.
void TreeSum(std::span<const float* const> parts, size_t count, float* out);

}  // namespace ingot::cpu
