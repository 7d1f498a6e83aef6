// Tiles of bytes for every instruction set; with AVX-512 VNNI two products and their sum are one
// instruction.
#include "backends/cpu/byte_tiles.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/byte_tiles.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/byte_finish-inl.h"
#include "backends/cpu/counts.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kByteVectors = 4;
#else
constexpr int kByteVectors = 2;
#endif

#if HWY_TARGET == HWY_SCALAR
constexpr bool kHasHalves = false;
HWY_INLINE IntVector AddHalves(IntVector a, IntVector) {
  return a;
}
#else
constexpr bool kHasHalves = true;
HWY_INLINE IntVector AddHalves(IntVector a, IntVector b) {
  const IntTag d;
  const PairTag dp;
  return hn::BitCast(d, hn::Add(hn::BitCast(dp, a), hn::BitCast(dp, b)));
}
#endif

// A pair that all columns share.
HWY_INLINE IntVector OnePair(const int16_t* from) {
  int32_t bits;
  std::memcpy(&bits, from, 4);
  return hn::Set(IntTag(), bits);
}

template <bool kVnni, int MR, int NV>
HWY_INLINE void RunOneTile(const ByteTileCall& call) {
  const IntTag d;
  const size_t lanes = hn::Lanes(d);
  IntVector acc[MR][NV];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
    const auto row = static_cast<size_t>(i);
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const size_t first = static_cast<size_t>(j) * lanes;
      if (call.continues) {
        acc[i][j] = hn::LoadU(d, call.sums + row * call.sums_row + first);
      } else {
        acc[i][j] = hn::Sub(hn::LoadU(d, call.start + first), hn::Set(d, call.x_inner[row]));
      }
    }
  }
  const int16_t* HWY_RESTRICT w = call.w;
  const int16_t* HWY_RESTRICT x[MR];
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) x[i] = call.x + static_cast<size_t>(i) * call.x_row;
  for (size_t k = 0; k < 4 * call.quads; k += 4) {
    IntVector wa[NV], wb[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const auto* from = reinterpret_cast<const int32_t*>(w);
      wa[j] = hn::LoadU(d, from + static_cast<size_t>(j) * lanes);
      wb[j] = hn::LoadU(d, from + static_cast<size_t>(NV + j) * lanes);
    }
    w += 4 * NV * lanes;
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const IntVector xa = OnePair(x[i] + k), xb = OnePair(x[i] + k + 2);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        if constexpr (kVnni || !kHasHalves) {
          acc[i][j] = AddPairs<kVnni>(xa, wa[j], acc[i][j]);
          acc[i][j] = AddPairs<kVnni>(xb, wb[j], acc[i][j]);
        } else {
          acc[i][j] = AddPairs<kVnni>(AddHalves(xa, wb[j]), AddHalves(xb, wa[j]), acc[i][j]);
        }
      }
    }
  }
  // Through memory, so that the loop above has all registers for itself.
  HWY_ALIGN int32_t own[MR * NV * HWY_MAX_BYTES / 4];
  int32_t* sums = call.finish == nullptr ? call.sums : own;
  const size_t sums_row = call.finish == nullptr ? call.sums_row : NV * lanes;
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      hn::StoreU(acc[i][j], d,
                 sums + static_cast<size_t>(i) * sums_row + static_cast<size_t>(j) * lanes);
    }
  }
  if (call.finish == nullptr) return;
  FinishTile<NV>({call.finish, call.to, call.to_row, call.columns}, MR, own);
}

template <bool kVnni, int MR, int NV>
void RunByteTile(const ByteTileCall& first) {
  ByteTileCall call = first;
  for (size_t tile = 0; tile < first.tiles; ++tile) {
    RunOneTile<kVnni, MR, NV>(call);
    call.x += MR * call.x_row;
    call.x_inner += MR;
    call.sums += MR * call.sums_row;
    if (call.to != nullptr) call.to += MR * call.to_row;
  }
}

template <bool kVnni, int MR>
void FillByteRow(ByteTileSet& set) {
  set.run[MR - 1][0] = RunByteTile<kVnni, MR, 1>;
  set.run[MR - 1][1] = RunByteTile<kVnni, MR, 2>;
  if constexpr (kByteVectors == 4) {
    set.run[MR - 1][2] = RunByteTile<kVnni, MR, 3>;
    set.run[MR - 1][3] = RunByteTile<kVnni, MR, 4>;
  }
}

template <bool kVnni>
ByteTileSet MakeByteTiles() {
  ByteTileSet set;
  set.lanes = hn::Lanes(IntTag());
  set.vectors = kByteVectors;
  set.inner = !kVnni && kHasHalves;
  FillByteRow<kVnni, 1>(set);
  FillByteRow<kVnni, 2>(set);
  FillByteRow<kVnni, 3>(set);
  FillByteRow<kVnni, 4>(set);
  return set;
}

const ByteTileSet* ByteTilesImpl() {
#if HWY_TARGET == HWY_AVX3
  static const ByteTileSet tiles =
      __builtin_cpu_supports("avx512vnni") ? MakeByteTiles<true>() : MakeByteTiles<false>();
#else
  static const ByteTileSet tiles = MakeByteTiles<false>();
#endif
  return &tiles;
}

#if HWY_TARGET != HWY_SCALAR
uint32_t SumModulo(IntVector sums) {
  const hn::RebindToUnsigned<IntTag> d;
  return hn::GetLane(hn::SumOfLanes(d, hn::BitCast(d, sums)));
}
#endif

