// Weight gradients of matmul.h: a tile of rows, the products of all shards and their tree sum.
//
// Rows of the gradient, which are columns of x, go in blocks of kTileRows. For each block the
// samples are listed in which it is not zero, once for all panels of columns; where a whole cache
// line of x is at hand its blocks are listed together, since x is read down its columns, a line a
// sample.
#include <algorithm>
#include <bit>
#include <cstring>

#include "backends/cpu/matmul.h"

#ifndef INGOT_BACKENDS_CPU_SHARD_MATMUL_SCRATCH_
#define INGOT_BACKENDS_CPU_SHARD_MATMUL_SCRATCH_
namespace ingot::cpu {
namespace {

constexpr size_t kByteValues = 256;
constexpr size_t kMostByteVectors = 8;

// Floats that a table of the shards takes.
constexpr size_t ProductFloats(size_t shards) {
  return (shards * sizeof(ShardProduct) + 63) / 64 * 16;
}

constexpr size_t FloatTileScratch(size_t shards, size_t largest_rows, size_t n) {
  const size_t most_blocks_of_a_line = 4;
  const size_t levels = 32 * 4 * kWidestPanel;
  const size_t lists = most_blocks_of_a_line * shards * ListWords(largest_rows);
  const size_t packed = n % kWidestPanel == 0 ? 0 : shards * largest_rows * kWidestPanel;
  return (levels + lists + packed + 15) / 16 * 16;
}

}  // namespace
}  // namespace ingot::cpu
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/shard_matmul.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/shard_bytes-inl.h"
#include "backends/cpu/shard_tree-inl.h"
#include "backends/cpu/tile-inl.h"
#include "backends/cpu/zero_lists-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Blocks of rows that lie in one cache line of x.
constexpr size_t kLineBlocks = 64 / (kTileRows * sizeof(float));

struct Gradient {
  std::span<const ShardProduct> shards;
  size_t n;
  float* levels;         // [level, tile]: sums that wait for their sibling in the tree
  size_t list_stride;    // words from the list of one shard to that of the next
  const float* packed;   // the last panel of d where it is not whole vectors: [shard, row, vectors]
  size_t packed_floats;  // from one shard to the next
  size_t packed_column;
};

// One tile of a weight gradient, of all shards.
template <int MR, int NV>
HWY_NOINLINE void ShardTile(const Gradient& gradient, const uint32_t* lists, size_t row,
                            size_t column, float* out, size_t columns) {
  const std::span<const ShardProduct> shards = gradient.shards;
  const bool packed = column == gradient.packed_column;
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  TileSum<MR, NV> sum;
  for (auto& row_sums : sum.v) std::fill(row_sums, row_sums + NV, hn::Zero(d));
  size_t occupied = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    const ShardProduct& shard = shards[s];
    const uint32_t* list = lists + s * gradient.list_stride;
    const size_t count = *list++;
    const float* right = packed ? gradient.packed + s * gradient.packed_floats : shard.d + column;
    const size_t right_stride = packed ? NV * lanes : shard.d_stride;
    if (count == shard.rows) {
      Accumulate<MR, NV>(shard.x + row, 1, shard.x_stride, right, right_stride, shard.rows, sum);
    } else {
      AccumulateListed<MR, NV>(shard.x + row, 1, shard.x_stride, right, right_stride, list, count,
                               sum);
    }
    MeetSiblings<MR, NV>(s + 1 == shards.size(), gradient.levels, occupied, sum);
  }
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)];
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < NV; ++j) {
      const size_t n = column + static_cast<size_t>(j) * lanes;
      float* to = out + static_cast<size_t>(i) * gradient.n + n;
      if (static_cast<size_t>(j + 1) * lanes <= columns) {
        hn::StoreU(sum.v[i][j], d, to);
      } else {
        hn::Store(sum.v[i][j], d, edge);
        for (size_t q = 0; q + static_cast<size_t>(j) * lanes < columns; ++q) to[q] = edge[q];
      }
    }
  }
}

template <int MR, int NV>
void ShardPanel(size_t vectors, const Gradient& gradient, const uint32_t* lists, size_t row,
                size_t column, float* out) {
  if constexpr (NV > 1) {
    if (vectors < NV) return ShardPanel<MR, NV - 1>(vectors, gradient, lists, row, column, out);
  }
  const size_t width = NV * hn::Lanes(FloatTag());
  ShardTile<MR, NV>(gradient, lists, row, column, out, std::min(width, gradient.n - column));
}

