// Blocking and packing around the tile. For each block of rows and each block of k: the left side
// is packed tile by tile; then group by group of columns, the right side is packed and multiplied
// while it is in the second-level cache.
#include "backends/cpu/blocked_matmul.h"

#include <algorithm>

#include "backends/cpu/counts.h"
#include "backends/cpu/matrix_tile.h"

namespace ingot::cpu {
namespace {

constexpr size_t kRowBlock = 1024;    // rows whose left side is packed at once
constexpr size_t kCachedRows = 96;    // of those, what stays in the second-level cache
constexpr size_t kGroupColumns = 64;  // packed at once: runs of 256 bytes of a right row
constexpr size_t kMostDepth = 384;

// `count` cut into pieces of nearly equal size, none larger than `most`: where piece `i` begins.
size_t PieceBegin(size_t count, size_t pieces, size_t i) {
  return count * i / pieces;
}

class Blocked {
 public:
  explicit Blocked(const MatMulArguments& arguments)
      : x_(arguments),
        tiles_(Tiles()),
        matrix_tiles_(MatrixTiles()),
        group_(std::max(kGroupColumns, tiles_.width())),
        left_(arguments.scratch),
        right_(arguments.scratch + LeftFloats(arguments.m, arguments.k)) {}

  static size_t LeftFloats(size_t m, size_t k) {
    return (std::min(m, kRowBlock) * std::min(k, kMostDepth) + 8 + 15) / 16 * 16;
  }

  void Run() {
    const size_t row_blocks = CeilDiv(x_.m, kRowBlock);
    const size_t depths = CeilDiv(x_.k, std::min(tiles_.depth, kMostDepth));
    for (size_t rb = 0; rb < row_blocks; ++rb) {
      row_begin_ = PieceBegin(x_.m, row_blocks, rb);
      rows_ = PieceBegin(x_.m, row_blocks, rb + 1) - row_begin_;
      row_tiles_ = CeilDiv(rows_, kMostTileRows);
      for (size_t kb = 0; kb < depths; ++kb) {
        k_begin_ = PieceBegin(x_.k, depths, kb);
        k_ = PieceBegin(x_.k, depths, kb + 1) - k_begin_;
        first_ = kb == 0;
        last_ = kb + 1 == depths;
        PackLeft();
        for (size_t column = 0; column < x_.n; column += group_) RunGroup(column);
      }
    }
  }

 private:
  size_t TileBegin(size_t tile) const { return PieceBegin(rows_, row_tiles_, tile); }

  void PackLeft() {
    for (size_t tile = 0; tile < row_tiles_; ++tile) {
      const size_t row = TileBegin(tile);
      const size_t rows = TileBegin(tile + 1) - row;
      const float* from =
          x_.a + (row_begin_ + row) * x_.a_row_stride + k_begin_ * x_.a_column_stride;
      float* to = left_ + row * k_;
      if (x_.a_column_stride == 1) {
        tiles_.pack_transposed(from, x_.a_row_stride, k_, rows, rows, to);
      } else {
        PackRows(from, x_.a_column_stride, k_, rows, rows, to);
      }
    }
  }

  // Panels of the columns [column, column + group).
  void RunGroup(size_t column) {
    const size_t width = tiles_.width();
    const size_t end = std::min(x_.n, column + group_);
    // A right side in rows of whole vectors is packed by the first tile of each panel.
    const bool packs = !x_.b_transposed && x_.n % tiles_.lanes == 0;
    for (size_t at = column; !packs && at < end; at += width) {
      const size_t columns = std::min(width, end - at);
      float* panel = right_ + (at - column) * k_;
      const size_t wide = CeilDiv(columns, tiles_.lanes) * tiles_.lanes;
      if (x_.b_transposed) {
        tiles_.pack_transposed(x_.b + at * x_.b_stride + k_begin_, x_.b_stride, k_, columns, wide,
                               panel);
      } else {
        PackRows(x_.b + k_begin_ * x_.b_stride + at, x_.b_stride, k_, columns, wide, panel);
      }
    }
    const size_t cached_tiles = kCachedRows / kMostTileRows;
    for (size_t tile = 0; tile < row_tiles_; tile += cached_tiles) {
      const size_t tiles_end = std::min(row_tiles_, tile + cached_tiles);
      for (size_t at = column; at < end; at += width) {
        RunPanel(at, std::min(width, end - at), right_ + (at - column) * k_, tile, tiles_end,
                 packs && tile == 0);
      }
    }
  }

