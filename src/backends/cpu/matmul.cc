// The products of matmul.h: columns are cut into panels of a few vectors, rows into register tiles.
// A panel that the tile cannot read in place (a transposed right side, the last columns) is first
// copied into scratch, padded with zeros.
#include "backends/cpu/matmul.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/matmul.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// 16 sums, 4 right vectors and a broadcast fit 32 registers; 16 registers hold half of the sums.
constexpr int kTileRows = 4;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 2;
#endif
// How far ahead right rows are asked for that another core may just have written: one takes about
// 16 cycles, memory a few hundred.
constexpr size_t kAhead = 24;

// Zero skipping. Images with an empty background, one-hot and rectified inputs have many columns of
// the left side that are zero in all rows of a tile: these need not be multiplied, and the result
// keeps its bits (see AccumulateListed). A few probes tell whether looking closer pays.
constexpr size_t kProbes = 16;
constexpr size_t kWorthwhile = kProbes / 4;

HWY_INLINE bool IsZeroBits(const float* at) {
  uint32_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return bits == 0;
}

// Of columns: a[i * a_row + k], i < rows.
bool HasZeroColumns(const float* a, size_t a_row, size_t rows, size_t k) {
  if (k < 4 * kProbes) return false;
  size_t zeros = 0;
  for (size_t probe = 0; probe < kProbes; ++probe) {
    const size_t column = probe * k / kProbes;
    bool zero = true;
    for (size_t i = 0; i < rows; ++i) zero = zero && IsZeroBits(a + i * a_row + column);
    zeros += zero ? 1 : 0;
  }
  return zeros >= kWorthwhile;
}

// The columns that are not zero in all rows, upwards, then kAhead times the last; their number.
template <int MR>
size_t ListColumns(const float* a, size_t a_row, size_t k, uint32_t* list) {
  const hn::CappedTag<uint32_t, kMostLanes> d;
  const size_t lanes = hn::Lanes(d);
  size_t count = 0;
  size_t column = 0;
  auto index = hn::Iota(d, 0);
  for (; column + lanes <= k; column += lanes) {
    auto any = hn::Zero(d);
    for (size_t i = 0; i < MR; ++i) {
      any = hn::Or(any, hn::LoadU(d, reinterpret_cast<const uint32_t*>(a + i * a_row + column)));
    }
    const auto keep = hn::Ne(any, hn::Zero(d));
    hn::StoreU(hn::Compress(index, keep), d, list + count);
    count += hn::CountTrue(d, keep);
    index = hn::Add(index, hn::Set(d, static_cast<uint32_t>(lanes)));
  }
  for (; column < k; ++column) {
    bool zero = true;
    for (size_t i = 0; i < MR; ++i) zero = zero && IsZeroBits(a + i * a_row + column);
    list[count] = static_cast<uint32_t>(column);
    count += zero ? 0 : 1;
  }
  const uint32_t last = count == 0 ? 0 : list[count - 1];
  std::fill(list + count, list + count + kAhead, last);
  return count;
}

// Copies b[0..k)[0..columns) into panel[k][width], zero beyond `columns`.
void PackPanel(const float* b, size_t b_stride, bool transposed, size_t k, size_t columns,
               size_t width, float* HWY_RESTRICT panel) {
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

// Applies bias and epilogue to one tile and stores its first `columns` columns.
template <int MR, int NV>
HWY_INLINE void StoreTile(const MatMulArguments& arguments, const TileSum<MR, NV>& sum, size_t row,
                          size_t column, size_t columns) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)];
  for (int j = 0; j < NV; ++j) {
    const size_t n = column + static_cast<size_t>(j) * lanes;
    const size_t count =
        std::min(lanes, columns - std::min(columns, static_cast<size_t>(j) * lanes));
    if (count == 0) return;
    auto load = [&](const float* from) HWY_ATTR {
      if (count == lanes) return hn::LoadU(d, from);
      for (size_t i = 0; i < lanes; ++i) edge[i] = i < count ? from[i] : 0;
      return hn::Load(d, edge);
    };
    const FloatVector bias = arguments.bias == nullptr ? hn::Zero(d) : load(arguments.bias + n);
    for (int i = 0; i < MR; ++i) {
      const size_t at = (row + static_cast<size_t>(i)) * arguments.c_stride + n;
      FloatVector value = sum.v[i][j];
      if (arguments.bias != nullptr) value = hn::Add(value, bias);
      const FloatVector y = arguments.epilogue.kind == Epilogue::Kind::kReluGradient
                                ? load(arguments.gradient_of + at)
                                : value;
      value = Activate(d, arguments.epilogue, value, y);
      if (count == lanes) {
        hn::StoreU(value, d, arguments.c + at);
      } else {
        hn::Store(value, d, edge);
        for (size_t q = 0; q < count; ++q) arguments.c[at + q] = edge[q];
      }
    }
  }
}

