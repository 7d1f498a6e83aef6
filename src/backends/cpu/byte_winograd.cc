// The integer transforms for every instruction set, and the products on the tile of byte_tiles.h.
#include "backends/cpu/byte_winograd.h"

#include <algorithm>
#include <cstring>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/byte_winograd.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#ifndef INGOT_BACKENDS_CPU_BYTE_WINOGRAD_CC_
#define INGOT_BACKENDS_CPU_BYTE_WINOGRAD_CC_
namespace ingot::cpu {

struct ByteWinogradInput {
  const std::byte* from[36];  // the pixels that a tile meets; null where the padding is
  bool is_signed;
  int32_t zero;
  int64_t channels;
  int16_t* to;  // [place], zeros beyond the channels to a multiple of four
  int64_t place_stride;
};

struct ByteWinogradOutput {
  const int32_t* from;  // [place]
  int64_t place_stride;
  int64_t outputs;  // whole vectors
  int32_t* to;      // [side * side][outputs]
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using TileIn = hn::ScalableTag<int16_t>;
using TileInVector = hn::Vec<TileIn>;
using TileOut = hn::ScalableTag<int32_t>;
using TileOutVector = hn::Vec<TileOut>;

// Rows of B^T.
template <int kSide>
HWY_INLINE void TransformLine(const TileInVector* a, TileInVector* t) {
  if constexpr (kSide == 2) {
    t[0] = hn::Sub(a[0], a[2]);
    t[1] = hn::Add(a[1], a[2]);
    t[2] = hn::Sub(a[2], a[1]);
    t[3] = hn::Sub(a[1], a[3]);
  } else {
    const auto four = [](TileInVector v) HWY_ATTR { return hn::ShiftLeft<2>(v); };
    const auto five = [](TileInVector v) HWY_ATTR { return hn::Add(v, hn::ShiftLeft<2>(v)); };
    const TileInVector middle = hn::Sub(a[4], a[2]);
    const TileInVector outer = hn::ShiftLeft<1>(hn::Sub(a[3], a[1]));
    t[0] = hn::Add(hn::Sub(four(a[0]), five(a[2])), a[4]);
    t[1] = hn::Sub(hn::Add(a[3], a[4]), four(hn::Add(a[1], a[2])));
    t[2] = hn::Add(hn::Sub(a[4], a[3]), four(hn::Sub(a[1], a[2])));
    t[3] = hn::Add(middle, outer);
    t[4] = hn::Sub(middle, outer);
    t[5] = hn::Add(hn::Sub(four(a[1]), five(a[3])), a[5]);
  }
}

template <int kSide, typename T>
HWY_INLINE void TransformInputAt(const ByteWinogradInput& call, int64_t c, int64_t there) {
  constexpr int kLine = kSide + 2;
  const TileIn d;
  const hn::Rebind<T, TileIn> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const TileInVector zero = hn::Set(d, static_cast<int16_t>(call.zero));
  TileInVector middle[kLine][kLine];  // [row][column]
  for (int x = 0; x < kLine; ++x) {
    TileInVector in[kLine], out[kLine];
    for (int y = 0; y < kLine; ++y) {
      const auto* from = reinterpret_cast<const T*>(call.from[y * kLine + x]);
      if (from == nullptr) {
        in[y] = hn::Zero(d);
      } else if (there >= lanes) {
        in[y] = hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, from + c)), zero);
      } else {
        HWY_ALIGN T edge[HWY_MAX_BYTES / 2];
        std::fill(edge, edge + lanes, static_cast<T>(call.zero));
        std::memcpy(edge, from + c, static_cast<size_t>(there));
        in[y] = hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, edge)), zero);
      }
    }
    TransformLine<kSide>(in, out);
    for (int y = 0; y < kLine; ++y) middle[y][x] = out[y];
  }
  for (int y = 0; y < kLine; ++y) {
    TileInVector out[kLine];
    TransformLine<kSide>(middle[y], out);
    for (int x = 0; x < kLine; ++x) {
      int16_t* to = call.to + (y * kLine + x) * call.place_stride + c;
      if (there >= lanes) {
        hn::StoreU(out[x], d, to);
      } else {
        HWY_ALIGN int16_t edge[HWY_MAX_BYTES / 2];
        hn::Store(out[x], d, edge);
        for (int64_t i = 0; i < (there + 3) / 4 * 4; ++i) to[i] = i < there ? edge[i] : int16_t{0};
      }
    }
  }
}