// All panels of one block of rows.
template <int MR>
void ShardBlock(const Gradient& gradient, const uint32_t* lists, size_t row, float* out) {
  const size_t lanes = hn::Lanes(FloatTag());
  for (size_t column = 0; column < gradient.n; column += kTileVectors * lanes) {
    const size_t vectors = (gradient.n - column + lanes - 1) / lanes;
    ShardPanel<MR, kTileVectors>(vectors, gradient, lists, row, column, out);
  }
}

// A list is its length and its entries.
template <int MR>
void ListBlock(const Gradient& gradient, size_t row, uint32_t* lists) {
  for (const ShardProduct& shard : gradient.shards) {
    const size_t count = ListRows<MR>(shard.x + row, shard.x_stride, shard.rows, lists + 1);
    *lists = static_cast<uint32_t>(count);
    lists += gradient.list_stride;
  }
}

// The lists of kLineBlocks blocks: [block, shard].
void ListLine(const Gradient& gradient, size_t row, uint32_t* lists) {
  const size_t block_stride = gradient.shards.size() * gradient.list_stride;
  for (const ShardProduct& shard : gradient.shards) {
    const bool listed =
        ListRowsOfLine<kLineBlocks>(shard.x + row, shard.x_stride, shard.rows, lists, block_stride);
    for (size_t b = 0; !listed && b < kLineBlocks; ++b) {
      lists[b * block_stride] = static_cast<uint32_t>(shard.rows);
    }
    lists += gradient.list_stride;
  }
}

void ShardRows(const Gradient& gradient, size_t begin, size_t end, uint32_t* lists, float* out) {
  const size_t block_stride = gradient.shards.size() * gradient.list_stride;
  size_t row = begin;
  auto at = [&](size_t r) { return out + (r - begin) * gradient.n; };
  for (; row + kLineBlocks * kTileRows <= end; row += kLineBlocks * kTileRows) {
    ListLine(gradient, row, lists);
    for (size_t b = 0; b < kLineBlocks; ++b) {
      const size_t block_row = row + b * kTileRows;
      ShardBlock<kTileRows>(gradient, lists + b * block_stride, block_row, at(block_row));
    }
  }
  for (; row + kTileRows <= end; row += kTileRows) {
    ListBlock<kTileRows>(gradient, row, lists);
    ShardBlock<kTileRows>(gradient, lists, row, at(row));
  }
  if (row + 2 <= end) {
    ListBlock<2>(gradient, row, lists);
    ShardBlock<2>(gradient, lists, row, at(row));
    row += 2;
  }
  if (row < end) {
    ListBlock<1>(gradient, row, lists);
    ShardBlock<1>(gradient, lists, row, at(row));
  }
}

void FloatTile(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n, float* out,
               float* scratch) {
  const size_t lanes = hn::Lanes(FloatTag());
  const size_t width = kTileVectors * lanes;
  size_t most_rows = 0;
  for (const ShardProduct& shard : shards) most_rows = std::max(most_rows, shard.rows);
  Gradient gradient{shards, n, scratch, ListWords(most_rows), nullptr, 0, n};
  auto* lists = reinterpret_cast<uint32_t*>(scratch + kMostLevels * kTileRows * width);
  if (n % lanes != 0) {
    const size_t last = (n - 1) / width * width;
    const size_t last_width = (n - last + lanes - 1) / lanes * lanes;
    float* packed = scratch + kMostLevels * kTileRows * width +
                    kLineBlocks * shards.size() * gradient.list_stride;
    gradient.packed = packed;
    gradient.packed_floats = most_rows * last_width;
    gradient.packed_column = last;
    for (size_t s = 0; s < shards.size(); ++s) {
      PackPanel(shards[s].d + last, shards[s].d_stride, false, shards[s].rows, n - last, last_width,
                packed + s * gradient.packed_floats);
    }
  }
  ShardRows(gradient, begin, end, lists, out);
}

