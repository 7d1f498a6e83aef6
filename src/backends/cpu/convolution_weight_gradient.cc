// The weight gradient of a convolution: for each tap and input channel a row of products with all
// output channels, summed over positions. Inputs are copied as planes of one channel with zeros
// around them, so that a row of positions is a run of memory, whatever the tap.
#include <algorithm>
#include <cstring>

#include "backends/cpu/convolution.h"
#include "backends/cpu/counts.h"
#include "backends/cpu/tile_product.h"

namespace ingot::cpu {
namespace {

constexpr int64_t kPositions = 512;        // summed over in one call of the tile, about
constexpr int64_t kPlaneFloats = 1 << 17;  // of the samples that are worked on together
constexpr int64_t kMostPairs = 512;        // rows of positions in one call

// The positions that any window meets, zeros before the input's first.
int64_t Extent(const ConvolutionAxis& axis) {
  return std::max<int64_t>((axis.output - 1) * axis.stride, 0) + (axis.kernel - 1) * axis.dilation +
         1;
}

class WeightGradient {
 public:
  WeightGradient(const ConvolutionShape& shape, const ConvolutionOperands& operands)
      : s_(shape),
        x_(operands),
        tiles_(Tiles()),
        extent_rows_(Extent(shape.rows)),
        extent_columns_(Extent(shape.columns)),
        plane_(extent_rows_ * extent_columns_),
        positions_(shape.rows.output * shape.columns.output) {
    const int64_t by_positions = kPositions / std::max<int64_t>(positions_, 1);
    const int64_t by_memory = kPlaneFloats / std::max<int64_t>(plane_ * s_.channels, 1);
    const int64_t by_pairs = kMostPairs / std::max<int64_t>(s_.rows.output, 1);
    together_ = std::clamp<int64_t>(std::min({by_positions, by_memory, by_pairs}), 1,
                                    std::max<int64_t>(s_.samples, 1));
    planes_ = operands.scratch;
    if (operands.scratch != nullptr) panel_ = operands.scratch + PlaneFloats();
  }

  size_t ScratchFloats() const {
    return static_cast<size_t>(PlaneFloats() +
                               together_ * positions_ * static_cast<int64_t>(tiles_.width())) +
           16;
  }

  void Run() {
    const int64_t rows = s_.rows.kernel * s_.columns.kernel * (s_.channels / s_.groups);
    if (s_.samples == 0 || positions_ == 0) {
      std::memset(x_.y, 0, static_cast<size_t>(rows * s_.outputs) * sizeof(float));
      return;
    }
    std::memset(planes_, 0, static_cast<size_t>(PlaneFloats()) * sizeof(float));
    for (int64_t sample = 0; sample < s_.samples; sample += together_) {
      count_ = std::min(together_, s_.samples - sample);
      first_ = sample == 0;
      CopyPlanes(sample);
      const int64_t out_group = s_.outputs / s_.groups;
      const auto width = static_cast<int64_t>(tiles_.width());
      for (int64_t group = 0; group < s_.groups; ++group) {
        for (int64_t j = 0; j < out_group; j += width) {
          RunPanel(sample, group, group * out_group + j, std::min(width, out_group - j), rows);
        }
      }
    }
  }

 private:
  int64_t PlaneFloats() const { return RoundUp(together_ * s_.channels * plane_, 16); }

  void CopyPlanes(int64_t sample) {
    const int64_t channels = s_.channels;
    const int64_t rows = std::min(s_.rows.input, extent_rows_ - s_.rows.pad);
    const int64_t columns = std::min(s_.columns.input, extent_columns_ - s_.columns.pad);
    for (int64_t n = 0; n < count_; ++n) {
      const float* from = x_.x + (sample + n) * s_.rows.input * s_.columns.input * channels;
      float* to = planes_ + n * channels * plane_ + s_.rows.pad * extent_columns_ + s_.columns.pad;
      for (int64_t y = 0; y < rows; ++y) {
        const float* row = from + y * s_.columns.input * channels;
        for (int64_t c = 0; c < channels; ++c) {
          float* out = to + c * plane_ + y * extent_columns_;
          for (int64_t i = 0; i < columns; ++i) out[i] = row[i * channels + c];
        }
      }
    }
  }

  // All rows of the gradient, for the output channels [channel, channel + columns).
  void RunPanel(int64_t sample, int64_t group, int64_t channel, int64_t columns, int64_t rows) {
    const auto lanes = static_cast<int64_t>(tiles_.lanes);
    const int64_t width = RoundUp(columns, lanes);
    PackRows(x_.w + sample * positions_ * s_.outputs + channel, static_cast<size_t>(s_.outputs),
             static_cast<size_t>(count_ * positions_), static_cast<size_t>(columns),
             static_cast<size_t>(width), panel_);
    const float* a[kMostTileRows];
    float* c[kMostTileRows];
    TilePair pairs[kMostPairs];
    TileCall call;
    call.a = a;
    call.a_column = static_cast<size_t>(s_.columns.stride);
    call.b = panel_;
    call.b_row = static_cast<size_t>(width);
    call.pairs = pairs;
    call.k = static_cast<size_t>(s_.columns.output);
    call.c = c;
    call.columns = static_cast<size_t>(columns);
    const int64_t lines = count_ * s_.rows.output;
    for (int64_t begin = 0; begin < lines; begin += kMostPairs) {
      const int64_t here = std::min(kMostPairs, lines - begin);
      for (int64_t i = 0; i < here; ++i) {
        const int64_t n = (begin + i) / s_.rows.output, y = (begin + i) % s_.rows.output;
        pairs[i] = {n * s_.channels * plane_ + y * s_.rows.stride * extent_columns_,
                    (begin + i) * s_.columns.output * width};
      }
      call.pair_count = static_cast<size_t>(here);
      call.continues = !first_ || begin > 0;
      RunTiles(call, a, c, group, channel, rows, static_cast<size_t>(width / lanes));
    }
  }

  void RunTiles(const TileCall& call, const float** a, float** c, int64_t group, int64_t channel,
                int64_t rows, size_t vectors) {
    const int64_t in_group = s_.channels / s_.groups;
    const float* base = planes_ + group * in_group * plane_;
    const int64_t tiles = CeilDiv(rows, static_cast<int64_t>(kMostTileRows));
    int64_t row = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t end = rows * (tile + 1) / tiles;
      const int64_t count = end - row;
      for (int64_t r = 0; r < count; ++r, ++row) {
        const int64_t tap = row / in_group;
        const int64_t down = tap / s_.columns.kernel * s_.rows.dilation;
        const int64_t across = tap % s_.columns.kernel * s_.columns.dilation;
        a[r] = base + row % in_group * plane_ + down * extent_columns_ + across;
        c[r] = x_.y + row * s_.outputs + channel;
      }
      tiles_.run[count - 1][vectors - 1](call);
    }
  }

  const ConvolutionShape& s_;
  const ConvolutionOperands& x_;
  const TileSet& tiles_;
  const int64_t extent_rows_, extent_columns_, plane_, positions_;
  int64_t together_ = 1, count_ = 0;  // samples
  bool first_ = true;
  float* planes_ = nullptr;
  float* panel_ = nullptr;
};

}  // namespace

void ConvolutionWeightGradient(const ConvolutionShape& shape, const ConvolutionOperands& operands) {
  WeightGradient(shape, operands).Run();
}

size_t ConvolutionWeightGradientScratchFloats(const ConvolutionShape& shape) {
  return WeightGradient(shape, {}).ScratchFloats();
}

}  // namespace ingot::cpu
