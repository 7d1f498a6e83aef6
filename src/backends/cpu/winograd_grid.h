// How the outputs of a 3x3 convolution with stride 1 are cut into the tiles of Winograd's
// algorithms.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "backends/cpu/convolution.h"
#include "backends/cpu/counts.h"

namespace ingot::cpu {

class WinogradGrid {
 public:
  // A tile has side x side outputs.
  WinogradGrid(const ConvolutionShape& shape, int64_t side)
      : side_(side),
        rows_(CeilDiv(shape.rows.output, side)),
        columns_(CeilDiv(shape.columns.output, side)),
        count_(shape.samples * rows_ * columns_) {}

  // Whether the kernel is 3x3, without stride, dilation or groups.
  static bool Covers(const ConvolutionShape& shape) {
    for (const ConvolutionAxis* axis : {&shape.rows, &shape.columns}) {
      if (axis->kernel != 3 || axis->stride != 1 || axis->dilation != 1) return false;
    }
    return shape.groups == 1;
  }

  // Whether there are less than 0.7 of the multiplications of the direct product.
  static bool Spares(const ConvolutionShape& shape, int64_t side) {
    const WinogradGrid grid(shape, side);
    const int64_t positions = shape.samples * shape.rows.output * shape.columns.output;
    return 10 * grid.places() * grid.count() < 7 * 9 * positions;
  }

  int64_t count() const { return count_; }                      // of tiles, in all samples
  int64_t places() const { return (side_ + 2) * (side_ + 2); }  // of a transformed tile

  // From place to place: a cache line more than there is, since places that lie a power of two
  // apart would share a few sets of the caches.
  static int64_t Stride(int64_t slots, int64_t channels) { return slots * channels + 16; }

  // The sample of a tile, and the row and column of its first output.
  struct Place {
    int64_t sample, row, column;
  };
  Place At(int64_t tile) const {
    return {tile / (rows_ * columns_), tile / columns_ % rows_ * side_, tile % columns_ * side_};
  }

 private:
  int64_t side_;
  int64_t rows_, columns_, count_;
};

}  // namespace ingot::cpu
