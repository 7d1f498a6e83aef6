// Counting the tiles, and the product at one place of all of them.
#include "backends/cpu/winograd_tiles.h"

#include "backends/cpu/tile_matrix.h"

namespace ingot::cpu {

WinogradTiles::WinogradTiles(const ConvolutionShape& shape, int64_t side, const TileSet& (*set)(),
                             int64_t block_bytes, int64_t most_together)
    : shape_(shape),
      set_(set),
      side_(side),
      places_((side + 2) * (side + 2)),
      rows_(CeilDiv(shape.rows.output, side)),
      columns_(CeilDiv(shape.columns.output, side)),
      count_(Count(shape, side)),
      width_(RoundUp(shape.outputs, static_cast<int64_t>(set().lanes))) {
  const int64_t tile_bytes = places_ * 4 * (shape.channels + shape.outputs);
  together_ = std::clamp<int64_t>(block_bytes / tile_bytes / 6 * 6, 12, most_together);
}

bool WinogradTiles::Covers(const ConvolutionShape& shape) {
  for (const ConvolutionAxis* axis : {&shape.rows, &shape.columns}) {
    if (axis->kernel != 3 || axis->stride != 1 || axis->dilation != 1) return false;
  }
  return shape.groups == 1;
}

int64_t WinogradTiles::Count(const ConvolutionShape& shape, int64_t side) {
  return shape.samples * CeilDiv(shape.rows.output, side) * CeilDiv(shape.columns.output, side);
}

double WinogradTiles::DirectProducts(const ConvolutionShape& shape) {
  return 9.0 * static_cast<double>(shape.samples * shape.rows.output) *
         static_cast<double>(shape.columns.output);
}

size_t WinogradTiles::packed_floats() const {
  return static_cast<size_t>(places_ * shape_.channels * width_) + kWidestTile;
}

size_t WinogradTiles::scratch_bytes() const {
  // The first thread's holds what all share where there are few tiles.
  const int64_t slots = std::max(together_, std::min<int64_t>(count_, 4 * together_));
  const int64_t floats = Stride(slots, shape_.channels) + Stride(slots, shape_.outputs);
  return static_cast<size_t>(places_ * floats) * sizeof(float) + 64;
}

void WinogradTiles::Multiply(const float* packed, int64_t place, int64_t slots, const float* v,
                             float* m) const {
  MultiplyByPanels(set_(), v + place * Stride(slots, shape_.channels),
                   packed + place * shape_.channels * width_, slots, shape_.channels,
                   shape_.outputs, width_, m + place * Stride(slots, shape_.outputs));
}

}  // namespace ingot::cpu
