// Integer tiles and the conversions around them, for every instruction set; with AVX-512 VNNI two
// products and their sum are one instruction.
#include "backends/cpu/pair_tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/pair_tiles.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/requantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kPairVectors = 4;
constexpr size_t kPairDepth = 192;
#else
constexpr int kPairVectors = 2;
constexpr size_t kPairDepth = 320;
#endif

// P panels of V vectors.
template <bool kVnni, int MR, int P, int V>
void RunPairs(const TileCall& call) {
  constexpr int NV = P * V;
  const IntTag d;
  const size_t lanes = hn::Lanes(d);
  IntVector acc[MR][NV];
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < NV; ++j) {
      const size_t first = static_cast<size_t>(j) * lanes;
      const bool there = call.continues && call.columns > first;
      acc[i][j] = there ? LoadSums(call.c[i] + first, call.columns - first) : hn::Zero(d);
    }
  }
  const auto a_column = static_cast<ptrdiff_t>(call.a_column);
  for (size_t pair = 0; pair < call.pair_count; ++pair) {
    ptrdiff_t at = call.pairs[pair].a;
    const auto* HWY_RESTRICT b = reinterpret_cast<const int32_t*>(call.b + call.pairs[pair].b);
#pragma GCC unroll 2
    for (size_t p = 0; p < call.k; ++p) {
      IntVector right[NV];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        const size_t panel = static_cast<size_t>(j / V), vector = static_cast<size_t>(j % V);
        right[j] = hn::LoadU(d, b + panel * call.panel + vector * lanes);
      }
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        int32_t bits;
        std::memcpy(&bits, call.a[i] + at, 4);
        const IntVector left = hn::Set(d, bits);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) acc[i][j] = AddPairs<kVnni>(left, right[j], acc[i][j]);
      }
      at += a_column;
      b += call.b_row;
    }
  }
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < NV; ++j) {
      const size_t first = static_cast<size_t>(j) * lanes;
      if (call.columns > first) StoreSums(acc[i][j], call.c[i] + first, call.columns - first);
    }
  }
}

template <bool kVnni, int MR>
void FillPairRow(TileSet& set) {
  set.run[MR - 1][0] = RunPairs<kVnni, MR, 1, 1>;
  set.run[MR - 1][1] = RunPairs<kVnni, MR, 1, 2>;
  if constexpr (kPairVectors == 4) {
    set.run[MR - 1][2] = RunPairs<kVnni, MR, 1, 3>;
    set.run[MR - 1][3] = RunPairs<kVnni, MR, 1, 4>;
  }
}

template <bool kVnni>
TileSet MakePairTiles() {
  TileSet set;
  set.lanes = hn::Lanes(IntTag());
  set.vectors = kPairVectors;
  set.depth = kPairDepth;
  FillPairRow<kVnni, 1>(set);
  FillPairRow<kVnni, 2>(set);
  FillPairRow<kVnni, 3>(set);
  FillPairRow<kVnni, 4>(set);
  FillPairRow<kVnni, 5>(set);
  FillPairRow<kVnni, 6>(set);
  set.run_wide[0] = RunPairs<kVnni, 1, 8 / kPairVectors, kPairVectors>;
  set.wide_panels[0] = 8 / kPairVectors;
  set.run_wide[1] = RunPairs<kVnni, 2, 2, kPairVectors>;
  set.run_wide[2] = RunPairs<kVnni, 3, 2, kPairVectors>;
  set.wide_panels[1] = set.wide_panels[2] = 2;
  return set;
}

const TileSet* PairTilesImpl() {
#if HWY_TARGET == HWY_AVX3
  static const TileSet tiles =
      __builtin_cpu_supports("avx512vnni") ? MakePairTiles<true>() : MakePairTiles<false>();
#else
  static const TileSet tiles = MakePairTiles<false>();
#endif
  return &tiles;
}

template <typename T>
void Widen(const T* from, int32_t zero, int64_t count, uint32_t* to) {
  auto* out = reinterpret_cast<int16_t*>(to);
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<T, hn::ScalableTag<int16_t>> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto zeros = hn::Set(d, static_cast<int16_t>(zero));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, from + i)), zeros), d, out + i);
  }
  for (; i < count; ++i) out[i] = static_cast<int16_t>(from[i] - zero);
  if (count % 2 != 0) out[count] = 0;
}

void WidenBytesImpl(const void* from, bool is_signed, int32_t zero, int64_t rows, int64_t count,
                    uint32_t* to) {
  if (count % 2 == 0) {  // no gaps
    count *= rows;
    rows = 1;
  }
  const int64_t pairs = (count + 1) / 2;
  for (int64_t row = 0; row < rows; ++row, to += pairs) {
    if (is_signed) {
      Widen(static_cast<const int8_t*>(from) + row * count, zero, count, to);
    } else {
      Widen(static_cast<const uint8_t*>(from) + row * count, zero, count, to);
    }
  }
}

