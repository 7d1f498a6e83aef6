// The one inner loop of large products and convolutions: a register tile of up to six rows by a few
// vectors, to which a list of short products is added ("batch-reduce"), and the packing of panels.
//
// Compiled for every instruction set; code that blocks and packs around it is plain C++ and asks
// Tiles() for the set in use. Sums go through the pairs in their order and upwards in k within
// each, one fused multiply-add after another (where the instruction set has it), so that cutting a
// sum into calls of which each continues the one before changes no bit.
#pragma once

#include <cstddef>

#include "backends/cpu/activation.h"

namespace ingot::cpu {

// Rows of the largest tile, on every instruction set.
inline constexpr size_t kMostTileRows = 6;
// Rows of a tile that is wide instead: one row alone would wait for its sums.
inline constexpr size_t kMostWideRows = 3;
// Columns of the widest tile of any instruction set.
inline constexpr size_t kWidestTile = 64;

// Where one of the short products begins, in elements from the operands' first.
struct TilePair {
  ptrdiff_t a = 0;
  ptrdiff_t b = 0;
};

// For each row i of the tile and column j < columns:
//   c[i][j] = epilogue((continues ? c[i][j] : 0) +
//                      sum over pairs, sum over p < k, of
//                        a[i][pair.a + p * a_column] * b[pair.b + p * b_row + j] + bias[j] +
//                      residual[i][j])
struct TileCall {
  const float* const* a = nullptr;  // a pointer for each row
  size_t a_column = 1;
  const float* b = nullptr;  // rows of whole vectors: what is beyond `columns` is read, not used
  size_t b_row = 0;
  const TilePair* pairs = nullptr;
  size_t pair_count = 0;
  size_t k = 0;
  float* const* c = nullptr;  // a pointer for each row
  size_t columns = 0;
  bool continues = false;
  const float* bias = nullptr;                // [columns], or null
  const Epilogue* epilogue = nullptr;         // null: none
  const float* const* residual = nullptr;     // a pointer for each row, or null
  size_t panel = 0;                           // of a wide tile: from a panel of b to the next
  const float* const* gradient_of = nullptr;  // y of Epilogue kReluGradient, a pointer for each row
};

// The code for one instruction set.
struct TileSet {
  size_t lanes = 0;    // f32 in a vector
  size_t vectors = 0;  // of the widest tile
  size_t depth = 0;    // about as many rows of a panel of b stay in the first-level cache
  // [rows - 1][vectors - 1]
  void (*run[kMostTileRows][4])(const TileCall& call) = {};
  // Few rows by several whole panels of b, each of `width()` columns: [rows - 1], and how many.
  void (*run_wide[kMostWideRows])(const TileCall& call) = {};
  size_t wide_panels[kMostWideRows] = {};
  // panel[p * width + j] = from[j * stride + p] for p < k, j < columns; 0 for columns <= j < width.
  // The 7 floats behind the panel may be written too, with anything, where width < 8.
  void (*pack_transposed)(const float* from, size_t stride, size_t k, size_t columns, size_t width,
                          float* panel) = nullptr;

  size_t width() const { return lanes * vectors; }
};

// For the instruction set in use.
const TileSet& Tiles();

// panel[p * width + j] = from[p * stride + j] for p < k, j < columns; 0 for columns <= j < width.
void PackRows(const float* from, size_t stride, size_t k, size_t columns, size_t width,
              float* panel);

}  // namespace ingot::cpu
