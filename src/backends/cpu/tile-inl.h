// The register tile: MR rows by NV vectors of a product, accumulated over k. Included once for each
// instruction set, from within the namespace of that target.
#if defined(INGOT_BACKENDS_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_TILE_INL_H_
#undef INGOT_BACKENDS_CPU_TILE_INL_H_
#else
#define INGOT_BACKENDS_CPU_TILE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "backends/cpu/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, kMostLanes>;
using FloatVector = hn::Vec<FloatTag>;

// 16 sums, 4 right vectors and a broadcast fit 32 registers; 16 registers hold half of the sums.
constexpr int kTileRows = 4;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 2;
#endif
template <int MR, int NV>
struct TileSum {
  FloatVector v[MR][NV];
};

// sum[i][j] = (kAccumulate ? sum[i][j] : 0) + sum over p < k, upwards, of
//   a[i * a_row + p * a_column] * b[p * b_row + j * lanes ...].
// Weights that another core has just written come from memory: kAhead (0: none) asks for the lines
// of `b` so many rows ahead.
template <int MR, int NV, size_t kAhead = 0>
HWY_INLINE void Accumulate(const float* HWY_RESTRICT a, size_t a_row, size_t a_column,
                           const float* HWY_RESTRICT b, size_t b_row, size_t k,
                           TileSum<MR, NV>& sum) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  FloatVector acc[MR][NV];
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) acc[i][j] = hn::Zero(d);
  }
  for (size_t p = 0; p < k; ++p) {
    FloatVector right[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) right[j] = hn::LoadU(d, b + static_cast<size_t>(j) * lanes);
    if (kAhead > 0) {
      hwy::Prefetch(b + kAhead * b_row);
      if (NV > 1) hwy::Prefetch(b + kAhead * b_row + 16);
    }
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
      const FloatVector left = hn::Set(d, a[static_cast<size_t>(i) * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) acc[i][j] = hn::MulAdd(left, right[j], acc[i][j]);
    }
    a += a_column;
    b += b_row;
  }
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sum.v[i][j] = acc[i][j];
  }
}

// The same over the k in `list` alone, upwards. Where the left factors of every other k are zero
// and the right ones finite, the result is the same to the bit, but for the sign of a zero: x + 0 *
// y is x, except that -0 (a product that underflowed) would become +0.
template <int MR, int NV, size_t kAhead = 0>
HWY_INLINE void AccumulateListed(const float* HWY_RESTRICT a, size_t a_row, size_t a_column,
                                 const float* HWY_RESTRICT b, size_t b_row,
                                 const uint32_t* HWY_RESTRICT list, size_t count,
                                 TileSum<MR, NV>& sum) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  FloatVector acc[MR][NV];
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) acc[i][j] = hn::Zero(d);
  }
  for (size_t p = 0; p < count; ++p) {
    const size_t k = list[p];
    const float* right_row = b + k * b_row;
    const float* left_column = a + k * a_column;
    FloatVector right[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      right[j] = hn::LoadU(d, right_row + static_cast<size_t>(j) * lanes);
    }
    if (kAhead > 0) {  // the list is padded by so many
      const float* later = b + static_cast<size_t>(list[p + kAhead]) * b_row;
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) hwy::Prefetch(later + static_cast<size_t>(j) * lanes);
    }
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
      const FloatVector left = hn::Set(d, left_column[static_cast<size_t>(i) * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) acc[i][j] = hn::MulAdd(left, right[j], acc[i][j]);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sum.v[i][j] = acc[i][j];
  }
}

// Copies b[0..k)[0..columns) into panel[k][width], zero beyond `columns`.
HWY_INLINE void PackPanel(const float* b, size_t b_stride, bool transposed, size_t k,
                          size_t columns, size_t width, float* HWY_RESTRICT panel) {
  for (size_t p = 0; p < k; ++p) {
    float* row = panel + p * width;
    if (transposed) {
      for (size_t j = 0; j < columns; ++j) row[j] = b[j * b_stride + p];
    } else {
      for (size_t j = 0; j < columns; ++j) row[j] = b[p * b_stride + j];
    }
    for (size_t j = columns; j < width; ++j) row[j] = 0;
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
