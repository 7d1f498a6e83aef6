// How many tiles go together, and the product at one place of all of them.
#include "backends/cpu/winograd_tiles.h"

#include "backends/cpu/tile_matrix.h"

namespace ingot::cpu {

WinogradTiles::WinogradTiles(const ConvolutionShape& shape, int64_t side, int64_t block_bytes,
                             int64_t most_together)
    : shape_(shape),
      grid_(shape, side),
      width_(RoundUp(shape.outputs, static_cast<int64_t>(Tiles().lanes))) {
  const int64_t tile_bytes = grid_.places() * 4 * (shape.channels + shape.outputs);
  together_ = std::clamp<int64_t>(block_bytes / tile_bytes / 6 * 6, 12, most_together);
}

size_t WinogradTiles::packed_floats() const {
  return static_cast<size_t>(grid_.places() * shape_.channels * width_) + kWidestTile;
}

size_t WinogradTiles::scratch_bytes() const {
  // The first thread's holds what all share where there are few tiles.
  const int64_t slots = std::max(together_, std::min<int64_t>(grid_.count(), 4 * together_));
  const int64_t floats =
      WinogradGrid::Stride(slots, shape_.channels) + WinogradGrid::Stride(slots, shape_.outputs);
  return static_cast<size_t>(grid_.places() * floats) * sizeof(float) + 64;
}

void WinogradTiles::Multiply(const float* packed, int64_t place, int64_t slots, const float* v,
                             float* m) const {
  MultiplyByPanels(Tiles(), v + place * WinogradGrid::Stride(slots, shape_.channels),
                   packed + place * shape_.channels * width_, slots, shape_.channels,
                   shape_.outputs, width_, m + place * WinogradGrid::Stride(slots, shape_.outputs));
}

}  // namespace ingot::cpu