// The columns of a row block that are not zero; entries null: all of them.
struct List {
  uint32_t* entries = nullptr;
  size_t count = 0;
};

template <int MR, int NV>
HWY_NOINLINE void RunTile(const MatMulArguments& arguments, const float* panel, size_t panel_stride,
                          size_t row, size_t column, size_t columns, const List& list) {
  TileSum<MR, NV> sum;
  const float* a = arguments.a + row * arguments.a_row_stride;
  if (list.entries == nullptr) {
    Accumulate<MR, NV, kAhead>(a, arguments.a_row_stride, arguments.a_column_stride, panel,
                               panel_stride, arguments.k, sum);
  } else {
    AccumulateListed<MR, NV, kAhead>(a, arguments.a_row_stride, 1, panel, panel_stride,
                                     list.entries, list.count, sum);
  }
  StoreTile<MR, NV>(arguments, sum, row, column, columns);
}

template <int MR>
List MakeList(const MatMulArguments& arguments, size_t row, uint32_t* entries) {
  const float* a = arguments.a + row * arguments.a_row_stride;
  if (arguments.a_column_stride != 1 ||
      !HasZeroColumns(a, arguments.a_row_stride, MR, arguments.k)) {
    return {};
  }
  return {entries, ListColumns<MR>(a, arguments.a_row_stride, arguments.k, entries)};
}

template <int MR, int NV>
void RunBlock(const MatMulArguments& arguments, const float* panel, size_t panel_stride, size_t row,
              size_t column, size_t columns, uint32_t* entries) {
  const List list = MakeList<MR>(arguments, row, entries);
  RunTile<MR, NV>(arguments, panel, panel_stride, row, column, columns, list);
}

template <int NV>
void RunRows(const MatMulArguments& arguments, const float* panel, size_t panel_stride,
             size_t column, size_t columns, uint32_t* entries) {
  size_t row = 0;
  for (; row + kTileRows <= arguments.m; row += kTileRows) {
    RunBlock<kTileRows, NV>(arguments, panel, panel_stride, row, column, columns, entries);
  }
  if (row + 2 <= arguments.m) {
    RunBlock<2, NV>(arguments, panel, panel_stride, row, column, columns, entries);
    row += 2;
  }
  if (row < arguments.m) {
    RunBlock<1, NV>(arguments, panel, panel_stride, row, column, columns, entries);
  }
}

template <int NV>
void RunPanel(const MatMulArguments& arguments, size_t vectors, const float* panel, size_t stride,
              size_t column, size_t columns, uint32_t* entries) {
  if constexpr (NV > 1) {
    if (vectors < NV) {
      RunPanel<NV - 1>(arguments, vectors, panel, stride, column, columns, entries);
      return;
    }
  }
  RunRows<NV>(arguments, panel, stride, column, columns, entries);
}

bool HasManyZeroColumnsImpl(const MatMulArguments& arguments) {
  return arguments.a_column_stride == 1 &&
         HasZeroColumns(arguments.a, arguments.a_row_stride,
                        std::min<size_t>(kTileRows, arguments.m), arguments.k);
}