// Of bytes: line by line, those that are mostly zero as they are, others as the numbers they stand
// for. The scratch: what FloatTile wants, values, products, widened columns, bits.
void ByteTile(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n, float* out,
              float* scratch, float scale) {
  size_t most_rows = 0;
  size_t rows = 0;
  for (const ShardProduct& shard : shards) {
    most_rows = std::max(most_rows, shard.rows);
    rows += shard.rows;
  }
  float* values = scratch + FloatTileScratch(shards.size(), most_rows, n);
  for (size_t b = 0; b < kByteValues; ++b) values[b] = static_cast<float>(b) * scale;
  auto* products = reinterpret_cast<ShardProduct*>(values + kByteValues);
  float* widened = values + kByteValues + ProductFloats(shards.size());
  float* levels = widened + shards.size() * most_rows * kByteColumns;
  auto* bits = reinterpret_cast<uint8_t*>(levels + kByteColumns / kByteRows *
                                                       ByteLevelFloats(shards.size()));
  const ByteLine line{shards, 0, bits, 4 * ByteWords(most_rows) * kByteColumns, values, levels};
  const bool whole_vectors = n % hn::Lanes(FloatTag()) == 0;
  for (size_t row = begin; row < end; row += kByteColumns) {
    const size_t columns = std::min(kByteColumns, end - row);
    float* to = out + (row - begin) * n;
    size_t count = 0;
    if (whole_vectors && columns == kByteColumns) {
      for (size_t s = 0; s < shards.size(); ++s) {
        count += NonZeroBits(shards[s].bytes + row, shards[s].x_stride, shards[s].rows,
                             bits + s * line.bits_stride);
      }
      if (2 * count <= rows * kByteColumns) {
        ByteLine here = line;
        here.column = row;
        ByteLineRows(here, n, to);
        continue;
      }
    }
    float* next = widened;
    for (size_t s = 0; s < shards.size(); ++s) {
      WidenRows(shards[s].bytes + row, shards[s].x_stride, shards[s].rows, columns, scale, next);
      products[s] = shards[s];
      products[s].x = next;
      products[s].x_stride = columns;
      next += shards[s].rows * columns;
    }
    FloatTile({products, shards.size()}, 0, columns, n, to, scratch);
  }
}

void ShardMatMulTileImpl(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n,
                         float* out, float* scratch, float byte_scale) {
  if (n == 0) return;
  if (!shards.empty() && shards[0].bytes != nullptr) {
    ByteTile(shards, begin, end, n, out, scratch, byte_scale);
  } else {
    FloatTile(shards, begin, end, n, out, scratch);
  }
}

void WidenBytesImpl(const uint8_t* x, size_t stride, size_t rows, size_t columns, float scale,
                    float* out) {
  WidenRows(x, stride, rows, columns, scale, out);
}

// The sum over a block of elements, block by block, with the same counter.
void TreeSumImpl(std::span<const float* const> parts, size_t count, float* HWY_RESTRICT out) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float levels[kMostLevels * HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)];
  for (size_t at = 0; at < count; at += lanes) {
    const size_t here = std::min(lanes, count - at);
    size_t occupied = 0;
    FloatVector sum = hn::Zero(d);
    for (size_t s = 0; s < parts.size(); ++s) {
      if (here == lanes) {
        sum = hn::LoadU(d, parts[s] + at);
      } else {
        for (size_t q = 0; q < lanes; ++q) edge[q] = q < here ? parts[s][at + q] : 0;
        sum = hn::Load(d, edge);
      }
      size_t level = 0;
      const bool last = s + 1 == parts.size();
      for (; last ? (occupied >> level) != 0 : (occupied >> level & 1) != 0; ++level) {
        if ((occupied >> level & 1) == 0) continue;
        sum = hn::Add(hn::Load(d, levels + level * lanes), sum);
      }
      if (last) break;
      occupied = (occupied >> level | 1) << level;
      hn::Store(sum, d, levels + level * lanes);
    }
    if (here == lanes) {
      hn::StoreU(sum, d, out + at);
    } else {
      hn::Store(sum, d, edge);
      for (size_t q = 0; q < here; ++q) out[at + q] = edge[q];
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(ShardMatMulTileImpl);
HWY_EXPORT(TreeSumImpl);
HWY_EXPORT(WidenBytesImpl);

void ShardMatMulTile(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n,
                     float* out, float* scratch, float byte_scale) {
  HWY_DYNAMIC_DISPATCH(ShardMatMulTileImpl)(shards, begin, end, n, out, scratch, byte_scale);
}

size_t ShardMatMulScratchFloats(size_t shards, size_t largest_rows, size_t n, bool bytes) {
  const size_t floats = FloatTileScratch(shards, largest_rows, n);
  if (!bytes) return floats;
  return floats + kByteValues + ProductFloats(shards) +
         shards * (largest_rows + ByteWords(largest_rows)) * kByteColumns +
         kByteColumns * static_cast<size_t>(std::bit_width(shards)) * kMostByteVectors * kMostLanes;
}

void WidenBytes(const uint8_t* x, size_t stride, size_t rows, size_t columns, float scale,
                float* out) {
  HWY_DYNAMIC_DISPATCH(WidenBytesImpl)(x, stride, rows, columns, scale, out);
}

void TreeSum(std::span<const float* const> parts, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(TreeSumImpl)(parts, count, out);
}

}  // namespace ingot::cpu
#endif
