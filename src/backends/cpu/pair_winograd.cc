// The integer transforms for every instruction set, and the products on the tile of pair_tiles.h.
#include "backends/cpu/pair_winograd.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/pair_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/pair_winograd.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#ifndef INGOT_BACKENDS_CPU_PAIR_WINOGRAD_CC_
#define INGOT_BACKENDS_CPU_PAIR_WINOGRAD_CC_
namespace ingot::cpu {

// Where the 16 places of an input tile are read: null where the padding is.
struct PairWinogradInput {
  const int16_t* from[16];
  size_t count;  // i16
  int16_t* to;   // [place][slot][count], at this slot
  size_t place_stride;
};

struct PairWinogradOutput {
  const uint32_t* from;  // [place][slot][output], at this slot
  size_t place_stride;
  size_t outputs;
  int32_t* to[4];  // null beyond the plane
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using PairIn = hn::ScalableTag<int16_t>;
using PairInVector = hn::Vec<PairIn>;
using PairOut = hn::ScalableTag<uint32_t>;
using PairOutVector = hn::Vec<PairOut>;

void TransformPairsImpl(const PairWinogradInput& call) {
  const PairIn d;
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c < call.count; c += lanes) {
    const size_t at = std::min(c, call.count - lanes);  // the last vector is moved back
    PairInVector middle[4][4];                          // [column][row]
    for (size_t x = 0; x < 4; ++x) {
      PairInVector in[4];
      for (size_t y = 0; y < 4; ++y) {
        const int16_t* from = call.from[y * 4 + x];
        in[y] = from == nullptr ? hn::Zero(d) : hn::LoadU(d, from + at);
      }
      middle[x][0] = hn::Sub(in[0], in[2]);
      middle[x][1] = hn::Add(in[1], in[2]);
      middle[x][2] = hn::Sub(in[2], in[1]);
      middle[x][3] = hn::Sub(in[1], in[3]);
    }
    int16_t* to = call.to + at;
    for (size_t y = 0; y < 4; ++y) {
      hn::StoreU(hn::Sub(middle[0][y], middle[2][y]), d, to);
      hn::StoreU(hn::Add(middle[1][y], middle[2][y]), d, to + call.place_stride);
      hn::StoreU(hn::Sub(middle[2][y], middle[1][y]), d, to + 2 * call.place_stride);
      hn::StoreU(hn::Sub(middle[1][y], middle[3][y]), d, to + 3 * call.place_stride);
      to += 4 * call.place_stride;
    }
  }
}

void TransformSumsImpl(const PairWinogradOutput& call) {
  const PairOut d;
  const hn::RebindToSigned<PairOut> di;
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c < call.outputs; c += lanes) {
    const size_t at = std::min(c, call.outputs - lanes);
    PairOutVector middle[4][2];  // [column][row]
    for (size_t x = 0; x < 4; ++x) {
      PairOutVector in[4];
      for (size_t y = 0; y < 4; ++y) {
        in[y] = hn::LoadU(d, call.from + (y * 4 + x) * call.place_stride + at);
      }
      middle[x][0] = hn::Add(hn::Add(in[0], in[1]), in[2]);
      middle[x][1] = hn::Sub(hn::Sub(in[1], in[2]), in[3]);
    }
    for (size_t y = 0; y < 2; ++y) {
      const PairOutVector out[2] = {hn::Add(hn::Add(middle[0][y], middle[1][y]), middle[2][y]),
                                    hn::Sub(hn::Sub(middle[1][y], middle[2][y]), middle[3][y])};
      for (size_t x = 0; x < 2; ++x) {
        int32_t* to = call.to[y * 2 + x];
        if (to != nullptr) hn::StoreU(hn::ShiftRight<2>(hn::BitCast(di, out[x])), di, to + at);
      }
    }
  }
}

