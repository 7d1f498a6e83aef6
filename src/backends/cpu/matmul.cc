// The products of matmul.h: columns are cut into panels of a few vectors, rows into register tiles.
// A panel that the tile cannot read in place (a transposed right side, the last columns) is first
// copied into scratch, padded with zeros.
#include "backends/cpu/matmul.h"

#include <algorithm>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/matmul.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/tile-inl.h"
#include "backends/cpu/zero_lists-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// How far ahead right rows are asked for that another core may just have written: one takes about
// 16 cycles, memory a few hundred.
constexpr size_t kAhead = 24;

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

template <int MR, int NV>
HWY_NOINLINE void RunTile(const MatMulArguments& arguments, const float* panel, size_t panel_stride,
                          size_t row, size_t column, size_t columns) {
  TileSum<MR, NV> sum;
  Accumulate<MR, NV, kAhead>(arguments.a + row * arguments.a_row_stride, arguments.a_row_stride,
                             arguments.a_column_stride, panel, panel_stride, arguments.k, sum);
  StoreTile<MR, NV>(arguments, sum, row, column, columns);
}

template <int NV>
void RunRows(const MatMulArguments& arguments, const float* panel, size_t stride, size_t column,
             size_t columns) {
  size_t row = 0;
  for (; row + kTileRows <= arguments.m; row += kTileRows) {
    RunTile<kTileRows, NV>(arguments, panel, stride, row, column, columns);
  }
  if (row + 2 <= arguments.m) {
    RunTile<2, NV>(arguments, panel, stride, row, column, columns);
    row += 2;
  }
  if (row < arguments.m) RunTile<1, NV>(arguments, panel, stride, row, column, columns);
}

template <int NV>
void RunPanel(const MatMulArguments& arguments, size_t vectors, const float* panel, size_t stride,
              size_t column, size_t columns) {
  if constexpr (NV > 1) {
    if (vectors < NV) {
      RunPanel<NV - 1>(arguments, vectors, panel, stride, column, columns);
      return;
    }
  }
  RunRows<NV>(arguments, panel, stride, column, columns);
}

// A product whose left side has many zero columns. Row blocks are the outer loop here, so that the
// list of a block is made once and serves all panels of the right side.
struct Listed {
  const MatMulArguments& arguments;
  uint32_t* entries;    // of the row block at hand
  const float* packed;  // the last panel where it is not whole vectors: [k, whole vectors]
  size_t packed_column;
};

template <int MR, int NV, size_t kFarAhead>
HWY_NOINLINE void RunListedTile(const Listed& product, size_t count, size_t row, size_t column) {
  const MatMulArguments& arguments = product.arguments;
  const size_t width = NV * hn::Lanes(FloatTag());
  const bool packed = column == product.packed_column;
  TileSum<MR, NV> sum;
  AccumulateListed<MR, NV, kFarAhead>(
      arguments.a + row * arguments.a_row_stride, arguments.a_row_stride, 1,
      packed ? product.packed : arguments.b + column, packed ? width : arguments.b_stride,
      product.entries, count, sum);
  StoreTile<MR, NV>(arguments, sum, row, column, std::min(width, arguments.n - column));
}

template <int MR, int NV, size_t kFarAhead>
void RunListedPanel(const Listed& product, size_t vectors, size_t count, size_t row,
                    size_t column) {
  if constexpr (NV > 1) {
    if (vectors < NV) {
      RunListedPanel<MR, NV - 1, kFarAhead>(product, vectors, count, row, column);
      return;
    }
  }
  RunListedTile<MR, NV, kFarAhead>(product, count, row, column);
}

template <int MR, size_t kFarAhead>
void RunListedBlock(const Listed& product, size_t row) {
  const MatMulArguments& arguments = product.arguments;
  const size_t lanes = hn::Lanes(FloatTag());
  const size_t count =
      ListColumns<MR>(arguments.a + row * arguments.a_row_stride, arguments.a_row_stride,
                      arguments.k, product.entries, kAhead);
  for (size_t column = 0; column < arguments.n; column += kTileVectors * lanes) {
    const size_t vectors = (arguments.n - column + lanes - 1) / lanes;
    RunListedPanel<MR, kTileVectors, kFarAhead>(product, vectors, count, row, column);
  }
}

void RunListed(const MatMulArguments& arguments) {
  const size_t lanes = hn::Lanes(FloatTag());
  auto* entries = reinterpret_cast<uint32_t*>(arguments.scratch);
  float* packed = arguments.scratch + ListWords(arguments.k);
  const size_t last = (arguments.n - 1) / (kTileVectors * lanes) * (kTileVectors * lanes);
  const size_t width = (arguments.n - last + lanes - 1) / lanes * lanes;
  const bool ragged = arguments.n % lanes != 0;
  if (ragged) {
    PackPanel(arguments.b + last, arguments.b_stride, false, arguments.k, arguments.n - last, width,
              packed);
  }
  const Listed product{arguments, entries, packed, ragged ? last : arguments.n};
  // The first block is the one that meets weights which another core has just written.
  size_t row = 0;
  for (; row + kTileRows <= arguments.m; row += kTileRows) {
    if (row == 0) {
      RunListedBlock<kTileRows, kAhead>(product, row);
    } else {
      RunListedBlock<kTileRows, 0>(product, row);
    }
  }
  if (row + 2 <= arguments.m) {
    RunListedBlock<2, 0>(product, row);
    row += 2;
  }
  if (row < arguments.m) RunListedBlock<1, 0>(product, row);
}

