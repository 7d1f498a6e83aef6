// Panels of all shards' right sides, tiles of all shards' left sides, and a binary counter for the
// tree: slot l holds the sum of 2^l neighbouring shards until its sibling is there.
#include "backends/cpu/blocked_shard_matmul.h"

#include <algorithm>
#include <bit>

#include "backends/cpu/matrix_tile.h"

namespace ingot::cpu {
namespace {

constexpr size_t kLevels = 32;
constexpr size_t kTileFloats = kMostTileRows * kWidestTile;

size_t CeilDiv(size_t a, size_t b) {
  return (a + b - 1) / b;
}

void AddTo(const float* left, float* right, size_t count) {
  for (size_t i = 0; i < count; ++i) right[i] = left[i] + right[i];
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
    levels_ = scratch;
    left_ = levels_ + (kLevels + 1) * kTileFloats;
    right_ = left_ + (total_ * rows_ + 16) / 16 * 16;
  }

  void Run() {
    if (rows_ == 0 || n_ == 0) return;
    const size_t tiles = CeilDiv(rows_, kMostTileRows);
    for (size_t tile = 0; tile < tiles; ++tile)
      PackLeft(rows_ * tile / tiles, rows_ * (tile + 1) / tiles);
    for (size_t column = 0; column < n_; column += tiles_.width()) {
      columns_ = std::min(tiles_.width(), n_ - column);
      width_ = CeilDiv(columns_, tiles_.lanes) * tiles_.lanes;
      float* panel = right_;
      for (const ShardProduct& shard : shards_) {
        if (Packs()) break;
        PackRows(shard.d + column, shard.d_stride, shard.rows, columns_, width_, panel);
        panel += shard.rows * width_;
      }
      for (size_t tile = 0; tile < tiles; ++tile) {
        RunTile(rows_ * tile / tiles, rows_ * (tile + 1) / tiles, column);
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

  // A right side in rows of whole vectors is packed by the first tile of each panel.
  bool Packs() const { return n_ % tiles_.lanes == 0; }

  float* Level(size_t level) const { return levels_ + level * kTileFloats; }

  void RunTile(size_t row, size_t end, size_t column) {
    const size_t rows = end - row;
    const MatrixTileSet::Run run = matrix_tiles_.packed[rows - 1][width_ / tiles_.lanes - 1];
    MatrixTile tile;
    tile.a = left_ + row * total_;
    float* panel = right_;
    size_t occupied = 0;  // bit l: level l holds a sum
    for (size_t s = 0; s < shards_.size(); ++s) {
      const bool last = s + 1 == shards_.size();
      // Sums that wait for this one, lowest first; at the end that is all of them, which is what
      // TreeReduce does with a ragged end. The tile itself adds the first.
      const auto merges =
          static_cast<size_t>(last ? std::popcount(occupied) : std::countr_one(occupied));
      const auto lowest = static_cast<size_t>(std::countr_zero(occupied));
      tile.added = merges > 0 ? Level(lowest) : nullptr;
      SetResult(last, merges, row, column, tile);
      tile.k = shards_[s].rows;
      tile.b = panel;
      tile.b_row = width_;
      tile.packs = nullptr;
      if (row == 0 && Packs()) {
        tile.packs = panel;
        tile.b = shards_[s].d + column;
        tile.b_row = shards_[s].d_stride;
      }
      run(tile);
      tile.a += shards_[s].rows * rows;
      panel += shards_[s].rows * width_;
      float* sum = Level(kLevels);
      for (size_t level = lowest + 1; merges > 1 && occupied >> level != 0; ++level) {
        if (!last && level == merges) break;
        if ((occupied >> level & 1) != 0) AddTo(Level(level), sum, rows * width_);
      }
      if (last && merges > 1) Store(sum, row, rows, column);
      if (!last && merges > 1) std::copy(sum, sum + rows * width_, Level(merges));
      occupied = (occupied >> merges | 1) << merges;
    }
  }

  // Where a tile with so many merges goes: to its place where it does at most one of them.
  void SetResult(bool last, size_t merges, size_t row, size_t column, MatrixTile& tile) const {
    const bool is_result = last && merges <= 1;
    tile.c = is_result ? out_ + row * n_ + column : Level(merges <= 1 ? merges : kLevels);
    tile.c_row = is_result ? n_ : width_;
    tile.columns = is_result ? columns_ : width_;
  }

  void Store(const float* sum, size_t row, size_t rows, size_t column) const {
    for (size_t i = 0; i < rows; ++i) {
      std::copy(sum + i * width_, sum + i * width_ + columns_, out_ + (row + i) * n_ + column);
    }
  }

  std::span<const ShardProduct> shards_;
  const size_t begin_, rows_, n_;
  float* const out_;
  const TileSet& tiles_;
  const MatrixTileSet& matrix_tiles_;
  size_t total_ = 0;  // rows of all shards
  size_t columns_ = 0, width_ = 0;
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
  return (kLevels + 1) * kTileFloats + shards * largest_rows * (tile_rows + kWidestTile) + 32;
}

}  // namespace ingot::cpu
