// The transforms for every instruction set, and the products on the tile of tile_product.h.
#include "backends/cpu/winograd.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backends/cpu/tile_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/winograd.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/winograd_lines-inl.h"

#ifndef INGOT_BACKENDS_CPU_WINOGRAD_CC_
#define INGOT_BACKENDS_CPU_WINOGRAD_CC_
namespace ingot::cpu {

// Where the 36 places of an input tile are read: null where the padding is.
struct WinogradInput {
  const float* from[36];
  size_t channels;
  float* to;  // [place][slot][channel], at this slot
  size_t place_stride;
};

struct WinogradOutput {
  const float* from;  // [place][slot][output], at this slot
  size_t place_stride;
  size_t outputs;
  float* to[16];              // null beyond the plane
  const float* residual[16];  // where there is one
  const float* bias;          // or null
  const Epilogue* epilogue;
};

// Filters of 3x3 for a few outputs, channel by channel.
struct WinogradFilters {
  const float* taps[9];  // [channel][output], `stride` floats from one channel to the next
  size_t stride;
  size_t channels;
  size_t outputs;  // of the panel: whole vectors
  float* to;       // [place][channel][output]
  size_t place_stride;
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
void TransformFiltersImpl(const WinogradFilters& call) {
  const WTag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c < call.channels; ++c) {
    for (size_t o = 0; o < call.outputs; o += lanes) {
      WVector middle[3][6];  // [column][row]
      for (size_t x = 0; x < 3; ++x) {
        WVector in[3];
        for (size_t y = 0; y < 3; ++y) {
          in[y] = hn::LoadU(d, call.taps[y * 3 + x] + c * call.stride + o);
        }
        FilterLine(d, in, middle[x]);
      }
      float* to = call.to + c * call.outputs + o;
      for (size_t y = 0; y < 6; ++y) {
        const WVector in[3] = {middle[0][y], middle[1][y], middle[2][y]};
        WVector out[6];
        FilterLine(d, in, out);
        for (size_t x = 0; x < 6; ++x) {
          hn::StoreU(out[x], d, to);
          to += call.place_stride;
        }
      }
    }
  }
}

// Channels in whole vectors; the last one is moved back where it would go beyond.
template <class Function>
HWY_INLINE void ForEachVector(size_t count, const Function& function) {
  const size_t lanes = hn::Lanes(WTag());
  for (size_t c = 0; c < count; c += lanes) function(std::min(c, count - lanes));
}

void TransformInputImpl(const WinogradInput& call) {
  const WTag d;
  ForEachVector(call.channels, [&](size_t c) HWY_ATTR {
    WVector middle[6][6];  // [column][row]
    for (int x = 0; x < 6; ++x) {
      WVector in[6];
      for (int y = 0; y < 6; ++y) {
        const float* from = call.from[y * 6 + x];
        in[y] = from == nullptr ? hn::Zero(d) : hn::LoadU(d, from + c);
      }
      InputLine(d, in, middle[x]);
    }
    float* to = call.to + c;
    for (int y = 0; y < 6; ++y) {
      const WVector in[6] = {middle[0][y], middle[1][y], middle[2][y],
                             middle[3][y], middle[4][y], middle[5][y]};
      WVector out[6];
      InputLine(d, in, out);
      for (int x = 0; x < 6; ++x) {
        hn::StoreU(out[x], d, to);
        to += call.place_stride;
      }
    }
  });
}

void TransformOutputImpl(const WinogradOutput& call) {
  const WTag d;
  ForEachVector(call.outputs, [&](size_t c) HWY_ATTR {
    WVector middle[6][4];  // [column][row]
    for (size_t x = 0; x < 6; ++x) {
      WVector in[6];
      for (size_t y = 0; y < 6; ++y) {
        in[y] = hn::LoadU(d, call.from + (y * 6 + x) * call.place_stride + c);
      }
      OutputLine(d, in, middle[x]);
    }
    const WVector bias = call.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, call.bias + c);
    for (int y = 0; y < 4; ++y) {
      const WVector in[6] = {middle[0][y], middle[1][y], middle[2][y],
                             middle[3][y], middle[4][y], middle[5][y]};
      WVector out[4];
      OutputLine(d, in, out);
      for (int x = 0; x < 4; ++x) {
        const int at = y * 4 + x;
        if (call.to[at] == nullptr) continue;
        WVector value = hn::Add(out[x], bias);
        if (call.residual[at] != nullptr) {
          value = hn::Add(value, hn::LoadU(d, call.residual[at] + c));
        }
        hn::StoreU(Activate(d, *call.epilogue, value, value), d, call.to[at] + c);
      }
    }
  });
}

