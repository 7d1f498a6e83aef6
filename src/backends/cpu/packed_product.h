// Products of f32 with weights that were packed beforehand, for inference: matrix products and
// convolutions (channels last) on the tile of tile_product.h, shared by the threads of a team.
//
// y[n, position, o] = epilogue(sum over taps and channels of x[n, position at tap, c] * w[tap, c,
// o]
//                              + bias[o] + residual[n, position, o]).
// A matrix product [M, K] x [K, N] is a convolution of one tap over a line of M positions. Sums go
// through taps and channels upwards, whatever the threads: the bits do not depend on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "backends/cpu/convolution.h"
#include "backends/cpu/tile_product.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {

struct PackedOperands {
  const float* x = nullptr;         // [N, H, W, C]
  const float* bias = nullptr;      // [O], or null
  const float* residual = nullptr;  // like y, or null
  float* y = nullptr;               // [N, OH, OW, O]
  Epilogue epilogue;
};

class PackedProduct {
 public:
  // On the tile of f32, or on another of elements of four bytes.
  explicit PackedProduct(const ConvolutionShape& shape, const TileSet& tiles = Tiles());
  // x [M, K], y [M, N].
  static PackedProduct OfMatrices(int64_t m, int64_t k, int64_t n, const TileSet& tiles = Tiles());

  size_t packed_floats() const;
  // weight(tap, channel in its group, output) for all; taps in row-major order.
  using Weight = std::function<const float*(int64_t tap, int64_t channel)>;
  // Where a row of weights begins: those of (tap, channel) for output o are at
  // first(tap, channel)[o * output_stride].
  void Pack(const Weight& first, int64_t output_stride, float* packed) const;

  // Weights that lie output by output, channel by channel and tap by tap, as ONNX stores those of
  // convolutions; of a matrix product: [N, K]. They need not be aligned.
  void PackFilters(const float* w, float* packed) const;
  // Those of a matrix product as [K, N].
  void PackMatrix(const float* w, float* packed) const;

  // Of each thread.
  size_t scratch_bytes() const;
  void Run(const float* packed, const PackedOperands& operands, std::byte* scratch,
           size_t scratch_stride, runtime::Team& team) const;

  const ConvolutionShape& shape() const { return shape_; }

 private:
  // Output rows [begin, end) of some samples, and some of the panels: what one thread takes.
  struct Task {
    int64_t sample, samples, row_begin, row_end, panel_begin, panel_end;
  };
  // A range of the sum that keeps its part of a panel in the first-level cache.
  struct Block {
    int64_t pair_begin, pairs, k_begin, k;
  };

  // How the work is cut: samples, then output rows, then panels.
  struct Cut {
    int64_t samples = 1, rows = 1, panels = 1;
  };
  // The tiles of a task, walked over by position.
  struct Walk;

  static constexpr int64_t kTasksPerThread = 8;

  void MakeBlocks();
  void SizeStripes();
  int64_t PaddedRows(int64_t rows) const;
  Cut CutFor(size_t threads) const;
  Task TaskAt(const Cut& cut, int64_t index) const;
  void RunTask(const Task& task, const float* packed, const PackedOperands& operands,
               float* scratch) const;
  Walk WalkOf(const Task& task, const float* from) const;
  int64_t Positions() const { return shape_.samples * shape_.rows.output * shape_.columns.output; }
  void Pad(const Task& task, const float* x, float* to) const;
  // Whether rows of a matrix are packed tile by tile before the product.
  bool PacksRows(const Task& task, const Walk& walk) const;
  bool StreamsWeights() const;
  bool PacksTogether() const;
  // Floats for a row of a packed tile; packing writes a little beyond a tile.
  int64_t PackedRow() const { return depth_ + 8; }
  void RunTogether(const Cut& cut, const float* packed, const PackedOperands& operands,
                   float* scratch, runtime::Team& team) const;
  static int64_t TilesOf(const Walk& walk);
  void PackTiles(const Walk& walk, int64_t begin, int64_t end, float* to) const;
  void RunPacked(const Task& task, const Walk& walk, const float* packed,
                 const PackedOperands& operands, const float* scratch) const;
  void RunPanels(const Task& task, Walk& walk, const float* packed,
                 const PackedOperands& operands) const;
  void RunTiles(Walk& walk, TileCall call, const PackedOperands& operands, bool last,
                bool wide) const;
  int64_t PanelsTogether(int64_t panel, int64_t end, int64_t positions) const;
  int64_t ColumnsOf(int64_t panel) const;   // outputs of a panel
  int64_t WidthOf(int64_t panel) const;     // floats of its rows
  int64_t PanelBegin(int64_t panel) const;  // where it begins in the packed weights

  ConvolutionShape shape_;
  const TileSet& tiles_;
  int64_t in_group_ = 0, out_group_ = 0;
  int64_t panels_in_group_ = 0, panels_ = 0;
  int64_t depth_ = 0;   // taps * channels of a group
  int64_t merged_ = 1;  // taps of a row that are one product
  int64_t pair_k_ = 0;  // channels of that product
  int64_t pairs_ = 0;   // such products
  bool pads_ = false;
  int64_t line_ = 0;     // pixels of a row of what the tiles read
  int64_t rows_ = 1;     // output rows of a task at most
  int64_t samples_ = 1;  // samples of a task at most
  std::vector<Block> blocks_;
  std::vector<TilePair> tile_pairs_;  // of the pairs, a: where the tap reads
};

}  // namespace ingot::cpu
