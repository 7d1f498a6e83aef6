// The tile and the packing of tile_product.h, for each instruction set.
#include "backends/cpu/tile_product.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/tile_product.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// The sums, the right vectors and a broadcast fill 16 registers, or most of 32.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kVectors = 4;
constexpr size_t kDepth = 192;
#else
constexpr int kVectors = 2;
constexpr size_t kDepth = 384;
#endif

// The first `count` lanes of memory, 0 beyond.
HWY_INLINE FloatVector LoadSome(const float* from, size_t count) {
  const FloatTag d;
  if (count >= hn::Lanes(d)) return hn::LoadU(d, from);
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)] = {};
  for (size_t i = 0; i < count; ++i) edge[i] = from[i];
  return hn::Load(d, edge);
}

HWY_INLINE void StoreSome(FloatVector value, float* to, size_t count) {
  const FloatTag d;
  if (count >= hn::Lanes(d)) {
    hn::StoreU(value, d, to);
    return;
  }
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(value, d, edge);
  for (size_t i = 0; i < count; ++i) to[i] = edge[i];
}

// Whole vectors and an activation that is known: all of it stays in registers.
template <Epilogue::Kind kKind, int MR, int NV>
HWY_INLINE void FinishWhole(const TileCall& call, FloatVector (&sum)[MR][NV]) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  if (call.bias != nullptr) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      const FloatVector bias = hn::LoadU(d, call.bias + static_cast<size_t>(j) * lanes);
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) sum[i][j] = hn::Add(sum[i][j], bias);
    }
  }
  if (call.residual != nullptr) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const float* residual = call.residual[i];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        sum[i][j] = hn::Add(sum[i][j], hn::LoadU(d, residual + static_cast<size_t>(j) * lanes));
      }
    }
  }
  Epilogue epilogue;
  if (kKind != Epilogue::Kind::kNone) epilogue = *call.epilogue;
  epilogue.kind = kKind;
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
    float* to = call.c[i];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      hn::StoreU(Activate(d, epilogue, sum[i][j], sum[i][j]), d,
                 to + static_cast<size_t>(j) * lanes);
    }
  }
}

// Part of a panel's columns, or a rarer activation. `sum`: rows by vectors. Apart from the tile,
// and through memory, so that there everything stays in registers.
HWY_NOINLINE void FinishSome(const TileCall& call, const FloatVector* sum, size_t rows,
                             size_t vectors) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t j = 0; j < vectors; ++j) {
    const size_t first = j * lanes;
    const size_t count = call.columns - std::min(call.columns, first);
    if (count == 0) return;
    const FloatVector bias =
        call.bias == nullptr ? hn::Zero(d) : LoadSome(call.bias + first, count);
    for (size_t i = 0; i < rows; ++i) {
      FloatVector value = sum[i * vectors + j];
      if (call.bias != nullptr) value = hn::Add(value, bias);
      if (call.residual != nullptr) {
        value = hn::Add(value, LoadSome(call.residual[i] + first, count));
      }
      if (call.epilogue != nullptr) {
        const FloatVector y = call.epilogue->kind == Epilogue::Kind::kReluGradient
                                  ? LoadSome(call.gradient_of[i] + first, count)
                                  : value;
        value = Activate(d, *call.epilogue, value, y);
      }
      StoreSome(value, call.c[i] + first, count);
    }
  }
}

// What a tile continues, where part of a panel's columns is used.
HWY_NOINLINE void StartSome(const TileCall& call, FloatVector* sum, size_t rows, size_t vectors) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < vectors; ++j) {
      const size_t first = j * lanes;
      const size_t count = call.columns - std::min(call.columns, first);
      sum[i * vectors + j] = count > 0 ? LoadSome(call.c[i] + first, count) : hn::Zero(d);
    }
  }
}

template <int MR, int NV>
HWY_INLINE void Start(const TileCall& call, FloatVector (&sum)[MR][NV]) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  if (!call.continues) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      hwy::Prefetch(call.c[i]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sum[i][j] = hn::Zero(d);
    }
  } else if (call.columns >= NV * lanes) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const float* from = call.c[i];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        sum[i][j] = hn::LoadU(d, from + static_cast<size_t>(j) * lanes);
      }
    }
  } else {
    FloatVector before[MR * NV];
    StartSome(call, before, MR, NV);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sum[i][j] = before[i * NV + j];
    }
  }
}