void MatMulImpl(const MatMulArguments& arguments) {
  const size_t lanes = hn::Lanes(FloatTag());
  auto* entries = reinterpret_cast<uint32_t*>(arguments.scratch);
  float* packed = arguments.scratch + ListWords(arguments.k);
  for (size_t column = 0; column < arguments.n; column += kTileVectors * lanes) {
    const size_t columns = std::min(arguments.n - column, kTileVectors * lanes);
    const size_t vectors = (columns + lanes - 1) / lanes;
    const float* panel =
        arguments.b_transposed ? arguments.b + column * arguments.b_stride : arguments.b + column;
    size_t stride = arguments.b_stride;
    if (arguments.b_transposed || columns < vectors * lanes) {
      stride = vectors * lanes;
      PackPanel(panel, arguments.b_stride, arguments.b_transposed, arguments.k, columns, stride,
                packed);
      panel = packed;
    }
    RunPanel<kTileVectors>(arguments, vectors, panel, stride, column, columns, entries);
  }
}

// The rows r with x[r * stride + i] not zero for all i < MR; `rows` of them where it is not worth
// it.
template <int MR>
size_t ListRows(const float* x, size_t stride, size_t rows, uint32_t* list) {
  size_t count = 0;
  for (size_t r = 0; r < rows; ++r) {
    uint32_t bits[MR];
    std::memcpy(bits, x + r * stride, sizeof(bits));
    uint32_t any = bits[0];
    for (int i = 1; i < MR; ++i) any |= bits[i];
    list[count] = static_cast<uint32_t>(r);
    count += any != 0 ? 1 : 0;
    if (r + 1 == kProbes / 2 && count == r + 1) return rows;  // dense, most likely
  }
  return count;
}

// One tile of a weight gradient: partial sums of the shards meet in a binary counter, which is the
// fixed tree: slot l holds the sum of 2^l neighbouring shards until its sibling is there.
template <int MR, int NV>
HWY_NOINLINE void ShardTile(std::span<const ShardProduct> shards, size_t row, size_t column,
                            const float* const* panels, const size_t* panel_strides,
                            float* HWY_RESTRICT levels, uint32_t* list, float* out,
                            size_t out_stride, size_t columns) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const size_t tile = MR * NV * lanes;
  TileSum<MR, NV> sum;
  for (auto& row_sums : sum.v) std::fill(row_sums, row_sums + NV, hn::Zero(d));
  size_t occupied = 0;  // bit l: levels + l * tile holds a sum
  for (size_t s = 0; s < shards.size(); ++s) {
    const ShardProduct& shard = shards[s];
    const size_t count = ListRows<MR>(shard.x + row, shard.x_stride, shard.rows, list);
    if (count == shard.rows) {
      Accumulate<MR, NV>(shard.x + row, 1, shard.x_stride, panels[s], panel_strides[s], shard.rows,
                         sum);
    } else {
      AccumulateListed<MR, NV>(shard.x + row, 1, shard.x_stride, panels[s], panel_strides[s], list,
                               count, sum);
    }
    size_t level = 0;
    const bool last = s + 1 == shards.size();
    // In the last round every slot is taken, lowest first: what TreeReduce does with a ragged end.
    for (; last ? (occupied >> level) != 0 : (occupied >> level & 1) != 0; ++level) {
      if ((occupied >> level & 1) == 0) continue;
      const float* left = levels + level * tile;
      for (int i = 0; i < MR; ++i) {
        for (int j = 0; j < NV; ++j) {
          sum.v[i][j] = hn::Add(hn::Load(d, left), sum.v[i][j]);
          left += lanes;
        }
      }
    }
    if (last) break;
    occupied = (occupied >> level | 1) << level;
    float* keep = levels + level * tile;
    for (int i = 0; i < MR; ++i) {
      for (int j = 0; j < NV; ++j) {
        hn::Store(sum.v[i][j], d, keep);
        keep += lanes;
      }
    }
  }
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)];
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < NV; ++j) {
      const size_t n = column + static_cast<size_t>(j) * lanes;
      float* to = out + static_cast<size_t>(i) * out_stride + n;
      if (static_cast<size_t>(j + 1) * lanes <= columns) {
        hn::StoreU(sum.v[i][j], d, to);
      } else {
        hn::Store(sum.v[i][j], d, edge);
        for (size_t q = 0; q + static_cast<size_t>(j) * lanes < columns; ++q) to[q] = edge[q];
      }
    }
  }
}

