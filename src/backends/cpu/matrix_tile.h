// The inner loop of matrix products whose operands lie in even rows: a register tile of up to six
// rows by a few vectors. It is the tile of tile_product.h without lists and pointers for each row,
// which leaves the loop to the multiplications: the same sums in the same order, the same bits.
//
// Compiled for every instruction set; code around it asks MatrixTiles() for the set in use.
#pragma once

#include <cstddef>

#include "backends/cpu/activation.h"
#include "backends/cpu/tile_product.h"

namespace ingot::cpu {

// For each row i of the tile and column j < columns:
//   c[i * c_row + j] = epilogue((continues ? c[i * c_row + j] : 0) +
//                               sum over p < k of a(i, p) * b[p * b_row + j] + bias[j])
// with a(i, p) = a[i * a_row + p * a_column], or a[p * rows + i] of a packed tile, of which b_row
// is the width of its whole vectors.
struct MatrixTile {
  const float* a = nullptr;
  size_t a_row = 0;
  size_t a_column = 1;
  const float* b = nullptr;  // rows of whole vectors: what is beyond `columns` is read, not used
  size_t b_row = 0;
  size_t k = 0;
  float* c = nullptr;
  size_t c_row = 0;
  size_t columns = 0;
  bool continues = false;
  const float* bias = nullptr;         // [columns], or null
  const Epilogue* epilogue = nullptr;  // null: none
  const float* gradient_of = nullptr;  // y of Epilogue kReluGradient, with c's stride
  const float* next_c = nullptr;       // where the tile after this one has its c: asked for early
  // Of a tile that is not packed: a product whose a, a_row, b, b_row and k are added to these sums.
  const MatrixTile* then = nullptr;
  // So many [rows, whole vectors], one after another: each plus the sums so far.
  const float* const* added = nullptr;
  size_t added_count = 0;
  // Of a packed tile:
  float* packs = nullptr;  // b is copied here as a panel on the way; null: it is not
  // Rows of b that the next tiles pack, asked for early: one for each p of which these bits are 0.
  const float* ahead = nullptr;
  size_t ahead_row = 0;
  size_t ahead_mask = 0;
};

struct MatrixTileSet {
  // [rows - 1][vectors - 1]
  using Run = void (*)(const MatrixTile& tile);
  // The last step by itself: c = epilogue(from + bias), whatever the number of rows and columns.
  void (*finish)(const MatrixTile& tile, size_t rows, const float* from, size_t from_row) = nullptr;
  Run packed[kMostTileRows][4] = {};
  Run strided[kMostTileRows][4] = {};
};

// For the instruction set in use; lanes and vectors are those of Tiles().
const MatrixTileSet& MatrixTiles();

}  // namespace ingot::cpu
