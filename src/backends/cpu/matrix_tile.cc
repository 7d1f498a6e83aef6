// The tile of matrix_tile.h, for each instruction set.
#include "backends/cpu/matrix_tile.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/matrix_tile.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// How many rows ahead a right side is asked for that is read in place: a row takes some six cycles,
// the third-level cache a hundred.
constexpr size_t kAhead = 24;

// Bias and epilogue on a tile that was stored plainly, from there or from the edge's buffer: it is
// in the first-level cache still, and the registers stay with the sums.
HWY_NOINLINE void FinishRows(const MatrixTile& tile, size_t rows, const float* from,
                             size_t from_row) {
  const FloatTag d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  const auto finish = [&](auto tag, size_t i, size_t j) HWY_ATTR {
    const size_t at = i * tile.c_row + j;
    auto value = hn::LoadU(tag, from + i * from_row + j);
    if (tile.bias != nullptr) value = hn::Add(value, hn::LoadU(tag, tile.bias + j));
    if (tile.epilogue != nullptr) {
      const auto y = tile.epilogue->kind == Epilogue::Kind::kReluGradient
                         ? hn::LoadU(tag, tile.gradient_of + at)
                         : value;
      value = Activate(tag, *tile.epilogue, value, y);
    }
    hn::StoreU(value, tag, tile.c + at);
  };
  for (size_t i = 0; i < rows; ++i) {
    size_t j = 0;
    for (; j + lanes <= tile.columns; j += lanes) finish(d, i, j);
    for (; j < tile.columns; ++j) finish(one, i, j);
  }
}

template <int MR, int NV, bool kPacked, bool kPacks, bool kAsks>
HWY_INLINE void MultiplyTile(const MatrixTile& tile, FloatVector (&sum)[MR][NV]) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const size_t a_row = kPacked ? 1 : tile.a_row;
  const size_t a_column = kPacked ? MR : tile.a_column;
  const size_t b_row = kPacked && !kPacks ? NV * lanes : tile.b_row;
  // Rows are addressed from two of them, which leaves few pointers to move.
  constexpr int kHalf = 3;
  const float* HWY_RESTRICT a = tile.a;
  const float* HWY_RESTRICT a_high = tile.a + kHalf * a_row;
  const float* HWY_RESTRICT b = tile.b;
  const float* ahead = tile.ahead;
  float* HWY_RESTRICT panel = tile.packs;
#pragma GCC unroll 4
  for (size_t p = 0; p < tile.k; ++p) {
    FloatVector right[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) right[j] = hn::LoadU(d, b + static_cast<size_t>(j) * lanes);
    if constexpr (kPacks) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        hn::StoreU(right[j], d, panel + static_cast<size_t>(j) * lanes);
      }
      panel += NV * lanes;
      for (size_t j = 0; j < NV * lanes; j += 16) hwy::Prefetch(b + kAhead * b_row + j);
    } else if constexpr (kAsks) {
      if ((p & tile.ahead_mask) == 0) {
        for (size_t j = 0; j < NV * lanes; j += 16) hwy::Prefetch(ahead + j);
        ahead += tile.ahead_row;
      }
    }
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
      const FloatVector left =
          hn::Set(d, i < kHalf ? a[static_cast<size_t>(i) * a_row]
                               : a_high[static_cast<size_t>(i - kHalf) * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sum[i][j] = hn::MulAdd(left, right[j], sum[i][j]);
    }
    a += a_column;
    a_high += a_column;
    b += b_row;
  }
}

template <int MR, int NV, bool kPacked>
void RunMatrixTile(const MatrixTile& tile) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const size_t width = NV * lanes;
  HWY_ALIGN float edge[MR * NV * HWY_MAX_BYTES / sizeof(float)];
  const bool whole = tile.columns == width;
  float* const c = whole ? tile.c : edge;
  const size_t c_row = whole ? tile.c_row : width;
  if (tile.continues && !whole) {
    for (size_t i = 0; i < MR; ++i) {
      std::memcpy(edge + i * width, tile.c + i * tile.c_row, tile.columns * sizeof(float));
    }
  }
  FloatVector sum[MR][NV];
  if (tile.continues) {
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        sum[i][j] =
            hn::LoadU(d, c + static_cast<size_t>(i) * c_row + static_cast<size_t>(j) * lanes);
      }
    }
  } else {
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sum[i][j] = hn::Zero(d);
    }
  }
  if (tile.next_c != nullptr) {
    for (int i = 0; i < MR; ++i) {
      for (size_t j = 0; j < width; j += 16) {
        hwy::Prefetch(tile.next_c + static_cast<size_t>(i) * tile.c_row + j);
      }
    }
  }
  if (kPacked && tile.packs != nullptr) {
    MultiplyTile<MR, NV, kPacked, true, false>(tile, sum);
  } else if (kPacked && tile.ahead != nullptr) {
    MultiplyTile<MR, NV, kPacked, false, true>(tile, sum);
  } else {
    MultiplyTile<MR, NV, kPacked, false, false>(tile, sum);
  }
  if (!kPacked && tile.then != nullptr) {
    MultiplyTile<MR, NV, kPacked, false, false>(*tile.then, sum);
  }
  for (size_t s = 0; s < tile.added_count; ++s) {
    const float* const added = tile.added[s];
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        const size_t at = static_cast<size_t>(i) * width + static_cast<size_t>(j) * lanes;
        sum[i][j] = hn::Add(hn::LoadU(d, added + at), sum[i][j]);
      }
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      hn::StoreU(sum[i][j], d, c + static_cast<size_t>(i) * c_row + static_cast<size_t>(j) * lanes);
    }
  }
  if (!whole || tile.bias != nullptr || tile.epilogue != nullptr) FinishRows(tile, MR, c, c_row);
}

template <int MR, int NV>
void FillTile(MatrixTileSet& set) {
  set.packed[MR - 1][NV - 1] = RunMatrixTile<MR, NV, true>;
  set.strided[MR - 1][NV - 1] = RunMatrixTile<MR, NV, false>;
}

template <int MR>
void FillRows(MatrixTileSet& set) {
  FillTile<MR, 1>(set);
  FillTile<MR, 2>(set);
  if constexpr (kTileVectors == 4) {
    FillTile<MR, 3>(set);
    FillTile<MR, 4>(set);
  }
}

const MatrixTileSet* MatrixTilesImpl() {
  static const MatrixTileSet tiles = [] {
    MatrixTileSet set;
    set.finish = FinishRows;
    FillRows<1>(set);
    FillRows<2>(set);
    FillRows<3>(set);
    FillRows<4>(set);
    FillRows<5>(set);
    FillRows<6>(set);
    return set;
  }();
  return &tiles;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(MatrixTilesImpl);

const MatrixTileSet& MatrixTiles() {
  return *HWY_DYNAMIC_DISPATCH(MatrixTilesImpl)();
}

}  // namespace ingot::cpu
#endif