  void RunPanel(size_t column, size_t columns, float* panel, size_t tile, size_t tiles_end,
                bool packs) {
    const size_t vectors = CeilDiv(columns, tiles_.lanes);
    MatrixTile call;
    call.b = panel;
    call.b_row = vectors * tiles_.lanes;
    call.k = k_;
    call.c_row = x_.c_stride;
    call.columns = columns;
    call.continues = !first_;
    if (last_) {
      if (x_.bias != nullptr) call.bias = x_.bias + column;
      if (x_.epilogue.kind != Epilogue::Kind::kNone) call.epilogue = &x_.epilogue;
    }
    const size_t first_tile = tile;
    for (; tile < tiles_end; ++tile) {
      const size_t row = TileBegin(tile);
      const size_t rows = TileBegin(tile + 1) - row;
      const size_t at = (row_begin_ + row) * x_.c_stride + column;
      call.a = left_ + row * k_;
      call.c = x_.c + at;
      if (x_.gradient_of != nullptr) call.gradient_of = x_.gradient_of + at;
      // Behind the last tile comes the next panel.
      const size_t next = tile + 1 < tiles_end ? tile + 1 : first_tile;
      call.next_c = x_.c + (row_begin_ + TileBegin(next)) * x_.c_stride + column +
                    (next == first_tile ? columns : 0);
      if (packs && tile == first_tile) {
        MatrixTile packing = call;
        packing.b = x_.b + k_begin_ * x_.b_stride + column;
        packing.b_row = x_.b_stride;
        packing.packs = panel;
        matrix_tiles_.packed[rows - 1][vectors - 1](packing);
      } else {
        if (packs)
          AskAhead(column + columns, tile - first_tile - 1, tiles_end - first_tile - 1, call);
        matrix_tiles_.packed[rows - 1][vectors - 1](call);
      }
    }
  }

  // The tiles behind the one that packs ask for the next panel, each for its part.
  void AskAhead(size_t column, size_t asker, size_t askers, MatrixTile& call) const {
    const size_t parts = askers >= 4 ? 4 : askers >= 2 ? 2 : 1;
    call.ahead = nullptr;
    if (asker >= parts || column + tiles_.width() > x_.n) return;
    call.ahead = x_.b + (k_begin_ + k_ * asker / parts) * x_.b_stride + column;
    call.ahead_row = x_.b_stride;
    call.ahead_mask = parts - 1;
  }

  const MatMulArguments& x_;
  const TileSet& tiles_;
  const MatrixTileSet& matrix_tiles_;
  const size_t group_;
  float* const left_;
  float* const right_;
  size_t row_begin_ = 0, rows_ = 0, row_tiles_ = 0;
  size_t k_begin_ = 0, k_ = 0;
  bool first_ = true, last_ = true;
};

}  // namespace

bool IsBlockedProduct(size_t m, size_t n, size_t k, bool b_transposed) {
  if (n < 16 || k < 16 || m < 8) return false;
  if (b_transposed) return true;
  return n * k >= size_t{1} << 16;
}

size_t BlockedMatMulScratchFloats(size_t m, size_t /*n*/, size_t k) {
  return Blocked::LeftFloats(m, k) + std::min(k, kMostDepth) * kGroupColumns + 16;
}

void BlockedMatMul(const MatMulArguments& arguments) {
  Blocked(arguments).Run();
}

}  // namespace ingot::cpu