template <int NV>
void ShardRows(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t column,
               const float* const* panels, const size_t* strides, float* levels, uint32_t* list,
               float* out, size_t n, size_t columns) {
  size_t row = begin;
  auto at = [&](size_t r) { return out + (r - begin) * n; };
  for (; row + kTileRows <= end; row += kTileRows) {
    ShardTile<kTileRows, NV>(shards, row, column, panels, strides, levels, list, at(row), n,
                             columns);
  }
  if (row + 2 <= end) {
    ShardTile<2, NV>(shards, row, column, panels, strides, levels, list, at(row), n, columns);
    row += 2;
  }
  if (row < end) {
    ShardTile<1, NV>(shards, row, column, panels, strides, levels, list, at(row), n, columns);
  }
}

template <int NV, typename... Rest>
void ShardPanel(size_t vectors, Rest... rest) {
  if constexpr (NV > 1) {
    if (vectors < NV) return ShardPanel<NV - 1>(vectors, rest...);
  }
  ShardRows<NV>(rest...);
}

constexpr size_t kMostLevels = 32;

void ShardMatMulTileImpl(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n,
                         float* out, float* scratch) {
  const size_t lanes = hn::Lanes(FloatTag());
  const size_t width = kTileVectors * lanes;
  float* levels = scratch;
  scratch += kMostLevels * kTileRows * width;
  size_t most_rows = 0;
  for (const ShardProduct& shard : shards) most_rows = std::max(most_rows, shard.rows);
  auto* list = reinterpret_cast<uint32_t*>(scratch);
  scratch += ListWords(most_rows);
  auto** panels = reinterpret_cast<const float**>(scratch);
  auto* strides = reinterpret_cast<size_t*>(panels + shards.size());
  float* packed = reinterpret_cast<float*>(strides + shards.size());
  packed += (64 - reinterpret_cast<uintptr_t>(packed) % 64) % 64 / sizeof(float);
  for (size_t column = 0; column < n; column += width) {
    const size_t columns = std::min(n - column, width);
    const size_t vectors = (columns + lanes - 1) / lanes;
    float* next = packed;
    for (size_t s = 0; s < shards.size(); ++s) {
      panels[s] = shards[s].d + column;
      strides[s] = shards[s].d_stride;
      if (columns < vectors * lanes) {
        PackPanel(panels[s], strides[s], false, shards[s].rows, columns, vectors * lanes, next);
        panels[s] = next;
        strides[s] = vectors * lanes;
        next += shards[s].rows * vectors * lanes;
      }
    }
    ShardPanel<kTileVectors>(vectors, shards, begin, end, column, panels, strides, levels, list,
                             out, n, columns);
  }
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

HWY_EXPORT(MatMulImpl);
HWY_EXPORT(HasManyZeroColumnsImpl);
HWY_EXPORT(ShardMatMulTileImpl);
HWY_EXPORT(TreeSumImpl);

namespace {
// The widest panel of any instruction set: four vectors of kMostLanes.
constexpr size_t kWidestPanel = 4 * kMostLanes;
}  // namespace

size_t MatMulScratchFloats(size_t n, size_t k, bool b_transposed) {
  return ListWords(k) + (b_transposed || n % kWidestPanel != 0 ? k * kWidestPanel : 0);
}

void MatMul(const MatMulArguments& arguments) {
  HWY_DYNAMIC_DISPATCH(MatMulImpl)(arguments);
}

bool HasManyZeroColumns(const MatMulArguments& arguments) {
  return HWY_DYNAMIC_DISPATCH(HasManyZeroColumnsImpl)(arguments);
}

void ShardMatMulTile(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n,
                     float* out, float* scratch) {
  HWY_DYNAMIC_DISPATCH(ShardMatMulTileImpl)(shards, begin, end, n, out, scratch);
}

size_t ShardMatMulScratchFloats(size_t shards, size_t largest_rows, size_t n) {
  const size_t levels = 32 * 4 * kWidestPanel;
  const size_t tables = shards * (sizeof(void*) + sizeof(size_t)) / sizeof(float) + 32;
  const size_t packed = n % kWidestPanel == 0 ? 0 : shards * largest_rows * kWidestPanel;
  return levels + ListWords(largest_rows) + tables + packed;
}

void TreeSum(std::span<const float* const> parts, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(TreeSumImpl)(parts, count, out);
}

}  // namespace ingot::cpu
#endif