template <typename T, bool kBias, bool kActivates>
void RequantizeRows(const RequantizeCall& call) {
  const IntTag d;
  const FTag df;
  const auto columns = static_cast<size_t>(call.columns);
  const size_t lanes = hn::Lanes(d);
  const IntVector zero = hn::Set(d, call.zero);
  const auto requantize = [&](size_t first, size_t j, size_t here) HWY_ATTR {
    IntVector sum;
    if (call.exact_sums != nullptr) {
      sum = hn::ConvertTo(d, LoadFloats(call.exact_sums + first + j, here));
    } else {
      sum = LoadSums(reinterpret_cast<const float*>(call.sums + first + j), here);
    }
    if (kBias) sum = hn::Add(sum, LoadSums(reinterpret_cast<const float*>(call.bias + j), here));
    FVector value = hn::Mul(hn::ConvertTo(df, sum), LoadFloats(call.scale + j, here));
    if (kActivates) {
      if (call.offset != nullptr) value = hn::Add(value, LoadFloats(call.offset + j, here));
      value = Activate(df, call.epilogue, value, value);
    }
    if constexpr (sizeof(T) == 1) {
      StoreBytes(value, zero, static_cast<T*>(call.to) + first + j, here);
    } else {
      StoreFloats(value, static_cast<float*>(call.to) + first + j, here);
    }
  };
  for (int64_t row = 0; row < call.rows; ++row) {
    const auto first = static_cast<size_t>(row * call.columns);
    size_t j = 0;
    for (; j + lanes <= columns; j += lanes) requantize(first, j, lanes);
    if (j < columns) requantize(first, j, columns - j);
  }
}

template <typename T>
void RequantizeTo(const RequantizeCall& call) {
  const bool activates = call.offset != nullptr || call.epilogue.kind != Epilogue::Kind::kNone;
  if (call.bias != nullptr) {
    activates ? RequantizeRows<T, true, true>(call) : RequantizeRows<T, true, false>(call);
  } else {
    activates ? RequantizeRows<T, false, true>(call) : RequantizeRows<T, false, false>(call);
  }
}

void RequantizeImpl(const RequantizeCall& call) {
  switch (call.type) {
    case RequantizeCall::Type::kF32:
      return RequantizeTo<float>(call);
    case RequantizeCall::Type::kU8:
      return RequantizeTo<uint8_t>(call);
    case RequantizeCall::Type::kI8:
      return RequantizeTo<int8_t>(call);
  }
}

void QuantizeBytesImpl(const float* from, float scale, int32_t zero, bool is_signed, int64_t count,
                       void* to) {
  const IntTag d;
  const FTag df;
  const size_t lanes = hn::Lanes(d);
  const IntVector zeros = hn::Set(d, zero);
  const FVector scales = hn::Set(df, scale);
  for (size_t i = 0; i < static_cast<size_t>(count); i += lanes) {
    const size_t here = std::min(lanes, static_cast<size_t>(count) - i);
    const FVector value = hn::Div(LoadFloats(from + i, here), scales);
    if (is_signed) {
      StoreBytes(value, zeros, static_cast<int8_t*>(to) + i, here);
    } else {
      StoreBytes(value, zeros, static_cast<uint8_t*>(to) + i, here);
    }
  }
}

template <typename T>
void Dequantize(const T* from, float scale, int32_t zero, int64_t count, float* to) {
  const IntTag d;
  const FTag df;
  const hn::Rebind<T, IntTag> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const IntVector zeros = hn::Set(d, zero);
  const FVector scales = hn::Set(df, scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const IntVector number = hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, from + i)), zeros);
    hn::StoreU(hn::Mul(hn::ConvertTo(df, number), scales), df, to + i);
  }
  for (; i < count; ++i) to[i] = static_cast<float>(from[i] - zero) * scale;
}

void DequantizeBytesImpl(const void* from, bool is_signed, float scale, int32_t zero, int64_t count,
                         float* to) {
  if (is_signed) {
    Dequantize(static_cast<const int8_t*>(from), scale, zero, count, to);
  } else {
    Dequantize(static_cast<const uint8_t*>(from), scale, zero, count, to);
  }
}

void FindRangeImpl(const float* from, int64_t count, float& low, float& high) {
  const FTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  FVector least = hn::Set(d, low), most = hn::Set(d, high);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const FVector value = hn::LoadU(d, from + i);
    least = hn::Min(least, value);
    most = hn::Max(most, value);
  }
  low = hn::GetLane(hn::MinOfLanes(d, least));
  high = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i) {
    low = std::min(low, from[i]);
    high = std::max(high, from[i]);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(PairTilesImpl);
HWY_EXPORT(WidenBytesImpl);
HWY_EXPORT(RequantizeImpl);
HWY_EXPORT(QuantizeBytesImpl);
HWY_EXPORT(DequantizeBytesImpl);
HWY_EXPORT(FindRangeImpl);

const TileSet& PairTiles() {
  return *HWY_DYNAMIC_DISPATCH(PairTilesImpl)();
}
void WidenBytes(const void* from, bool is_signed, int32_t zero, int64_t rows, int64_t count,
                uint32_t* to) {
  HWY_DYNAMIC_DISPATCH(WidenBytesImpl)(from, is_signed, zero, rows, count, to);
}
void Requantize(const RequantizeCall& call) {
  HWY_DYNAMIC_DISPATCH(RequantizeImpl)(call);
}
void QuantizeBytes(const float* from, float scale, int32_t zero, bool is_signed, int64_t count,
                   void* to) {
  HWY_DYNAMIC_DISPATCH(QuantizeBytesImpl)(from, scale, zero, is_signed, count, to);
}
void DequantizeBytes(const void* from, bool is_signed, float scale, int32_t zero, int64_t count,
                     float* to) {
  HWY_DYNAMIC_DISPATCH(DequantizeBytesImpl)(from, is_signed, scale, zero, count, to);
}
void FindRange(const float* from, int64_t count, float& low, float& high) {
  HWY_DYNAMIC_DISPATCH(FindRangeImpl)(from, count, low, high);
}

}  // namespace ingot::cpu
#endif
