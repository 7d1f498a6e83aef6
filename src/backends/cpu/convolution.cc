// Forward products and input gradients of convolutions. Both gather: each output position sums,
// over a list of taps, a row of input channels times a matrix of weights. With strides, an input
// gradient falls into phases: positions that meet the same taps.
#include "backends/cpu/convolution.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/cpu/counts.h"
#include "backends/cpu/tile_product.h"

namespace ingot::cpu {
namespace {

constexpr int64_t kGroupFloats = 1
                                 << 16;  // padded input of the samples that are worked on together
constexpr int64_t kMostKernel = 64;      // taps along an axis

// Along one axis, the positions of a phase: output position first + i * step for i < count reads
// input positions i * move + tap.offset, for its taps in order of their offsets.
struct AxisPhase {
  int64_t first = 0, step = 1, count = 0, move = 1;
  int64_t taps = 0;
  int64_t offset[kMostKernel];  // from the first element of the input, negative in the padding
  int64_t tap[kMostKernel];     // its number in the kernel
};

AxisPhase ForwardPhase(const ConvolutionAxis& axis) {
  AxisPhase phase;
  phase.count = axis.output;
  phase.move = axis.stride;
  phase.taps = axis.kernel;
  for (int64_t t = 0; t < axis.kernel; ++t) {
    phase.offset[t] = t * axis.dilation - axis.pad;
    phase.tap[t] = t;
  }
  return phase;
}

// Of positions i * stride + number of the gradient: they meet output i + offset through a tap.
AxisPhase GradientPhase(const ConvolutionAxis& axis, int64_t number) {
  AxisPhase phase;
  phase.first = number;
  phase.step = axis.stride;
  phase.count = number < axis.input ? CeilDiv(axis.input - number, axis.stride) : 0;
  for (int64_t t = axis.kernel; t-- > 0;) {
    const int64_t distance = number + axis.pad - t * axis.dilation;
    if (distance % axis.stride != 0) continue;
    phase.offset[phase.taps] = distance / axis.stride;
    phase.tap[phase.taps++] = t;
  }
  return phase;
}

// The padded input along an axis: `before` zeros, then the input, up to `extent` in all (which may
// leave some of the input out).
struct PaddedAxis {
  int64_t before = 0, extent = 0;

  void Cover(const AxisPhase& phase) {
    if (phase.count == 0 || phase.taps == 0) return;
    before = std::max(before, -phase.offset[0]);
    last = std::max(last, (phase.count - 1) * phase.move + phase.offset[phase.taps - 1]);
  }
  void Finish(int64_t input) {
    extent = before + last + 1;
    if (before == 0 && extent <= input) extent = input;  // as it stands
  }

 private:
  int64_t last = 0;
};

// What forward product and input gradient are to this file.
struct Gather {
  int64_t samples, groups;
  int64_t in_rows, in_columns, in_channels;     // of what is read
  int64_t out_rows, out_columns, out_channels;  // of what is written
  int64_t taps_across;                          // kernel columns
  // Weight of (tap, input channel p, output channel j) of group g: w[tap * tap_stride +
  // p * in_stride + j * out_stride + g * group_stride].
  int64_t tap_stride, in_stride, out_stride, group_stride;
  int64_t row_phases, column_phases;
  bool gradient;
  const ConvolutionShape* shape;