// A product whose left side is zero in most places of its own in every row: each row takes its
// other places one by one, in blocks of k whose part of the right side stays in the first-level
// cache. The sums wait in c from block to block; their order is that of the tiles.
constexpr size_t kPlaces = 64;  // of a block: a word of bits

// Bit i is set where a[i] is not zero, i < count <= kPlaces.
HWY_INLINE uint64_t NonZeroPlaces(const float* HWY_RESTRICT a, size_t count) {
  const hn::CappedTag<uint32_t, 8> d;
  const size_t lanes = hn::Lanes(d);
  uint64_t places = 0;
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    uint8_t bits[8] = {};
    const auto value = hn::LoadU(d, reinterpret_cast<const uint32_t*>(a + i));
    hn::StoreMaskBits(d, hn::Ne(value, hn::Zero(d)), bits);
    places |= static_cast<uint64_t>(bits[0]) << i;
  }
  for (; i < count; ++i) places |= static_cast<uint64_t>(IsZeroBits(a + i) ? 0 : 1) << i;
  return places;
}

template <int NV>
HWY_NOINLINE void RunPlaces(const MatMulArguments& arguments, size_t column) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t k = 0; k < arguments.k; k += kPlaces) {
    const size_t count = std::min(kPlaces, arguments.k - k);
    const float* HWY_RESTRICT right = arguments.b + k * arguments.b_stride + column;
    const bool last = k + count == arguments.k;
    const float* later = right + count * arguments.b_stride;
    const size_t rows_later = last ? 0 : std::min(kPlaces, arguments.k - k - count);
    const size_t each = (rows_later + arguments.m - 1) / arguments.m;
    for (size_t row = 0; row < arguments.m; ++row) {
      // The next block may come from memory, if another core has just written it.
      for (size_t r = row * each; r < std::min((row + 1) * each, rows_later); ++r) {
        for (size_t line = 0; line < NV * lanes; line += 16) {
          hwy::Prefetch(later + r * arguments.b_stride + line);
        }
      }
      const float* HWY_RESTRICT a = arguments.a + row * arguments.a_row_stride + k;
      float* HWY_RESTRICT c = arguments.c + row * arguments.c_stride + column;
      TileSum<1, NV> sum;
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        sum.v[0][j] = k == 0 ? hn::Zero(d) : hn::LoadU(d, c + static_cast<size_t>(j) * lanes);
      }
      for (uint64_t places = NonZeroPlaces(a, count); places != 0; places &= places - 1) {
        const auto place = static_cast<size_t>(std::countr_zero(places));
        const FloatVector left = hn::Set(d, a[place]);
        const float* from = right + place * arguments.b_stride;
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) {
          sum.v[0][j] =
              hn::MulAdd(left, hn::LoadU(d, from + static_cast<size_t>(j) * lanes), sum.v[0][j]);
        }
      }
      if (last) {
        StoreTile<1, NV>(arguments, sum, row, column, NV * lanes);
        continue;
      }
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        hn::StoreU(sum.v[0][j], d, c + static_cast<size_t>(j) * lanes);
      }
    }
  }
}

// Whether whole panels of eight sums, few rows' worth of blocks and sparse rows make that best.
bool SuitsPlaces(const MatMulArguments& arguments) {
  const size_t width = 8 * hn::Lanes(FloatTag());
  if (kTileVectors > 2 || arguments.n % width != 0 || arguments.m < 8) return false;
  size_t set = 0;
  size_t looked_at = 0;
  for (size_t row = 0; row < arguments.m; row += (arguments.m + 3) / 4) {
    for (size_t k = 0; k + kPlaces <= arguments.k; k += kPlaces) {
      const float* a = arguments.a + row * arguments.a_row_stride + k;
      set += static_cast<size_t>(std::popcount(NonZeroPlaces(a, kPlaces)));
      looked_at += kPlaces;
    }
  }
  return 3 * set < looked_at;
}

bool HasManyZeroColumnsImpl(const MatMulArguments& arguments) {
  // Long rows of the right side lie far apart: reading some of them in place is slow then, beside
  // the blocked product, which reads all.
  const size_t worthwhile = arguments.n >= 512 ? kProbes * 5 / 8 : kWorthwhile;
  return arguments.a_column_stride == 1 &&
         HasZeroColumns(arguments.a, arguments.a_row_stride,
                        std::min<size_t>(kTileRows, arguments.m), arguments.k, worthwhile);
}

void MatMulImpl(const MatMulArguments& arguments) {
  const size_t lanes = hn::Lanes(FloatTag());
  if (!arguments.b_transposed && arguments.n > 0 && HasManyZeroColumnsImpl(arguments)) {
    if (SuitsPlaces(arguments)) {
      const size_t width = 8 * lanes;
      for (size_t column = 0; column < arguments.n; column += width)
        RunPlaces<8>(arguments, column);
    } else {
      RunListed(arguments);
    }
    return;
  }
  float* packed = arguments.scratch;
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
    RunPanel<kTileVectors>(arguments, vectors, panel, stride, column, columns);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(MatMulImpl);
HWY_EXPORT(HasManyZeroColumnsImpl);

size_t MatMulScratchFloats(size_t n, size_t k, bool b_transposed) {
  return ListWords(k) + (b_transposed || n % kWidestPanel != 0 ? k * kWidestPanel : 0);
}

void MatMul(const MatMulArguments& arguments) {
  HWY_DYNAMIC_DISPATCH(MatMulImpl)(arguments);
}

bool HasManyZeroColumns(const MatMulArguments& arguments) {
  return HWY_DYNAMIC_DISPATCH(HasManyZeroColumnsImpl)(arguments);
}

}  // namespace ingot::cpu
#endif