// x0 x2 + x1 x3 of all fours of i16.
int32_t InnerOfImpl(const int16_t* row, int64_t count) {
  int64_t i = 0;
  uint32_t total = 0;  // modulo 2^32
#if HWY_TARGET != HWY_SCALAR
  const IntTag d;
  const hn::Repartition<uint64_t, IntTag> dq;
  const auto lanes = static_cast<int64_t>(2 * hn::Lanes(d));
  IntVector sum = hn::Zero(d);
  for (; i + lanes <= count; i += lanes) {
    const IntVector pairs = hn::LoadU(d, reinterpret_cast<const int32_t*>(row + i));
    const IntVector second = hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(dq, pairs)));
    sum = AddPairs<false>(pairs, second, sum);
  }
  total = SumModulo(sum);
#endif
  for (; i < count; i += 4)
    total +=
        static_cast<uint32_t>(row[i] * row[i + 2]) + static_cast<uint32_t>(row[i + 1] * row[i + 3]);
  return static_cast<int32_t>(total);
}

// Gives the inner product of what it wrote.
template <typename T>
int32_t WidenRow(const T* from, int32_t zero, int64_t count, int16_t* to) {
  int64_t i = 0;
  uint32_t total = 0;  // modulo 2^32
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<T, hn::ScalableTag<int16_t>> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto zeros = hn::Set(d, static_cast<int16_t>(zero));
  const IntTag di;
  const hn::Repartition<uint64_t, IntTag> dq;
  IntVector sum = hn::Zero(di);
  for (; i + lanes <= count; i += lanes) {
    const auto wide = hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, from + i)), zeros);
    hn::StoreU(wide, d, to + i);
    const auto second = hn::ShiftRight<32>(hn::BitCast(dq, wide));
    sum = AddPairs<false>(hn::BitCast(di, wide), hn::BitCast(di, second), sum);
  }
  if (i > 0) total = SumModulo(sum);
#endif
  const int64_t rest = i;
  for (; i < count; ++i) to[i] = static_cast<int16_t>(from[i] - zero);
  for (; i % 4 != 0; ++i) to[i] = 0;
  for (int64_t k = rest; k < i; k += 4)
    total +=
        static_cast<uint32_t>(to[k] * to[k + 2]) + static_cast<uint32_t>(to[k + 1] * to[k + 3]);
  return static_cast<int32_t>(total);
}

void WidenRowsImpl(const WidenRowsCall& call) {
  const bool inner = ByteTilesImpl()->inner;
  for (int64_t row = 0; row < call.rows; ++row) {
    const std::byte* from = call.from + row * call.from_row;
    int16_t* to = call.to + row * call.to_row;
    const int32_t sum =
        call.is_signed
            ? WidenRow(reinterpret_cast<const int8_t*>(from), call.zero, call.count, to)
            : WidenRow(reinterpret_cast<const uint8_t*>(from), call.zero, call.count, to);
    call.inner[row] = inner ? sum : 0;
  }
}

template <typename T>
void GatherPieces(const GatherRowsCall& call) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<T, hn::ScalableTag<int16_t>> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto zeros = hn::Set(d, static_cast<int16_t>(call.rows.zero));
  const int64_t depth = call.lines * call.piece;
  for (int64_t row = 0; row < call.rows.rows; ++row) {
    const std::byte* from = call.from + row * call.step;
    int16_t* to = call.rows.to + row * call.rows.to_row;
    int16_t* const end = to + depth;
    for (int64_t i = 0; i < call.lines; ++i, from += call.line, to += call.piece) {
      const auto* bytes = reinterpret_cast<const T*>(from);
      for (int64_t at = 0; at < call.piece; at += lanes) {
        hn::StoreU(hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, bytes + at)), zeros), d, to + at);
      }
    }
    std::memset(end, 0, 8);
    hn::StoreU(hn::Zero(d), d, end);
  }
  // Later, as what was just written in pieces is slow to read as a whole.
  const bool inner = ByteTilesImpl()->inner;
  const int64_t count = RoundUp(depth, std::max<int64_t>(lanes, 4));
  for (int64_t row = 0; row < call.rows.rows; ++row) {
    call.rows.inner[row] = inner ? InnerOfImpl(call.rows.to + row * call.rows.to_row, count) : 0;
  }
}

void GatherRowsImpl(const GatherRowsCall& call) {
  call.rows.is_signed ? GatherPieces<int8_t>(call) : GatherPieces<uint8_t>(call);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(ByteTilesImpl);
HWY_EXPORT(InnerOfImpl);
HWY_EXPORT(WidenRowsImpl);
HWY_EXPORT(GatherRowsImpl);

const ByteTileSet& ByteTiles() {
  return *HWY_DYNAMIC_DISPATCH(ByteTilesImpl)();
}
int32_t InnerOf(const int16_t* row, int64_t count) {
  return ByteTiles().inner ? HWY_DYNAMIC_DISPATCH(InnerOfImpl)(row, count) : 0;
}
void WidenRows(const WidenRowsCall& call) {
  HWY_DYNAMIC_DISPATCH(WidenRowsImpl)(call);
}
void GatherRows(const GatherRowsCall& call) {
  HWY_DYNAMIC_DISPATCH(GatherRowsImpl)(call);
}

}  // namespace ingot::cpu
#endif