template <int MR, int NV>
HWY_INLINE void Finish(const TileCall& call, FloatVector (&sum)[MR][NV]) {
  if (call.columns >= NV * hn::Lanes(FloatTag())) {
    const auto kind = call.epilogue == nullptr ? Epilogue::Kind::kNone : call.epilogue->kind;
    if (kind == Epilogue::Kind::kNone) return FinishWhole<Epilogue::Kind::kNone>(call, sum);
    if (kind == Epilogue::Kind::kRelu) return FinishWhole<Epilogue::Kind::kRelu>(call, sum);
    if (kind == Epilogue::Kind::kClip) return FinishWhole<Epilogue::Kind::kClip>(call, sum);
  }
  FloatVector sums[MR * NV];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sums[i * NV + j] = sum[i][j];
  }
  FinishSome(call, sums, MR, NV);
}

template <int MR, int NV>
void RunTileProduct(const TileCall& call) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  FloatVector acc[MR][NV];
  Start(call, acc);
  const float* row[MR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) row[i] = call.a[i];
  const size_t b_row = call.b_row;
  const auto a_column = static_cast<ptrdiff_t>(call.a_column);
  for (size_t pair = 0; pair < call.pair_count; ++pair) {
    ptrdiff_t at = call.pairs[pair].a;
    const float* HWY_RESTRICT b = call.b + call.pairs[pair].b;
#pragma GCC unroll 4
    for (size_t p = 0; p < call.k; ++p) {
      FloatVector right[NV];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) right[j] = hn::LoadU(d, b + static_cast<size_t>(j) * lanes);
#pragma GCC unroll 32
      for (int i = 0; i < MR; ++i) {
        const FloatVector left = hn::Set(d, row[i][at]);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) acc[i][j] = hn::MulAdd(left, right[j], acc[i][j]);
      }
      at += a_column;
      b += b_row;
    }
  }
  Finish<MR, NV>(call, acc);
}

template <int MR, int P>
void RunWideProduct(const TileCall& call) {
  constexpr int NV = P * kVectors;
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  FloatVector acc[MR][NV];
  Start(call, acc);
  const auto a_column = static_cast<ptrdiff_t>(call.a_column);
  for (size_t pair = 0; pair < call.pair_count; ++pair) {
    ptrdiff_t at = call.pairs[pair].a;
    const float* HWY_RESTRICT b = call.b + call.pairs[pair].b;
    for (size_t p = 0; p < call.k; ++p) {
      FloatVector left[MR];
#pragma GCC unroll 4
      for (int i = 0; i < MR; ++i) left[i] = hn::Set(d, call.a[i][at]);
#pragma GCC unroll 4
      for (int panel = 0; panel < P; ++panel) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const FloatVector right = hn::LoadU(
              d, b + static_cast<size_t>(panel) * call.panel + static_cast<size_t>(v) * lanes);
#pragma GCC unroll 4
          for (int i = 0; i < MR; ++i) {
            acc[i][panel * kVectors + v] = hn::MulAdd(left[i], right, acc[i][panel * kVectors + v]);
          }
        }
      }
      at += a_column;
      b += call.b_row;
    }
  }
  Finish<MR, NV>(call, acc);
}

#if HWY_TARGET != HWY_SCALAR
// Eight columns (or as many as a vector of at most eight holds) of the transposed panel at a time:
// a square of that size is transposed in registers.
using SquareTag = hn::CappedTag<float, 8>;
using SquareVector = hn::Vec<SquareTag>;

template <size_t kLanes>
HWY_INLINE void TransposeSquare(SquareVector (&v)[kLanes]) {
  const SquareTag d;
  const hn::Repartition<double, SquareTag> dd;
  // 4x4 squares within blocks of 128 bits.
  for (size_t g = 0; g < kLanes; g += 4) {
    const auto low01 = hn::BitCast(dd, hn::InterleaveLower(d, v[g], v[g + 1]));
    const auto high01 = hn::BitCast(dd, hn::InterleaveUpper(d, v[g], v[g + 1]));
    const auto low23 = hn::BitCast(dd, hn::InterleaveLower(d, v[g + 2], v[g + 3]));
    const auto high23 = hn::BitCast(dd, hn::InterleaveUpper(d, v[g + 2], v[g + 3]));
    v[g] = hn::BitCast(d, hn::InterleaveLower(dd, low01, low23));
    v[g + 1] = hn::BitCast(d, hn::InterleaveUpper(dd, low01, low23));
    v[g + 2] = hn::BitCast(d, hn::InterleaveLower(dd, high01, high23));
    v[g + 3] = hn::BitCast(d, hn::InterleaveUpper(dd, high01, high23));
  }
#if HWY_MAX_BYTES >= 32
  if constexpr (kLanes == 8) {
    for (size_t i = 0; i < 4; ++i) {
      const SquareVector low = hn::ConcatLowerLower(d, v[i + 4], v[i]);
      v[i + 4] = hn::ConcatUpperUpper(d, v[i + 4], v[i]);
      v[i] = low;
    }
  }
#endif
}
#endif

