// A group of columns of c at a time: register tiles of its transpose, then one transposition with
// bias and activation.
#include "backends/cpu/swapped_matmul.h"

#include <algorithm>

#include "backends/cpu/counts.h"
#include "backends/cpu/matrix_tile.h"

namespace ingot::cpu {
namespace {

constexpr size_t kMostRows = 192;  // of c: all of a, packed, should stay in the second-level cache
constexpr size_t kGroup = 48;      // columns of c that are transposed together: whole tiles
constexpr size_t kMostSwappedDepth = 1024;  // a tile of b stays in the first-level cache

class Swapped {
 public:
  explicit Swapped(const MatMulArguments& x)
      : x_(x),
        tiles_(Tiles()),
        padded_(RoundUp(x.m, kWidestTile)),
        packed_(x.scratch),
        columns_(packed_ + padded_ * x.k),
        rows_(columns_ + kGroup * padded_) {}

  void Run() {
    for (size_t row = 0; row < x_.m; row += tiles_.width()) {
      tiles_.pack_transposed(x_.a + row * x_.a_row_stride, x_.a_row_stride, x_.k,
                             std::min(tiles_.width(), x_.m - row), Width(row),
                             packed_ + row * x_.k);
    }
    for (size_t column = 0; column < x_.n; column += kGroup) {
      const size_t end = std::min(x_.n, column + kGroup);
      const size_t tiles = CeilDiv(end - column, kMostTileRows);
      for (size_t tile = 0; tile < tiles; ++tile) {
        const size_t begin = (end - column) * tile / tiles;
        RunTile(column, begin, (end - column) * (tile + 1) / tiles - begin);
      }
      Finish(column, end - column);
    }
  }

 private:
  // Of the panel of a that begins with that row, in whole vectors.
  size_t Width(size_t row) const {
    return RoundUp(std::min(tiles_.width(), x_.m - row), tiles_.lanes);
  }

  // Columns [column + begin, + count) of c, as rows of the transpose.
  void RunTile(size_t column, size_t begin, size_t count) {
    const size_t depths = CeilDiv(x_.k, kMostSwappedDepth);
    MatrixTile tile;
    tile.a_row = x_.b_stride;
    tile.c_row = padded_;
    for (size_t depth = 0; depth < depths; ++depth) {
      const size_t k = x_.k * depth / depths;
      tile.a = x_.b + (column + begin) * x_.b_stride + k;
      tile.k = x_.k * (depth + 1) / depths - k;
      tile.continues = depth > 0;
      for (size_t row = 0; row < x_.m; row += tiles_.width()) {
        const size_t width = Width(row);
        tile.b = packed_ + row * x_.k + k * width;
        tile.b_row = width;
        tile.columns = width;
        tile.c = columns_ + begin * padded_ + row;
        matrix_tiles_.strided[count - 1][width / tiles_.lanes - 1](tile);
      }
    }
  }

  void Finish(size_t column, size_t count) {
    tiles_.pack_transposed(columns_, padded_, x_.m, count, count, rows_);
    MatrixTile part;
    part.c = x_.c + column;
    part.c_row = x_.c_stride;
    part.columns = count;
    if (x_.bias != nullptr) part.bias = x_.bias + column;
    if (x_.epilogue.kind != Epilogue::Kind::kNone) part.epilogue = &x_.epilogue;
    if (x_.gradient_of != nullptr) part.gradient_of = x_.gradient_of + column;
    matrix_tiles_.finish(part, x_.m, rows_, count);
  }

  const MatMulArguments& x_;
  const TileSet& tiles_;
  const MatrixTileSet& matrix_tiles_ = MatrixTiles();
  const size_t padded_;  // rows of c in whole panels
  float* const packed_;  // a as panels
  float* const columns_;
  float* const rows_;
};

}  // namespace

bool IsSwappedProduct(size_t m, size_t n, size_t k) {
  return m >= 8 && m <= kMostRows && n >= 16 && k >= 16;
}

size_t SwappedMatMulScratchFloats(size_t m, size_t k) {
  const size_t padded = RoundUp(m, kWidestTile);
  return padded * k + 2 * kGroup * padded + 16;
}

void SwappedMatMul(const MatMulArguments& arguments) {
  Swapped(arguments).Run();
}

}  // namespace ingot::cpu