  AxisPhase Rows(int64_t number) const {
    return gradient ? GradientPhase(shape->rows, number) : ForwardPhase(shape->rows);
  }
  AxisPhase Columns(int64_t number) const {
    return gradient ? GradientPhase(shape->columns, number) : ForwardPhase(shape->columns);
  }
};

Gather ForwardGather(const ConvolutionShape& s) {
  const int64_t in_group = s.channels / s.groups;
  return {s.samples,
          s.groups,
          s.rows.input,
          s.columns.input,
          s.channels,
          s.rows.output,
          s.columns.output,
          s.outputs,
          s.columns.kernel,
          in_group * s.outputs,
          s.outputs,
          1,
          s.outputs / s.groups,
          1,
          1,
          false,
          &s};
}

Gather GradientGather(const ConvolutionShape& s) {
  const int64_t in_group = s.channels / s.groups;
  return {s.samples,
          s.groups,
          s.rows.output,
          s.columns.output,
          s.outputs,
          s.rows.input,
          s.columns.input,
          s.channels,
          s.columns.kernel,
          in_group * s.outputs,
          1,
          s.outputs,
          s.outputs / s.groups,
          s.rows.stride,
          s.columns.stride,
          true,
          &s};
}

class GatherProduct {
 public:
  GatherProduct(const Gather& gather, const ConvolutionOperands& operands)
      : g_(gather), x_(operands), tiles_(Tiles()) {
    for (int64_t i = 0; i < g_.row_phases; ++i) rows_.Cover(g_.Rows(i));
    for (int64_t i = 0; i < g_.column_phases; ++i) columns_.Cover(g_.Columns(i));
    rows_.Finish(g_.in_rows);
    columns_.Finish(g_.in_columns);
    in_group_ = g_.in_channels / g_.groups;
    out_group_ = g_.out_channels / g_.groups;
    plane_ = rows_.extent * columns_.extent * g_.in_channels;
    together_ = std::clamp<int64_t>(kGroupFloats / std::max<int64_t>(plane_, 1), 1,
                                    std::max<int64_t>(g_.samples, 1));
    copies_ = rows_.before > 0 || columns_.before > 0 || rows_.extent != g_.in_rows ||
              columns_.extent != g_.in_columns;
  }

  size_t ScratchFloats() const {
    return static_cast<size_t>(PackedFloats() + (copies_ ? RoundUp(together_ * plane_, 16) : 0)) +
           16;
  }

  void Run() {
    float* packed = x_.scratch;
    padded_ = x_.scratch + PackedFloats();
    PackWeights(packed);
    if (copies_) std::memset(padded_, 0, static_cast<size_t>(together_ * plane_) * sizeof(float));
    for (int64_t sample = 0; sample < g_.samples; sample += together_) {
      sample_ = sample;
      count_ = std::min(together_, g_.samples - sample);
      if (copies_) CopyPadded();
      const float* weights = packed;
      for (int64_t r = 0; r < g_.row_phases; ++r) {
        for (int64_t c = 0; c < g_.column_phases; ++c) {
          SetPhase(r, c);
          for (int64_t group = 0; group < g_.groups; ++group) weights = RunGroup(group, weights);
        }
      }
    }
  }

 private:
  // Consecutive rows of a panel of weights that are one call of the tile.
  struct Block {
    int64_t pair_begin, pairs, k_begin, k;
  };

  int64_t Width() const { return static_cast<int64_t>(tiles_.width()); }
  int64_t Lanes() const { return static_cast<int64_t>(tiles_.lanes); }

  int64_t PackedFloats() const {
    const int64_t taps = g_.shape->rows.kernel * g_.shape->columns.kernel;
    return RoundUp(taps * in_group_ * g_.groups * RoundUp(out_group_, Lanes()), 16);
  }

  // Neighbouring taps of a row read neighbouring pixels: together they are one longer product.
  void SetPhase(int64_t r, int64_t c) {
    row_ = g_.Rows(r);
    column_ = g_.Columns(c);
    bool neighbours = g_.groups == 1 && column_.taps > 0;
    for (int64_t t = 1; t < column_.taps; ++t) {
      neighbours = neighbours && column_.offset[t] == column_.offset[t - 1] + 1;
    }
    merged_ = neighbours ? column_.taps : 1;
    k_ = in_group_ * merged_;
    pairs_ = merged_ == 0 ? 0 : row_.taps * column_.taps / merged_;
    // About as many rows of a panel at once as stay in the first-level cache.
    const auto depth = static_cast<int64_t>(tiles_.depth);
    k_pieces_ = CeilDiv(k_, depth);
    const int64_t most = std::max<int64_t>(depth / std::max<int64_t>(k_, 1), 1);
    pair_pieces_ = std::max<int64_t>(CeilDiv(pairs_, most), 1);
  }

