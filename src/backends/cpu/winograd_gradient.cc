// The transforms for every instruction set, and the products on the tile of tile_product.h.
#include "backends/cpu/winograd_gradient.h"

#include <algorithm>

#include "backends/cpu/counts.h"
#include "backends/cpu/tile_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/winograd_gradient.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/winograd_lines-inl.h"

#ifndef INGOT_BACKENDS_CPU_WINOGRAD_GRADIENT_CC_
#define INGOT_BACKENDS_CPU_WINOGRAD_GRADIENT_CC_
namespace ingot::cpu {

// A tile and where its transform goes: channel c of panel c / width at this slot.
struct WinogradPanelTile {
  const float* from[36];  // the places of the tile; null where zeros are
  size_t channels, width;
  float* to;
  size_t place_stride;
  size_t slot, slots;
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

HWY_INLINE float* PlaceOfChannel(const WinogradPanelTile& call, size_t c) {
  const size_t first = c / call.width * call.width;
  const size_t width = std::min(call.width, call.channels - first);
  return call.to + first * call.slots + call.slot * width + (c - first);
}

HWY_INLINE WVector LoadOrZero(WTag d, const float* from, size_t c) {
  return from == nullptr ? hn::Zero(d) : hn::LoadU(d, from + c);
}

void TransformPanelInputImpl(const WinogradPanelTile& call) {
  const WTag d;
  for (size_t c = 0; c < call.channels; c += hn::Lanes(d)) {
    WVector middle[6][6];  // [column][row]
    for (int x = 0; x < 6; ++x) {
      WVector in[6];
      for (int y = 0; y < 6; ++y) in[y] = LoadOrZero(d, call.from[y * 6 + x], c);
      InputLine(d, in, middle[x]);
    }
    float* to = PlaceOfChannel(call, c);
    for (int y = 0; y < 6; ++y) {
      const WVector in[6] = {middle[0][y], middle[1][y], middle[2][y],
                             middle[3][y], middle[4][y], middle[5][y]};
      WVector out[6];
      InputLine(d, in, out);
      for (int x = 0; x < 6; ++x, to += call.place_stride) hn::StoreU(out[x], d, to);
    }
  }
}

void TransformPanelGradientImpl(const WinogradPanelTile& call) {
  const WTag d;
  for (size_t c = 0; c < call.channels; c += hn::Lanes(d)) {
    WVector middle[4][6];  // [column][row]
    for (int x = 0; x < 4; ++x) {
      WVector in[4];
      for (int y = 0; y < 4; ++y) in[y] = LoadOrZero(d, call.from[y * 4 + x], c);
      OutputGradientLine(d, in, middle[x]);
    }
    float* to = PlaceOfChannel(call, c);
    for (int y = 0; y < 6; ++y) {
      const WVector in[4] = {middle[0][y], middle[1][y], middle[2][y], middle[3][y]};
      WVector out[6];
      OutputGradientLine(d, in, out);
      for (int x = 0; x < 6; ++x, to += call.place_stride) hn::StoreU(out[x], d, to);
    }
  }
}

// from [place][channel][width] to the 9 taps at `to`, `tap_stride` apart, `row_stride` from channel
// to channel.
void TransformFilterGradientImpl(const float* from, size_t place_stride, size_t channels,
                                 size_t width, bool continues, float* to, size_t tap_stride,
                                 size_t row_stride) {
  const WTag d;
  for (size_t c = 0; c < channels; ++c, from += width, to += row_stride) {
    for (size_t j = 0; j < width; j += hn::Lanes(d)) {
      WVector middle[6][3];  // [column][row]
      for (size_t x = 0; x < 6; ++x) {
        WVector in[6];
        for (size_t y = 0; y < 6; ++y) in[y] = hn::LoadU(d, from + (y * 6 + x) * place_stride + j);
        FilterGradientLine(d, in, middle[x]);
      }
      for (size_t y = 0; y < 3; ++y) {
        const WVector in[6] = {middle[0][y], middle[1][y], middle[2][y],
                               middle[3][y], middle[4][y], middle[5][y]};
        WVector out[3];
        FilterGradientLine(d, in, out);
        for (size_t x = 0; x < 3; ++x) {
          float* at = to + (y * 3 + x) * tap_stride + j;
          hn::StoreU(continues ? hn::Add(hn::LoadU(d, at), out[x]) : out[x], d, at);
        }
      }
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(TransformPanelInputImpl);
HWY_EXPORT(TransformPanelGradientImpl);
HWY_EXPORT(TransformFilterGradientImpl);

namespace {

constexpr int64_t kPlaces = 36;
constexpr int64_t kSide = 4;                       // positions of a tile along an axis
constexpr int64_t kBlockBytes = int64_t{3} << 20;  // of transformed tiles
constexpr int64_t kFewest = 64, kMost = 256;       // tiles of a block
constexpr int64_t kInputPanel = 16;                // channels
constexpr int64_t kTogether = 64;                  // channels that share a panel of gradients

}  // namespace

bool WinogradWeightGradient::Pays(const ConvolutionShape& shape) {
  const auto lanes = static_cast<int64_t>(Tiles().lanes);
  if (!WinogradGrid::Covers(shape) || lanes < 4 || lanes > kInputPanel) return false;
  if (shape.channels % kInputPanel != 0 || shape.outputs % kInputPanel != 0) return false;
  // Fewer give sums too short for the tile of the products.
  constexpr int64_t kFewestTiles = 16;
  return WinogradGrid(shape, kSide).count() >= kFewestTiles && WinogradGrid::Spares(shape, kSide);
}

WinogradWeightGradient::WinogradWeightGradient(const ConvolutionShape& shape)
    : shape_(shape), grid_(shape, kSide) {
  const int64_t bytes = kPlaces * 4 * (shape.channels + shape.outputs);  // of a tile
  blocks_ = CeilDiv(grid_.count(), std::clamp(kBlockBytes / bytes, kFewest, kMost));
  together_ = CeilDiv(grid_.count(), blocks_);
}

size_t WinogradWeightGradient::scratch_floats() const {
  const auto width = static_cast<int64_t>(Tiles().width());
  const int64_t channels = std::min(kTogether, shape_.channels);
  return static_cast<size_t>(kPlaces *
                             (WinogradGrid::Stride(together_, shape_.channels) +
                              WinogradGrid::Stride(together_, shape_.outputs) + channels * width));
}

void WinogradWeightGradient::Run(const float* x, const float* dy, float* dw, float* scratch) const {
  const auto width = static_cast<int64_t>(Tiles().width());
  for (int64_t i = 0; i < blocks_; ++i) {
    Block block;
    block.first = grid_.count() * i / blocks_;
    block.count = grid_.count() * (i + 1) / blocks_ - block.first;
    block.continues = i > 0;
    block.input_stride = WinogradGrid::Stride(block.count, shape_.channels);
    block.gradient_stride = WinogradGrid::Stride(block.count, shape_.outputs);
    block.inputs = scratch;
    block.gradients = block.inputs + kPlaces * block.input_stride;
    block.products = block.gradients + kPlaces * block.gradient_stride;
    for (int64_t slot = 0; slot < block.count; ++slot) {
      TransformInput(x, block, slot);
      TransformGradient(dy, block, slot);
    }
    for (int64_t c = 0; c < shape_.channels; c += kTogether) {
      const int64_t channels = std::min(kTogether, shape_.channels - c);
      for (int64_t j = 0; j < shape_.outputs; j += width) MultiplyPanel(block, c, channels, j, dw);
    }
  }
}

void WinogradWeightGradient::TransformInput(const float* x, const Block& block,
                                            int64_t slot) const {
  const auto [sample, row, column] = grid_.At(block.first + slot);
  const int64_t top = row - shape_.rows.pad, left = column - shape_.columns.pad;
  const int64_t rows = shape_.rows.input, columns = shape_.columns.input;
  WinogradPanelTile call;
  for (int64_t i = 0; i < kPlaces; ++i) {
    const int64_t y = top + i / 6, c = left + i % 6;
    const bool inside = y >= 0 && y < rows && c >= 0 && c < columns;
    call.from[i] = inside ? x + ((sample * rows + y) * columns + c) * shape_.channels : nullptr;
  }
  call.channels = static_cast<size_t>(shape_.channels);
  call.width = static_cast<size_t>(kInputPanel);
  call.to = block.inputs;
  call.place_stride = static_cast<size_t>(block.input_stride);
  call.slot = static_cast<size_t>(slot);
  call.slots = static_cast<size_t>(block.count);
  HWY_DYNAMIC_DISPATCH(TransformPanelInputImpl)(call);
}

void WinogradWeightGradient::TransformGradient(const float* dy, const Block& block,
                                               int64_t slot) const {
  const auto [sample, top, left] = grid_.At(block.first + slot);
  const int64_t rows = shape_.rows.output, columns = shape_.columns.output;
  WinogradPanelTile call;
  for (int64_t i = 0; i < kSide * kSide; ++i) {
    const int64_t y = top + i / kSide, c = left + i % kSide;
    const bool inside = y < rows && c < columns;
    call.from[i] = inside ? dy + ((sample * rows + y) * columns + c) * shape_.outputs : nullptr;
  }
  call.channels = static_cast<size_t>(shape_.outputs);
  call.width = Tiles().width();
  call.to = block.gradients;
  call.place_stride = static_cast<size_t>(block.gradient_stride);
  call.slot = static_cast<size_t>(slot);
  call.slots = static_cast<size_t>(block.count);
  HWY_DYNAMIC_DISPATCH(TransformPanelGradientImpl)(call);
}

// Channels [channel, channel + channels) by the panel of outputs that begins at `output`.
void WinogradWeightGradient::MultiplyPanel(const Block& block, int64_t channel, int64_t channels,
                                           int64_t output, float* dw) const {
  const TileSet& set = Tiles();
  const int64_t width = std::min(static_cast<int64_t>(set.width()), shape_.outputs - output);
  const float* a[kMostTileRows];
  float* c[kMostTileRows];
  const TilePair pair;
  TileCall call;
  call.a = a;
  call.a_column = static_cast<size_t>(kInputPanel);
  call.b_row = static_cast<size_t>(width);
  call.pairs = &pair;
  call.pair_count = 1;
  call.k = static_cast<size_t>(block.count);
  call.c = c;
  call.columns = static_cast<size_t>(width);
  const auto vectors = static_cast<size_t>(width) / set.lanes;
  constexpr int64_t kCalls = CeilDiv(kInputPanel, static_cast<int64_t>(kMostTileRows));
  for (int64_t place = 0; place < kPlaces; ++place) {
    call.b = block.gradients + place * block.gradient_stride + output * block.count;
    const float* inputs = block.inputs + place * block.input_stride;
    float* products = block.products + place * channels * width;
    for (int64_t first = 0; first < channels; first += kInputPanel) {
      const float* panel = inputs + (channel + first) * block.count;
      for (int64_t i = 0; i < kCalls; ++i) {
        const int64_t begin = kInputPanel * i / kCalls;
        const int64_t rows = kInputPanel * (i + 1) / kCalls - begin;
        for (int64_t r = 0; r < rows; ++r) {
          a[r] = panel + begin + r;
          c[r] = products + (first + begin + r) * width;
        }
        set.run[rows - 1][vectors - 1](call);
      }
    }
  }
  HWY_DYNAMIC_DISPATCH(TransformFilterGradientImpl)
  (block.products, static_cast<size_t>(channels * width), static_cast<size_t>(channels),
   static_cast<size_t>(width), block.continues, dw + channel * shape_.outputs + output,
   static_cast<size_t>(shape_.channels * shape_.outputs), static_cast<size_t>(shape_.outputs));
}

}  // namespace ingot::cpu
#endif
