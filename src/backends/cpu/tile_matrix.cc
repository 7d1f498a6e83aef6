// Blocking of a small product.
#include "backends/cpu/tile_matrix.h"

#include <algorithm>

#include "backends/cpu/counts.h"

namespace ingot::cpu {

void MultiplyByPanels(const TileSet& tiles, const float* v, const float* w, int64_t rows, int64_t k,
                      int64_t outputs, int64_t width, float* m) {
  const auto panel = static_cast<int64_t>(tiles.width());
  const auto lanes = static_cast<int64_t>(tiles.lanes);
  const int64_t depths = CeilDiv(k, static_cast<int64_t>(tiles.depth));
  const int64_t row_tiles = CeilDiv(rows, static_cast<int64_t>(kMostTileRows));
  const float* a[kMostTileRows];
  float* c[kMostTileRows];
  const TilePair pair;
  TileCall call;
  call.a = a;
  call.c = c;
  call.pairs = &pair;
  call.pair_count = 1;
  for (int64_t first = 0; first < outputs; first += panel) {
    const int64_t row = std::min(panel, width - first);
    call.columns = static_cast<size_t>(std::min(panel, outputs - first));
    call.b_row = static_cast<size_t>(row);
    for (int64_t depth = 0; depth < depths; ++depth) {
      const int64_t begin = k * depth / depths;
      call.k = static_cast<size_t>(k * (depth + 1) / depths - begin);
      call.b = w + first * k + begin * row;
      call.continues = depth > 0;
      for (int64_t tile = 0; tile < row_tiles; ++tile) {
        const int64_t from = rows * tile / row_tiles;
        const int64_t here = rows * (tile + 1) / row_tiles - from;
        for (int64_t r = 0; r < here; ++r) {
          a[r] = v + (from + r) * k + begin;
          c[r] = m + (from + r) * outputs + first;
        }
        tiles.run[here - 1][row / lanes - 1](call);
      }
    }
  }
}

}  // namespace ingot::cpu