  int64_t Blocks() const { return k_pieces_ * pair_pieces_; }
  Block BlockAt(int64_t i) const {
    const int64_t piece = i / k_pieces_, part = i % k_pieces_;
    const int64_t pair = pairs_ * piece / pair_pieces_, k = k_ * part / k_pieces_;
    return {pair, pairs_ * (piece + 1) / pair_pieces_ - pair, k, k_ * (part + 1) / k_pieces_ - k};
  }

  // The kernel's tap that row p of the pair's matrix belongs to.
  int64_t TapOf(int64_t pair, int64_t p) const {
    const int64_t first = pair * merged_;
    const int64_t across = first % column_.taps + p / in_group_;
    return row_.tap[first / column_.taps] * g_.taps_across + column_.tap[across];
  }
  // Where the pair begins in the padded plane.
  int64_t OffsetOf(int64_t pair) const {
    const int64_t first = pair * merged_;
    const int64_t y = row_.offset[first / column_.taps] + rows_.before;
    const int64_t x = column_.offset[first % column_.taps] + columns_.before;
    return (y * columns_.extent + x) * g_.in_channels;
  }

  void PackWeights(float* to) {
    for (int64_t r = 0; r < g_.row_phases; ++r) {
      for (int64_t c = 0; c < g_.column_phases; ++c) {
        SetPhase(r, c);
        for (int64_t group = 0; group < g_.groups; ++group) {
          for (int64_t j = 0; j < out_group_; j += Width()) to = PackPanel(group, j, to);
        }
      }
    }
  }

  float* PackPanel(int64_t group, int64_t j, float* to) {
    const int64_t columns = std::min(Width(), out_group_ - j);
    const int64_t width = RoundUp(columns, Lanes());
    const float* from = x_.w + group * g_.group_stride + j * g_.out_stride;
    for (int64_t b = 0; b < Blocks(); ++b) {
      const Block block = BlockAt(b);
      for (int64_t pair = block.pair_begin; pair < block.pair_begin + block.pairs; ++pair) {
        for (int64_t p = block.k_begin; p < block.k_begin + block.k;) {
          const int64_t channel = p % in_group_;
          const int64_t run = std::min(in_group_ - channel, block.k_begin + block.k - p);
          const float* rows = from + TapOf(pair, p) * g_.tap_stride + channel * g_.in_stride;
          if (g_.out_stride == 1) {
            PackRows(rows, static_cast<size_t>(g_.in_stride), static_cast<size_t>(run),
                     static_cast<size_t>(columns), static_cast<size_t>(width), to);
          } else {
            tiles_.pack_transposed(rows, static_cast<size_t>(g_.out_stride),
                                   static_cast<size_t>(run), static_cast<size_t>(columns),
                                   static_cast<size_t>(width), to);
          }
          to += run * width;
          p += run;
        }
      }
    }
    return to;
  }

  void CopyPadded() {
    const int64_t first = std::max<int64_t>(rows_.before, 0);
    const int64_t rows = std::min(g_.in_rows, rows_.extent - rows_.before);
    const int64_t columns = std::min(g_.in_columns, columns_.extent - columns_.before);
    const int64_t channels = g_.in_channels;
    for (int64_t n = 0; n < count_; ++n) {
      const float* from = x_.x + (sample_ + n) * g_.in_rows * g_.in_columns * channels;
      float* to = padded_ + n * plane_ + (first * columns_.extent + columns_.before) * channels;
      for (int64_t y = 0; y < rows; ++y) {
        std::memcpy(to + y * columns_.extent * channels, from + y * g_.in_columns * channels,
                    static_cast<size_t>(columns * channels) * sizeof(float));
      }
    }
  }

  const float* RunGroup(int64_t group, const float* weights) {
    for (int64_t j = 0; j < out_group_; j += Width()) {
      const int64_t columns = std::min(Width(), out_group_ - j);
      const int64_t width = RoundUp(columns, Lanes());
      for (int64_t b = 0; b < Blocks(); ++b) {
        const Block block = BlockAt(b);
        RunBlock(group, group * out_group_ + j, columns, block, weights, b == 0, b + 1 == Blocks());
        weights += block.pairs * block.k * width;
      }
    }
    return weights;
  }

