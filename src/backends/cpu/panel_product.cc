// Products of panels, and the copies that make them.
#include "backends/cpu/panel_product.h"

#include <algorithm>

#include "backends/cpu/tile_product.h"

namespace ingot::cpu {

void Multiply(const PanelProduct& x) {
  const TileSet& tiles = Tiles();
  const TilePair pair;
  const float* a[kMostTileRows];
  float* c[kMostTileRows];
  TileCall call;
  call.a = a;
  call.a_column = x.a_column;
  call.b_row = x.b_row;
  call.pairs = &pair;
  call.pair_count = 1;
  call.k = x.k;
  call.c = c;
  call.continues = x.continues;
  for (size_t column = 0; column < x.n; column += tiles.width()) {
    call.columns = std::min(tiles.width(), x.n - column);
    const size_t vectors = (call.columns + tiles.lanes - 1) / tiles.lanes;
    call.b = x.b + (x.packed ? column * x.k : column);
    if (x.packed) call.b_row = vectors * tiles.lanes;
    for (size_t row = 0; row < x.m; row += kMostTileRows) {
      const size_t rows = std::min(kMostTileRows, x.m - row);
      for (size_t i = 0; i < rows; ++i) {
        a[i] = x.a + (row + i) * x.a_row;
        c[i] = x.c + (row + i) * x.c_row + column;
      }
      tiles.run[rows - 1][vectors - 1](call);
    }
  }
}

void CopyPadded(const float* from, size_t stride, size_t rows, size_t columns, size_t width,
                float* to) {
  PackRows(from, stride, rows, columns, width, to);
}

void CopyTransposed(const float* from, size_t stride, size_t rows, size_t columns, size_t width,
                    float* to) {
  Tiles().pack_transposed(from, stride, columns, rows, width, to);
}

void PackPanels(const float* from, size_t stride, size_t k, size_t n, float* to) {
  const TileSet& tiles = Tiles();
  for (size_t column = 0; column < n; column += tiles.width()) {
    const size_t columns = std::min(tiles.width(), n - column);
    const size_t wide = (columns + tiles.lanes - 1) / tiles.lanes * tiles.lanes;
    PackRows(from + column, stride, k, columns, wide, to + column * k);
  }
}

void PackTransposedPanels(const float* from, size_t stride, size_t k, size_t n, float* to) {
  const TileSet& tiles = Tiles();
  for (size_t column = 0; column < n; column += tiles.width()) {
    const size_t columns = std::min(tiles.width(), n - column);
    const size_t wide = (columns + tiles.lanes - 1) / tiles.lanes * tiles.lanes;
    tiles.pack_transposed(from + column * stride, stride, k, columns, wide, to + column * k);
  }
}

}  // namespace ingot::cpu
