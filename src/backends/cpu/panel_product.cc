// Products of panels, and the copies that make them.
#include "backends/cpu/panel_product.h"

#include <algorithm>

#include "backends/cpu/matrix_tile.h"

namespace ingot::cpu {

namespace {

void Run(const PanelProduct& x, const PanelProduct* then) {
  const TileSet& tiles = Tiles();
  const MatrixTileSet& matrix_tiles = MatrixTiles();
  MatrixTile tile;
  tile.a_row = x.a_row;
  tile.a_column = x.a_column;
  tile.b_row = x.b_row;
  tile.k = x.k;
  tile.c_row = x.c_row;
  tile.continues = x.continues;
  MatrixTile second;
  if (then != nullptr) {
    tile.then = &second;
    second.a_row = then->a_row;
    second.a_column = then->a_column;
    second.k = then->k;
  }
  for (size_t column = 0; column < x.n; column += tiles.width()) {
    tile.columns = std::min(tiles.width(), x.n - column);
    const size_t vectors = (tile.columns + tiles.lanes - 1) / tiles.lanes;
    tile.b = x.b + (x.packed ? column * x.k : column);
    if (x.packed) tile.b_row = vectors * tiles.lanes;
    if (then != nullptr) {
      second.b = then->b + column * then->k;
      second.b_row = vectors * tiles.lanes;
    }
    // Rows cut evenly: a few tiles of five are better than one of six and one of two.
    const size_t pieces = (x.m + kMostTileRows - 1) / kMostTileRows;
    for (size_t piece = 0; piece < pieces; ++piece) {
      const size_t row = x.m * piece / pieces;
      const size_t rows = x.m * (piece + 1) / pieces - row;
      tile.a = x.a + row * x.a_row;
      if (then != nullptr) second.a = then->a + row * then->a_row;
      tile.c = x.c + row * x.c_row + column;
      matrix_tiles.strided[rows - 1][vectors - 1](tile);
    }
  }
}

}  // namespace

void Multiply(const PanelProduct& product) {
  Run(product, nullptr);
}

void MultiplyBoth(const PanelProduct& first, const PanelProduct& then) {
  Run(first, &then);
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