template <int kSide, typename T>
void TransformBytes(const ByteWinogradInput& call) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(TileIn()));
  for (int64_t c = 0; c < call.channels; c += lanes) {
    TransformInputAt<kSide, T>(call, c, call.channels - c);
  }
}

void TransformBytesImpl(const ByteWinogradInput& call, int64_t side) {
  if (side == 4) {
    return call.is_signed ? TransformBytes<4, int8_t>(call) : TransformBytes<4, uint8_t>(call);
  }
  return call.is_signed ? TransformBytes<2, int8_t>(call) : TransformBytes<2, uint8_t>(call);
}

// Rows of A^T, times the denominators of G and without the factors that they share.
template <int kSide>
HWY_INLINE void CollectLine(const TileOutVector* m, TileOutVector* s) {
  if constexpr (kSide == 2) {
    s[0] = hn::Add(hn::Add(m[0], m[1]), m[2]);
    s[1] = hn::Sub(hn::Sub(m[1], m[2]), m[3]);
  } else {
    const auto six = [](TileOutVector v)
                         HWY_ATTR { return hn::Add(hn::ShiftLeft<2>(v), hn::ShiftLeft<1>(v)); };
    const TileOutVector sum = hn::Add(m[1], m[2]), difference = hn::Sub(m[1], m[2]);
    const TileOutVector sum2 = hn::Add(m[3], m[4]), difference2 = hn::Sub(m[3], m[4]);
    s[0] = hn::Add(hn::Add(six(m[0]), hn::ShiftLeft<2>(sum)), sum2);                // 24
    s[1] = hn::Add(hn::ShiftLeft<1>(difference), difference2);                      // 12
    s[2] = hn::Add(sum, sum2);                                                      // 6
    s[3] = hn::Add(hn::Add(difference, hn::ShiftLeft<1>(difference2)), six(m[5]));  // 6
  }
}

template <int kSide>
void CollectSums(const ByteWinogradOutput& call) {
  constexpr int kLine = kSide + 2;
  const TileOut d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kPower[4] = {3, 2, 1, 1};
  for (int64_t o = 0; o < call.outputs; o += lanes) {
    TileOutVector middle[kSide][kLine];  // [row][column]
    for (int x = 0; x < kLine; ++x) {
      TileOutVector in[kLine], out[kSide];
      for (int y = 0; y < kLine; ++y) {
        in[y] = hn::LoadU(d, call.from + (y * kLine + x) * call.place_stride + o);
      }
      CollectLine<kSide>(in, out);
      for (int y = 0; y < kSide; ++y) middle[y][x] = out[y];
    }
    for (int y = 0; y < kSide; ++y) {
      TileOutVector out[kSide];
      CollectLine<kSide>(middle[y], out);
      for (int x = 0; x < kSide; ++x) {
        TileOutVector sum = out[x];
        if constexpr (kSide == 2) {
          sum = hn::ShiftRight<2>(sum);
        } else {
          sum = hn::Mul(sum, hn::Set(d, 0x38e38e39));  // 9 times this is 1 modulo 2^32
          sum = hn::ShiftRightSame(sum, kPower[y] + kPower[x]);
        }
        hn::StoreU(sum, d, call.to + (y * kSide + x) * call.outputs + o);
      }
    }
  }
}