  void RunBlock(int64_t group, int64_t channel, int64_t columns, const Block& block,
                const float* weights, bool first, bool last) {
    TilePair pairs[kMostKernel * 4];
    const int64_t width = RoundUp(columns, Lanes());
    const float* a[kMostTileRows];
    float* c[kMostTileRows];
    const float* y[kMostTileRows];
    TileCall call;
    call.a = a;
    call.b = weights;
    call.b_row = static_cast<size_t>(width);
    call.pairs = pairs;
    call.k = static_cast<size_t>(block.k);
    call.c = c;
    call.columns = static_cast<size_t>(columns);
    if (last) {
      if (x_.bias != nullptr) call.bias = x_.bias + channel;
      if (x_.epilogue.kind != Epilogue::Kind::kNone) call.epilogue = &x_.epilogue;
      call.gradient_of = y;
    }
    const float* base = copies_ ? padded_ : x_.x + sample_ * plane_;
    base += group * in_group_ + block.k_begin;
    const int64_t positions = count_ * row_.count * column_.count;
    const int64_t tiles = CeilDiv(positions, static_cast<int64_t>(kMostTileRows));
    const size_t vectors = static_cast<size_t>(width / Lanes());
    constexpr int64_t kAtOnce = kMostKernel * 4;
    int64_t begin = 0;
    do {  // of the pairs; once, unless the kernel is huge
      const int64_t here = std::min(kAtOnce, block.pairs - begin);
      for (int64_t i = 0; i < here; ++i) {
        pairs[i] = {OffsetOf(block.pair_begin + begin + i), (begin + i) * block.k * width};
      }
      call.pair_count = static_cast<size_t>(here);
      call.continues = !first || begin > 0;
      int64_t n = 0, i = 0, j = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t rows = positions * (tile + 1) / tiles - positions * tile / tiles;
        for (int64_t r = 0; r < rows; ++r) {
          a[r] = base + n * plane_ +
                 (i * row_.move * columns_.extent + j * column_.move) * g_.in_channels;
          const int64_t out =
              (((sample_ + n) * g_.out_rows + row_.first + i * row_.step) * g_.out_columns +
               column_.first + j * column_.step) *
                  g_.out_channels +
              channel;
          c[r] = x_.y + out;
          if (x_.gradient_of != nullptr) y[r] = x_.gradient_of + out;
          if (++j == column_.count) {
            j = 0;
            if (++i == row_.count) {
              i = 0;
              ++n;
            }
          }
        }
        tiles_.run[rows - 1][vectors - 1](call);
      }
      begin += here;
    } while (begin < block.pairs);
  }

  const Gather g_;
  const ConvolutionOperands& x_;
  const TileSet& tiles_;
  PaddedAxis rows_, columns_;
  int64_t in_group_ = 0, out_group_ = 0;
  int64_t plane_ = 0;     // floats of a padded sample
  int64_t together_ = 1;  // samples
  bool copies_ = false;
  float* padded_ = nullptr;
  int64_t sample_ = 0, count_ = 0;
  AxisPhase row_, column_;  // the phase at hand
  int64_t merged_ = 1, k_ = 0, pairs_ = 0, k_pieces_ = 1, pair_pieces_ = 1;
};

}  // namespace

ConvolutionShape InputGradientShape(const ConvolutionShape& shape) {
  ConvolutionShape back = shape;
  std::swap(back.channels, back.outputs);
  for (ConvolutionAxis* axis : {&back.rows, &back.columns}) {
    std::swap(axis->input, axis->output);
    axis->pad = (axis->kernel - 1) * axis->dilation - axis->pad;
  }
  return back;
}

void ConvolutionForward(const ConvolutionShape& shape, const ConvolutionOperands& operands) {
  GatherProduct(ForwardGather(shape), operands).Run();
}

size_t ConvolutionForwardScratchFloats(const ConvolutionShape& shape) {
  return GatherProduct(ForwardGather(shape), {}).ScratchFloats();
}

void ConvolutionInputGradient(const ConvolutionShape& shape, const ConvolutionOperands& operands) {
  GatherProduct(GradientGather(shape), operands).Run();
}

size_t ConvolutionInputGradientScratchFloats(const ConvolutionShape& shape) {
  return GatherProduct(GradientGather(shape), {}).ScratchFloats();
}

}  // namespace ingot::cpu
