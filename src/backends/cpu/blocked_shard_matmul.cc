// Panels of all shards' right sides, tiles of all shards' left sides, and a binary counter for the
// tree: slot l holds the sum of 2^l neighbouring shards until its sibling is there.
#include "backends/cpu/blocked_shard_matmul.h"

#include <algorithm>
#include <array>
#include <bit>

#include "backends/cpu/counts.h"
#include "backends/cpu/matrix_tile.h"

namespace ingot::cpu {
namespace {

constexpr size_t kLevels = 32;
constexpr size_t kMostRowTiles = 64;
constexpr size_t kTileFloats = kMostTileRows * kWidestTile;

size_t LowestBit(size_t bits) {
  return static_cast<size_t>(std::countr_zero(bits));
}

class ShardTiles {
 public:
  ShardTiles(std::span<const ShardProduct> shards, size_t begin, size_t end, size_t n, float* out,
             float* scratch)
      : shards_(shards),
        begin_(begin),
        rows_(end - begin),
        n_(n),
        out_(out),
        tiles_(Tiles()),
        matrix_tiles_(MatrixTiles()) {
    for (const ShardProduct& shard : shards) total_ += shard.rows;
    packs_ = n_ % tiles_.lanes == 0;
    levels_ = scratch;
    left_ = levels_ + kLevels * kTileFloats;
    right_ = left_ + (total_ * rows_ + 16) / 16 * 16;
  }

  void Run() {
    if (rows_ == 0 || n_ == 0) return;
    for (size_t row = 0; row < rows_;) {
      const size_t end = rows_ * (row_tiles_ + 1) / CeilDiv(rows_, kMostTileRows);
      PackLeft(row, end);
      ends_[row_tiles_++] = row = end;
    }
    for (size_t column = 0; column < n_; column += tiles_.width()) {
      columns_ = std::min(tiles_.width(), n_ - column);
      const size_t vectors = CeilDiv(columns_, tiles_.lanes);
      width_ = vectors * tiles_.lanes;
      float* panel = right_;
      for (const ShardProduct& shard : shards_) {
        if (packs_) break;
        PackRows(shard.d + column, shard.d_stride, shard.rows, columns_, width_, panel);
        panel += shard.rows * width_;
      }
      for (size_t tile = 0, row = 0; tile < row_tiles_; row = ends_[tile++]) {
        const size_t rows = ends_[tile] - row;
        RunTile(row, rows, column, matrix_tiles_.packed[rows - 1][vectors - 1]);
      }
    }
  }

 private:
  // Rows [row, end) of the gradient: those columns of x, shard after shard.
  void PackLeft(size_t row, size_t end) {
    float* to = left_ + row * total_;
    for (const ShardProduct& shard : shards_) {
      PackRows(shard.x + begin_ + row, shard.x_stride, shard.rows, end - row, end - row, to);
      to += shard.rows * (end - row);
    }
  }

  float* Level(size_t level) const { return levels_ + level * kTileFloats; }

  void RunTile(size_t row, size_t rows, size_t column, MatrixTileSet::Run run) {
    MatrixTile tile;
    tile.a = left_ + row * total_;
    // Where the panel is packed by its first tile, the others ask for the next one.
    const bool packs = packs_ && row == 0;
    const bool asks = packs_ && !packs && column + 2 * tiles_.width() <= n_;
    float* panel = right_;
    size_t occupied = 0;  // bit l: level l holds a sum
    for (size_t s = 0; s < shards_.size(); ++s) {
      const ShardProduct& shard = shards_[s];
      const bool last = s + 1 == shards_.size();
      // Sums that wait for this one, lowest first, are added by the tile; at the end that is all of
      // them, which is what TreeReduce does with a ragged end.
      const size_t waiting = last ? occupied : occupied & ~(occupied + 1);
      std::array<const float*, kLevels> added;
      tile.added = added.data();
      tile.added_count = 0;
      for (size_t rest = waiting; rest != 0; rest &= rest - 1) {
        added[tile.added_count++] = Level(LowestBit(rest));
      }
      const size_t level = LowestBit(~occupied);  // where the sum of all goes
      tile.c = last ? out_ + row * n_ + column : Level(level);
      tile.c_row = last ? n_ : width_;
      tile.columns = last ? columns_ : width_;
      tile.k = shard.rows;
      tile.b = packs ? shard.d + column : panel;
      tile.b_row = packs ? shard.d_stride : width_;
      tile.packs = packs ? panel : nullptr;
      tile.ahead = asks ? shard.d + column + tiles_.width() : nullptr;
      tile.ahead_row = shard.d_stride;
      run(tile);
      tile.a += shard.rows * rows;
      panel += shard.rows * width_;
      occupied = (occupied >> level | 1) << level;
    }
  }

  std::span<const ShardProduct> shards_;
  const size_t begin_, rows_, n_;
  float* const out_;
  const TileSet& tiles_;
  const MatrixTileSet& matrix_tiles_;
  size_t total_ = 0;  // rows of all shards
  size_t columns_ = 0, width_ = 0;
  bool packs_ = false;  // a right side in rows of whole vectors is packed by the first tile
  size_t row_tiles_ = 0;
  std::array<size_t, kMostRowTiles> ends_ = {};  // of the tiles of rows
  float* levels_ = nullptr;
  float* left_ = nullptr;
  float* right_ = nullptr;
};

}  // namespace

bool IsBlockedShardProduct(size_t n, size_t largest_rows) {
  return (n >= 128 && largest_rows >= 32) || (n >= 1024 && largest_rows >= 8);
}

void BlockedShardMatMulTile(std::span<const ShardProduct> shards, size_t begin, size_t end,
                            size_t n, float* out, float* scratch) {
  ShardTiles(shards, begin, end, n, out, scratch).Run();
}

size_t BlockedShardMatMulScratchFloats(size_t shards, size_t largest_rows, size_t tile_rows) {
  return kLevels * kTileFloats + shards * largest_rows * (tile_rows + kWidestTile) + 32;
}

}  // namespace ingot::cpu