void CollectSumsImpl(const ByteWinogradOutput& call, int64_t side) {
  side == 4 ? CollectSums<4>(call) : CollectSums<2>(call);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(TransformBytesImpl);
HWY_EXPORT(CollectSumsImpl);

namespace {

constexpr int64_t kBlockBytes = int64_t{1} << 19;  // of transformed tiles that stay in cache
constexpr int64_t kMostTogether = 96;

// Rows of G, each times its denominator, of a line of filters: g [3][count], out [side + 2][count].
void TransformFilters(int64_t side, const int16_t* const* g, int64_t count, int16_t* const* out) {
  const int16_t *a = g[0], *b = g[1], *c = g[2];
  const auto number = [](int value) { return static_cast<int16_t>(value); };
  if (side == 2) {
    for (int64_t i = 0; i < count; ++i) {
      out[0][i] = number(2 * a[i]);
      out[1][i] = number(a[i] + b[i] + c[i]);
      out[2][i] = number(a[i] - b[i] + c[i]);
      out[3][i] = number(2 * c[i]);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) out[0][i] = a[i];
  for (int64_t i = 0; i < count; ++i) out[1][i] = number(-a[i] - b[i] - c[i]);
  for (int64_t i = 0; i < count; ++i) out[2][i] = number(-a[i] + b[i] - c[i]);
  for (int64_t i = 0; i < count; ++i) out[3][i] = number(a[i] + 2 * b[i] + 4 * c[i]);
  for (int64_t i = 0; i < count; ++i) out[4][i] = number(a[i] - 2 * b[i] + 4 * c[i]);
  for (int64_t i = 0; i < count; ++i) out[5][i] = c[i];
}

}  // namespace

int64_t ByteWinograd::SideFor(const ConvolutionShape& shape, int64_t most_sum) {
  if (!WinogradGrid::Covers(shape) || shape.channels < 16 || shape.outputs < 16) return 0;
  // Of a product of the filters of one place with each tile, and of reading them, which come from
  // beyond the caches where a network is run for one sample: relative times.
  const auto cost = [&](int64_t places, int64_t tiles) { return places * (tiles + 8); };
  const int64_t positions = shape.samples * shape.rows.output * shape.columns.output;
  int64_t least = 7 * cost(9, positions) / 10, best = 0;
  for (const int64_t side : {2, 4}) {
    const WinogradGrid grid(shape, side);
    if (most_sum >= (side == 4 ? int64_t{1} << 25 : int64_t{1} << 29)) continue;
    if (cost(grid.places(), grid.count()) >= least) continue;
    least = cost(grid.places(), grid.count());
    best = side;
  }
  return best;
}

ByteWinograd::ByteWinograd(const ConvolutionShape& shape, int64_t side)
    : shape_(shape),
      side_(side),
      grid_(shape, side),
      product_(ByteProduct::OfMatrices(1, shape.channels, shape.outputs)) {
  const int64_t tile_bytes = places() * (2 * product_.row() + 4 * product_.sums_row());
  together_ = std::clamp<int64_t>(kBlockBytes / tile_bytes / 4 * 4, 8, kMostTogether);
}

size_t ByteWinograd::packed_bytes() const {
  return static_cast<size_t>(places()) * RoundUp(product_.packed_bytes(), size_t{64});
}

void ByteWinograd::Pack(const std::function<void(int64_t output, int16_t* line)>& fill,
                        std::byte* to) const {
  std::memset(to, 0, packed_bytes());
  const size_t stride = RoundUp(product_.packed_bytes(), size_t{64});
  const int64_t channels = shape_.channels, padded = product_.padded_depth(), line = side_ + 2;
  std::vector<int16_t> filter(static_cast<size_t>(9 * channels));
  std::vector<int16_t> half(static_cast<size_t>(line * 3 * padded));            // [line][3]
  std::vector<int16_t> transformed(static_cast<size_t>(line * line * padded));  // [line][line]
  for (int64_t o = 0; o < shape_.outputs; ++o) {
    fill(o, filter.data());
    for (int64_t x = 0; x < 3; ++x) {
      const int16_t* g[3];
      int16_t* out[6] = {};
      for (int64_t y = 0; y < 3; ++y) g[y] = filter.data() + (y * 3 + x) * channels;
      for (int64_t y = 0; y < line; ++y) out[y] = half.data() + (y * 3 + x) * padded;
      TransformFilters(side_, g, channels, out);
    }
    for (int64_t y = 0; y < line; ++y) {
      const int16_t* g[3];
      int16_t* out[6] = {};
      for (int64_t x = 0; x < 3; ++x) g[x] = half.data() + (y * 3 + x) * padded;
      for (int64_t x = 0; x < line; ++x) out[x] = transformed.data() + (y * line + x) * padded;
      TransformFilters(side_, g, channels, out);
    }
    for (int64_t place = 0; place < places(); ++place) {
      product_.PackLine(o, transformed.data() + place * padded,
                        to + static_cast<size_t>(place) * stride);
    }
  }
}

int64_t ByteWinograd::BytesOf(int64_t slots) const {
  return places() * (RoundUp(WidePlace(slots) * 2, 64) + RoundUp(slots * 4, 64) +
                     RoundUp(SumsPlace(slots) * 4, 64));
}

ByteWinograd::Memory ByteWinograd::MemoryAt(std::byte* scratch, int64_t slots) const {
  Memory memory;
  memory.slots = slots;
  memory.wide = reinterpret_cast<int16_t*>(scratch);
  scratch += places() * RoundUp(WidePlace(slots) * 2, 64);
  memory.sums = reinterpret_cast<int32_t*>(scratch);
  scratch += places() * RoundUp(SumsPlace(slots) * 4, 64);
  memory.inner = reinterpret_cast<int32_t*>(scratch);
  return memory;
}

size_t ByteWinograd::OwnBytes() const {
  return static_cast<size_t>(RoundUp(side_ * side_ * product_.sums_row() * 4, 64));
}

size_t ByteWinograd::scratch_bytes() const {
  // The first thread's, and what follows it, holds what all share where there are few tiles.
  const int64_t slots = std::min<int64_t>(grid_.count(), 4 * together_);
  return static_cast<size_t>(BytesOf(slots)) + OwnBytes() + 64;
}

void ByteWinograd::Run(const std::byte* packed, const ByteOperands& operands, std::byte* scratch,
                       size_t scratch_stride, runtime::Team& team) const {
  const auto threads = static_cast<int64_t>(team.threads());
  const int64_t count = grid_.count();
  const auto own = [&](size_t thread) { return scratch + thread * scratch_stride; };
  // Each thread takes as many tiles as the others and reads all of the filters; or, where those are
  // large and the tiles few, some of the products, for which the transformed tiles change hands.
  const bool large =
      shape_.channels * shape_.outputs > 2 * (shape_.channels + shape_.outputs) * count;
  if (threads > 1 && large && count <= 4 * together_) {
    const Memory memory = MemoryAt(scratch + OwnBytes(), count);
    const auto pieces = static_cast<size_t>(std::min<int64_t>(count, threads * 4));
    const auto cut = [&](size_t i) {
      return count * static_cast<int64_t>(i) / static_cast<int64_t>(pieces);
    };
    team.ForEach(pieces, [&](size_t i, size_t) {
      for (int64_t t = cut(i); t < cut(i + 1); ++t) TransformInput(operands, t, t, memory);
    });
    team.ForEach(static_cast<size_t>(places()), [&](size_t place, size_t) {
      Multiply(packed, static_cast<int64_t>(place), memory);
    });
    team.ForEach(pieces, [&](size_t i, size_t thread) {
      for (int64_t t = cut(i); t < cut(i + 1); ++t) {
        TransformOutput(operands, t, t, memory, own(thread));
      }
    });
    return;
  }
  int64_t blocks = CeilDiv(count, together_);
  if (threads > 1 && blocks < 4 * threads) {
    blocks = std::min(CeilDiv(blocks, threads) * threads, count);
  }
  team.ForEach(static_cast<size_t>(blocks), [&](size_t block, size_t thread) {
    const int64_t begin = count * static_cast<int64_t>(block) / blocks;
    const int64_t tiles = count * (static_cast<int64_t>(block) + 1) / blocks - begin;
    const Memory memory = MemoryAt(own(thread) + OwnBytes(), tiles);
    for (int64_t t = 0; t < tiles; ++t) TransformInput(operands, begin + t, t, memory);
    for (int64_t place = 0; place < places(); ++place) Multiply(packed, place, memory);
    for (int64_t t = 0; t < tiles; ++t) {
      TransformOutput(operands, begin + t, t, memory, own(thread));
    }
  });
}

void ByteWinograd::TransformInput(const ByteOperands& operands, int64_t tile, int64_t slot,
                                  const Memory& memory) const {
  const auto [sample, row, column] = grid_.At(tile);
  const int64_t top = row - shape_.rows.pad, left = column - shape_.columns.pad;
  const int64_t rows = shape_.rows.input, columns = shape_.columns.input, line = side_ + 2;
  ByteWinogradInput call{};
  for (int64_t i = 0; i < places(); ++i) {
    const int64_t y = top + i / line, c = left + i % line;
    const bool inside = y >= 0 && y < rows && c >= 0 && c < columns;
    call.from[i] =
        inside ? operands.x + ((sample * rows + y) * columns + c) * shape_.channels : nullptr;
  }
  call.is_signed = operands.x_signed;
  call.zero = operands.x_zero;
  call.channels = shape_.channels;
  call.to = memory.wide + slot * product_.row();
  call.place_stride = RoundUp(WidePlace(memory.slots), int64_t{32});
  HWY_DYNAMIC_DISPATCH(TransformBytesImpl)(call, side_);
  for (int64_t place = 0; place < places(); ++place) {
    memory.inner[place * memory.slots + slot] =
        InnerOf(call.to + place * call.place_stride, product_.padded_depth());
  }
}

void ByteWinograd::Multiply(const std::byte* packed, int64_t place, const Memory& memory) const {
  product_.Multiply(
      memory.wide + place * RoundUp(WidePlace(memory.slots), int64_t{32}), product_.row(),
      memory.inner + place * memory.slots, memory.slots,
      packed + static_cast<size_t>(place) * RoundUp(product_.packed_bytes(), size_t{64}),
      memory.sums + place * RoundUp(SumsPlace(memory.slots), int64_t{16}));
}

void ByteWinograd::TransformOutput(const ByteOperands& operands, int64_t tile, int64_t slot,
                                   const Memory& memory, std::byte* own) const {
  const auto [sample, top, left] = grid_.At(tile);
  const int64_t rows = shape_.rows.output, columns = shape_.columns.output;
  ByteWinogradOutput call{};
  call.from = memory.sums + slot * product_.sums_row();
  call.place_stride = RoundUp(SumsPlace(memory.slots), int64_t{16});
  call.outputs = product_.sums_row();
  call.to = reinterpret_cast<int32_t*>(own);
  HWY_DYNAMIC_DISPATCH(CollectSumsImpl)(call, side_);
  RequantizeCall requantize = operands.finish;
  requantize.rows = 1;
  requantize.columns = shape_.outputs;
  const int64_t bytes = requantize.type == RequantizeCall::Type::kF32 ? 4 : 1;
  for (int64_t i = 0; i < side_ * side_; ++i) {
    const int64_t row = top + i / side_, column = left + i % side_;
    if (row >= rows || column >= columns) continue;
    const int64_t at = ((sample * rows + row) * columns + column) * shape_.outputs;
    const int32_t* sums = call.to + i * call.outputs;
    if (operands.sums != nullptr) {
      std::memcpy(operands.sums + at, sums, static_cast<size_t>(shape_.outputs) * 4);
      continue;
    }
    requantize.sums = sums;
    requantize.to = static_cast<std::byte*>(operands.finish.to) + at * bytes;
    Requantize(requantize);
  }
}

}  // namespace ingot::cpu
#endif
