// Weight gradients whose left side is bytes, most of which are zero, as pictures have them: each
// row of the gradient (a column of x) takes the samples in which its byte is not zero, one by one.
// The terms of every sum come in the order of the samples, as in the tiles: the bits are the same.
// Included once for each instruction set, from within the namespace of that target.
#if defined(INGOT_BACKENDS_CPU_SHARD_BYTES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_SHARD_BYTES_INL_H_
#undef INGOT_BACKENDS_CPU_SHARD_BYTES_INL_H_
#else
#define INGOT_BACKENDS_CPU_SHARD_BYTES_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "backends/cpu/matmul.h"
#include "backends/cpu/shard_tree-inl.h"
#include "backends/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Columns of x and vectors of d whose sums one pass over the samples holds: eight sums hide the
// latency of a multiply-add, and a row of d of 64 floats is read once.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kByteRows = 2;
constexpr int kByteVectors = 4;
#else
constexpr int kByteRows = 1;
constexpr int kByteVectors = 8;
#endif
static_assert(kByteColumns % kByteRows == 0);

// out[r, c] = x[r * stride + c] * scale; out is dense.
HWY_INLINE void WidenRows(const uint8_t* HWY_RESTRICT x, size_t stride, size_t rows, size_t columns,
                          float scale, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 8> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const size_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, scale);
  for (size_t row = 0; row < rows; ++row, x += stride, out += columns) {
    size_t c = 0;
    for (; c + lanes <= columns; c += lanes) {
      const auto whole = hn::PromoteTo(d32, hn::LoadU(d8, x + c));
      hn::StoreU(hn::Mul(hn::ConvertTo(d, whole), factor), d, out + c);
    }
    for (; c < columns; ++c) out[c] = static_cast<float>(x[c]) * scale;
  }
}

// bits[g][c]: bit r is set where x[(8 g + r) * stride + c] is not zero, for kByteColumns columns;
// zeros up to a whole number of words of rows. Returns how many are set.
HWY_INLINE size_t NonZeroBits(const uint8_t* HWY_RESTRICT x, size_t stride, size_t rows,
                              uint8_t* HWY_RESTRICT bits) {
  const hn::CappedTag<uint8_t, kByteColumns> d;
  const size_t lanes = hn::Lanes(d);
  const size_t groups = ByteWords(rows) * 4;
  size_t count = 0;
  for (size_t g = 0; g < groups; ++g, bits += kByteColumns) {
    const size_t here = 8 * g < rows ? std::min<size_t>(rows - 8 * g, 8) : 0;
    for (size_t c = 0; c < kByteColumns; c += lanes) {
      auto set = hn::Zero(d);
      for (size_t r = 0; r < here; ++r) {
        const uint8_t* from = x + (8 * g + r) * stride + c;
        hwy::Prefetch(from + 64);  // the next lines', which come soon
        const auto value = hn::LoadU(d, from);
        const auto bit = hn::Set(d, static_cast<uint8_t>(1u << r));
        set = hn::Or(set, hn::IfThenElseZero(hn::Ne(value, hn::Zero(d)), bit));
      }
      hn::StoreU(set, d, bits + c);
    }
    for (size_t c = 0; c < kByteColumns; c += 8) {
      uint64_t eight;
      std::memcpy(&eight, bits + c, sizeof(eight));
      count += static_cast<size_t>(std::popcount(eight));
    }
  }
  return count;
}

// The bytes of one line of a gradient's rows: kByteColumns columns of x from `column` on.
struct ByteLine {
  std::span<const ShardProduct> shards;
  size_t column;
  const uint8_t* bits;  // NonZeroBits of each shard, bits_stride apart
  size_t bits_stride;
  const float* values;  // [256]: what a byte stands for
  float* levels;        // of every column of the line, ByteLevelFloats apart
};

// The sums that wait in the tree, of kByteRows columns of a line.
constexpr size_t ByteLevelFloats(size_t shards) {
  return static_cast<size_t>(std::bit_width(shards)) * kByteRows * kByteVectors * kMostLanes;
}

// What columns [c, c + MR) of one shard add to columns [at, at + NV vectors) of their rows of the
// gradient, over the samples in which one of them is not zero.
template <int MR, int NV>
HWY_INLINE void AccumulateBytes(const ByteLine& line, size_t s, size_t c, size_t at,
                                TileSum<MR, NV>& sum) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const ShardProduct& shard = line.shards[s];
  const float* HWY_RESTRICT values = line.values;
  const uint8_t* HWY_RESTRICT x = shard.bytes + line.column + c;
  const float* HWY_RESTRICT right = shard.d + at;
  const uint8_t* HWY_RESTRICT bits = line.bits + s * line.bits_stride + c;
  const size_t x_stride = shard.x_stride;
  const size_t d_stride = shard.d_stride;
  FloatVector acc[MR][NV];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) acc[i][j] = hn::Zero(d);
  }
  for (size_t row = 0; row < shard.rows; row += 32, bits += 4 * kByteColumns) {
    uint32_t rows = 0;
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      rows |= bits[i] | static_cast<uint32_t>(bits[kByteColumns + i]) << 8 |
              static_cast<uint32_t>(bits[2 * kByteColumns + i]) << 16 |
              static_cast<uint32_t>(bits[3 * kByteColumns + i]) << 24;
    }
    for (; rows != 0; rows &= rows - 1) {
      const size_t r = row + static_cast<size_t>(std::countr_zero(rows));
      const float* from = right + r * d_stride;
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        const FloatVector left = hn::Set(d, values[x[r * x_stride + static_cast<size_t>(i)]]);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) {
          const FloatVector value = hn::LoadU(d, from + static_cast<size_t>(j) * lanes);
          acc[i][j] = hn::MulAdd(left, value, acc[i][j]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sum.v[i][j] = acc[i][j];
  }
}

// Columns [at, at + NV vectors) of all rows of the line. Shard by shard: what it has of d stays in
// the first-level cache for all columns of x.
template <int NV>
HWY_NOINLINE void ByteRows(const ByteLine& line, size_t at, size_t n, float* HWY_RESTRICT out) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const size_t shards = line.shards.size();
  size_t occupied = 0;
  for (size_t s = 0; s < shards; ++s) {
    size_t next = occupied;
    for (size_t c = 0; c < kByteColumns; c += kByteRows) {
      TileSum<kByteRows, NV> sum;
      AccumulateBytes<kByteRows, NV>(line, s, c, at, sum);
      next = occupied;
      float* levels = line.levels + c / kByteRows * ByteLevelFloats(shards);
      MeetSiblings<kByteRows, NV>(s + 1 == shards, levels, next, sum);
      if (s + 1 < shards) continue;
      for (int i = 0; i < kByteRows; ++i) {
        float* to = out + (c + static_cast<size_t>(i)) * n;
        for (int j = 0; j < NV; ++j) {
          hn::StoreU(sum.v[i][j], d, to + static_cast<size_t>(j) * lanes);
        }
      }
    }
    occupied = next;
  }
}

// Of n columns, a whole number of vectors.
template <int NV>
HWY_INLINE void BytePanel(size_t vectors, const ByteLine& line, size_t at, size_t n, float* out) {
  if constexpr (NV > 1) {
    if (vectors < NV) return BytePanel<NV - 1>(vectors, line, at, n, out);
  }
  ByteRows<NV>(line, at, n, out);
}

HWY_INLINE void ByteLineRows(const ByteLine& line, size_t n, float* HWY_RESTRICT out) {
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t at = 0; at < n; at += kByteVectors * lanes) {
    BytePanel<kByteVectors>((n - at) / lanes, line, at, n, out + at);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
