// The register tile: MR rows by NV vectors of a product, accumulated over k. Included once for each
// instruction set, from within the namespace of that target.
#if defined(INGOT_BACKENDS_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_TILE_INL_H_
#undef INGOT_BACKENDS_CPU_TILE_INL_H_
#else
#define INGOT_BACKENDS_CPU_TILE_INL_H_
#endif

#include <cstddef>

#include "backends/cpu/matmul.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, kMostLanes>;
using FloatVector = hn::Vec<FloatTag>;

template <int MR, int NV>
struct TileSum {
  FloatVector v[MR][NV];
};

// sum[i][j] = (kAccumulate ? sum[i][j] : 0) + sum over p < k, upwards, of
//   a[i * a_row + p * a_column] * b[p * b_row + j * lanes ...].
// Weights that another core has just written come from memory: kAhead (0: none) asks for the lines of
// `b` so many rows ahead. With kNextRows the line of `a` that the next tile of rows will read is
// asked for.
template <int MR, int NV, bool kNextRows = false, size_t kAhead = 0>
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
    if (kNextRows) hwy::Prefetch(a + 16);
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

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