void PackTransposedImpl(const float* from, size_t stride, size_t k, size_t columns, size_t width,
                        float* panel) {
#if HWY_MAX_BYTES >= 32
  constexpr size_t kLanes = 8;
#else
  constexpr size_t kLanes = 4;
#endif
  // A narrow panel is written from its first row on, so that what is written beyond a row is
  // replaced by the next; behind the first vector of a row that would destroy what stands there.
  for (size_t j = 0; j < width; j += kLanes) {
    const size_t here = std::min(kLanes, columns - std::min(columns, j));
    size_t p = 0;
#if HWY_TARGET != HWY_SCALAR
    const SquareTag d;
    const bool whole = j == 0 || j + kLanes <= width;
    for (; whole && p + kLanes <= k; p += kLanes) {
      SquareVector v[kLanes];
      for (size_t r = 0; r < kLanes; ++r) {
        v[r] = r < here ? hn::LoadU(d, from + (j + r) * stride + p) : hn::Zero(d);
      }
      TransposeSquare<kLanes>(v);
      for (size_t r = 0; r < kLanes; ++r) hn::StoreU(v[r], d, panel + (p + r) * width + j);
    }
#endif
    const size_t to = std::min(width - j, kLanes);
    for (; p < k; ++p) {
      for (size_t r = 0; r < to; ++r) {
        float value = 0;  // weights in a file may stand anywhere
        if (r < here) std::memcpy(&value, from + (j + r) * stride + p, sizeof(value));
        panel[p * width + j + r] = value;
      }
    }
  }
}

template <int MR>
void FillRow(TileSet& set) {
  set.run[MR - 1][0] = RunTileProduct<MR, 1>;
  set.run[MR - 1][1] = RunTileProduct<MR, 2>;
  if constexpr (kVectors == 4) {
    set.run[MR - 1][2] = RunTileProduct<MR, 3>;
    set.run[MR - 1][3] = RunTileProduct<MR, 4>;
  }
}

const TileSet* TilesImpl() {
  static const TileSet tiles = [] {
    TileSet set;
    set.lanes = hn::Lanes(FloatTag());
    set.vectors = kVectors;
    set.depth = kDepth;
    FillRow<1>(set);
    FillRow<2>(set);
    FillRow<3>(set);
    FillRow<4>(set);
    FillRow<5>(set);
    FillRow<6>(set);
    // The sums of one row fill half of the registers; those of three rows most of them.
    set.run_wide[0] = RunWideProduct<1, 8 / kVectors>;
    set.wide_panels[0] = 8 / kVectors;
    set.run_wide[1] = RunWideProduct<2, 2>;
    set.run_wide[2] = RunWideProduct<3, 2>;
    set.wide_panels[1] = set.wide_panels[2] = 2;
    set.pack_transposed = PackTransposedImpl;
    return set;
  }();
  return &tiles;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(TilesImpl);

const TileSet& Tiles() {
  return *HWY_DYNAMIC_DISPATCH(TilesImpl)();
}

namespace {

template <size_t kWidth>
void CopyRows(const float* from, size_t stride, size_t k, float* panel) {
  for (size_t p = 0; p < k; ++p) {
    std::memcpy(panel + p * kWidth, from + p * stride, kWidth * sizeof(float));
  }
}

}  // namespace

void PackRows(const float* from, size_t stride, size_t k, size_t columns, size_t width,
              float* panel) {
  if (columns == width) {
    switch (width) {
      case 4:
        return CopyRows<4>(from, stride, k, panel);
      case 5:
        return CopyRows<5>(from, stride, k, panel);
      case 6:
        return CopyRows<6>(from, stride, k, panel);
      case 8:
        return CopyRows<8>(from, stride, k, panel);
      case 16:
        return CopyRows<16>(from, stride, k, panel);
      case 32:
        return CopyRows<32>(from, stride, k, panel);
      case 64:
        return CopyRows<64>(from, stride, k, panel);
      default:
        break;
    }
  }
  for (size_t p = 0; p < k; ++p) {
    std::memcpy(panel + p * width, from + p * stride, columns * sizeof(float));
    std::fill(panel + p * width + columns, panel + (p + 1) * width, 0.0f);
  }
}

}  // namespace ingot::cpu
#endif