size_t WinogradLanesImpl() {
  return hn::Lanes(WTag());
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(TransformFiltersImpl);
HWY_EXPORT(TransformInputImpl);
HWY_EXPORT(TransformOutputImpl);
HWY_EXPORT(WinogradLanesImpl);

namespace {

constexpr int64_t kPlaces = 36;
constexpr int64_t kTile = 4;                       // outputs of a tile along an axis
constexpr int64_t kBlockBytes = int64_t{3} << 18;  // of transformed tiles that stay in cache

}  // namespace

bool WinogradProduct::Pays(const ConvolutionShape& shape) {
  const auto lanes = static_cast<int64_t>(HWY_DYNAMIC_DISPATCH(WinogradLanesImpl)());
  if (!WinogradGrid::Covers(shape) || lanes < 4) return false;
  if (shape.channels < std::max<int64_t>(lanes, 16)) return false;
  if (shape.outputs < std::max<int64_t>(lanes, 16)) return false;
  const int64_t tiles = WinogradGrid(shape, kTile).count();
  // Below a dozen tiles the transformed filters, four times as large, are all that counts.
  constexpr int64_t kSmallFilters = int64_t{3} << 19;  // bytes that stay in the caches anyway
  const bool small = 36 * 4 * shape.channels * shape.outputs <= kSmallFilters && tiles >= 4;
  return (tiles >= 12 || small) && WinogradGrid::Spares(shape, kTile);
}

WinogradProduct::WinogradProduct(const ConvolutionShape& shape)
    : shape_(shape), tiles_(shape, kTile, kBlockBytes, 48) {}

// [place][panel][channel][output of the panel].
void WinogradProduct::Pack(const float* w, float* packed) const {
  const TileSet& tiles = Tiles();
  const auto panel = static_cast<int64_t>(tiles.width());
  const auto depth = static_cast<size_t>(9 * shape_.channels);
  std::vector<float> rows(depth * tiles.width() + 8);  // [channel][tap][output]
  for (int64_t first = 0; first < shape_.outputs; first += panel) {
    const int64_t here = std::min(panel, shape_.outputs - first);
    const int64_t width = std::min(panel, tiles_.width() - first);
    tiles.pack_transposed(w + first * static_cast<int64_t>(depth), depth, depth,
                          static_cast<size_t>(here), static_cast<size_t>(width), rows.data());
    const float* taps[9];
    for (int64_t tap = 0; tap < 9; ++tap) taps[tap] = rows.data() + tap * width;
    PackPanel(first, taps, 9 * width, packed);
  }
}

void WinogradProduct::PackPanel(int64_t first, const float* const (&taps)[9], int64_t stride,
                                float* packed) const {
  // The places lie far apart, often by a power of two: some channels at a time go through memory
  // of our own, or the caches would hold few of the lines that are being written.
  constexpr int64_t kTogether = 16;
  float transformed[kPlaces * kTogether * kWidestTile];
  const int64_t width = std::min(static_cast<int64_t>(Tiles().width()), tiles_.width() - first);
  float* const to = packed + first * shape_.channels;
  for (int64_t begin = 0; begin < shape_.channels; begin += kTogether) {
    WinogradFilters call;
    for (size_t tap = 0; tap < 9; ++tap) call.taps[tap] = taps[tap] + begin * stride;
    call.stride = static_cast<size_t>(stride);
    call.channels = static_cast<size_t>(std::min(kTogether, shape_.channels - begin));
    call.outputs = static_cast<size_t>(width);
    call.to = transformed;
    call.place_stride = call.channels * call.outputs;
    HWY_DYNAMIC_DISPATCH(TransformFiltersImpl)(call);
    for (int64_t place = 0; place < kPlaces; ++place) {
      std::memcpy(to + place * shape_.channels * tiles_.width() + begin * width,
                  transformed + static_cast<size_t>(place) * call.place_stride,
                  call.place_stride * sizeof(float));
    }
  }
}

void WinogradProduct::PackRows(const float* w, bool flipped, float* packed) const {
  const auto panel = static_cast<int64_t>(Tiles().width());
  for (int64_t first = 0; first < shape_.outputs; first += panel) {
    const float* taps[9];
    for (int64_t tap = 0; tap < 9; ++tap) {
      taps[tap] = w + (flipped ? 8 - tap : tap) * shape_.channels * shape_.outputs + first;
    }
    PackPanel(first, taps, shape_.outputs, packed);
  }
}

void WinogradProduct::PackColumns(const float* w, bool flipped, float* scratch,
                                  float* packed) const {
  const TileSet& tiles = Tiles();
  const auto panel = static_cast<int64_t>(tiles.width());
  for (int64_t first = 0; first < shape_.outputs; first += panel) {
    const int64_t here = std::min(panel, shape_.outputs - first);
    const float* taps[9];
    for (int64_t tap = 0; tap < 9; ++tap) {
      const float* from = w + (flipped ? 8 - tap : tap) * shape_.channels * shape_.outputs;
      float* rows = scratch + tap * shape_.channels * here;  // [channel][output]
      tiles.pack_transposed(from + first * shape_.channels, static_cast<size_t>(shape_.channels),
                            static_cast<size_t>(shape_.channels), static_cast<size_t>(here),
                            static_cast<size_t>(here), rows);
      taps[tap] = rows;
    }
    PackPanel(first, taps, here, packed);
  }
}

void WinogradProduct::Run(const float* packed, const PackedOperands& operands, std::byte* scratch,
                          size_t scratch_stride, runtime::Team& team) const {
  tiles_.Run(
      packed, scratch, scratch_stride, team,
      [&](int64_t tile, int64_t slot, int64_t stride, float* v) {
        TransformInput(operands.x, tile, slot, stride, v);
      },
      [&](int64_t tile, int64_t slot, int64_t stride, const float* m) {
        TransformOutput(operands, tile, slot, stride, m);
      });
}

void WinogradProduct::TransformInput(const float* x, int64_t tile, int64_t slot, int64_t stride,
                                     float* v) const {
  const auto [sample, row, column] = tiles_.grid().At(tile);
  const int64_t top = row - shape_.rows.pad, left = column - shape_.columns.pad;
  const int64_t rows = shape_.rows.input, columns = shape_.columns.input;
  WinogradInput call;
  call.channels = static_cast<size_t>(shape_.channels);
  call.place_stride = static_cast<size_t>(stride);
  call.to = v + slot * shape_.channels;
  for (int64_t i = 0; i < kPlaces; ++i) {
    const int64_t y = top + i / 6, c = left + i % 6;
    const bool inside = y >= 0 && y < rows && c >= 0 && c < columns;
    call.from[i] = inside ? x + ((sample * rows + y) * columns + c) * shape_.channels : nullptr;
  }
  HWY_DYNAMIC_DISPATCH(TransformInputImpl)(call);
}

void WinogradProduct::TransformOutput(const PackedOperands& operands, int64_t tile, int64_t slot,
                                      int64_t stride, const float* m) const {
  const auto [sample, top, left] = tiles_.grid().At(tile);
  const int64_t rows = shape_.rows.output, columns = shape_.columns.output;
  WinogradOutput call;
  call.from = m + slot * shape_.outputs;
  call.place_stride = static_cast<size_t>(stride);
  call.outputs = static_cast<size_t>(shape_.outputs);
  call.bias = operands.bias;
  call.epilogue = &operands.epilogue;
  for (int64_t i = 0; i < kTile * kTile; ++i) {
    const int64_t y = top + i / kTile, x = left + i % kTile;
    const bool inside = y < rows && x < columns;
    const int64_t at = ((sample * rows + y) * columns + x) * shape_.outputs;
    call.to[i] = inside ? operands.y + at : nullptr;
    call.residual[i] = inside && operands.residual != nullptr ? operands.residual + at : nullptr;
  }
  HWY_DYNAMIC_DISPATCH(TransformOutputImpl)(call);
}

}  // namespace ingot::cpu
#endif