size_t PairLanesImpl() {
  return hn::Lanes(PairIn());
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(TransformPairsImpl);
HWY_EXPORT(TransformSumsImpl);
HWY_EXPORT(PairLanesImpl);

namespace {

constexpr int64_t kPlaces = 16;
constexpr int64_t kTile = 2;                       // outputs of a tile along an axis
constexpr int64_t kBlockBytes = int64_t{1} << 19;  // of transformed tiles that stay in cache

// (2G) g (2G)^T.
void TransformFilter(const int (&g)[9], int (&out)[16]) {
  int half[4][3];
  for (int x = 0; x < 3; ++x) {
    half[0][x] = 2 * g[x];
    half[1][x] = g[x] + g[3 + x] + g[6 + x];
    half[2][x] = g[x] - g[3 + x] + g[6 + x];
    half[3][x] = 2 * g[6 + x];
  }
  for (int i = 0; i < 4; ++i) {
    out[i * 4] = 2 * half[i][0];
    out[i * 4 + 1] = half[i][0] + half[i][1] + half[i][2];
    out[i * 4 + 2] = half[i][0] - half[i][1] + half[i][2];
    out[i * 4 + 3] = 2 * half[i][2];
  }
}

}  // namespace

bool PairWinograd::Pays(const ConvolutionShape& paired) {
  const auto lanes = static_cast<int64_t>(HWY_DYNAMIC_DISPATCH(PairLanesImpl)());
  if (!WinogradGrid::Covers(paired) || lanes < 8) return false;
  if (2 * paired.channels > kMostWinogradChannels) return false;
  // Below that, the transforms take as long as they spare.
  if (2 * paired.channels < std::max<int64_t>(lanes, 32)) return false;
  if (paired.outputs < std::max<int64_t>(lanes, 32)) return false;
  return WinogradGrid(paired, kTile).count() >= 12 && WinogradGrid::Spares(paired, kTile);
}

PairWinograd::PairWinograd(const ConvolutionShape& paired)
    : shape_(paired), tiles_(paired, kTile, PairTiles, kBlockBytes, 96) {}

// [place][panel][pair][output of the panel].
void PairWinograd::Pack(const std::function<int16_t(int64_t, int64_t, int64_t)>& weight,
                        float* packed) const {
  const auto panel = static_cast<int64_t>(PairTiles().width());
  const int64_t pairs = shape_.channels;
  auto* halves = reinterpret_cast<int16_t*>(packed);
  for (int64_t o = 0; o < shape_.outputs; ++o) {
    const int64_t first = o / panel * panel;
    const int64_t row = std::min(panel, tiles_.width() - first);
    for (int64_t c = 0; c < 2 * pairs; ++c) {
      int g[9], transformed[16];
      for (int64_t tap = 0; tap < 9; ++tap) g[tap] = weight(o, c, tap);
      TransformFilter(g, transformed);
      int16_t* to = halves + 2 * (first * pairs + c / 2 * row + o % panel) + c % 2;
      for (int64_t place = 0; place < kPlaces; ++place) {
        to[2 * place * pairs * tiles_.width()] = static_cast<int16_t>(transformed[place]);
      }
    }
  }
}

void PairWinograd::Run(const float* packed, const PackedOperands& operands, std::byte* scratch,
                       size_t scratch_stride, runtime::Team& team) const {
  tiles_.Run(
      packed, scratch, scratch_stride, team,
      [&](int64_t tile, int64_t slot, int64_t stride, float* v) {
        TransformInput(operands.x, tile, slot, stride, v);
      },
      [&](int64_t tile, int64_t slot, int64_t stride, const float* m) {
        TransformOutput(operands.y, tile, slot, stride, m);
      });
}

void PairWinograd::TransformInput(const float* x, int64_t tile, int64_t slot, int64_t stride,
                                  float* v) const {
  const auto [sample, row, column] = tiles_.grid().At(tile);
  const int64_t top = row - shape_.rows.pad, left = column - shape_.columns.pad;
  const int64_t rows = shape_.rows.input, columns = shape_.columns.input;
  PairWinogradInput call;
  call.count = static_cast<size_t>(2 * shape_.channels);
  call.place_stride = static_cast<size_t>(2 * stride);
  call.to = reinterpret_cast<int16_t*>(v + slot * shape_.channels);
  for (int64_t i = 0; i < kPlaces; ++i) {
    const int64_t y = top + i / 4, c = left + i % 4;
    const bool inside = y >= 0 && y < rows && c >= 0 && c < columns;
    const float* from = x + ((sample * rows + y) * columns + c) * shape_.channels;
    call.from[i] = inside ? reinterpret_cast<const int16_t*>(from) : nullptr;
  }
  HWY_DYNAMIC_DISPATCH(TransformPairsImpl)(call);
}

void PairWinograd::TransformOutput(float* y, int64_t tile, int64_t slot, int64_t stride,
                                   const float* m) const {
  const auto [sample, top, left] = tiles_.grid().At(tile);
  const int64_t rows = shape_.rows.output, columns = shape_.columns.output;
  PairWinogradOutput call;
  call.from = reinterpret_cast<const uint32_t*>(m + slot * shape_.outputs);
  call.place_stride = static_cast<size_t>(stride);
  call.outputs = static_cast<size_t>(shape_.outputs);
  for (int64_t i = 0; i < kTile * kTile; ++i) {
    const int64_t row = top + i / kTile, column = left + i % kTile;
    float* to = y + ((sample * rows + row) * columns + column) * shape_.outputs;
    call.to[i] = row < rows && column < columns ? reinterpret_cast<int32_t*>(to) : nullptr;
  }
  HWY_DYNAMIC_DISPATCH(TransformSumsImpl)(call);
}

}  // namespace ingot::cpu
#endif
