// Tiles of weight gradients over long shards: the product of matmul.h's ShardMatMulTile, both sides
// packed, on the tile of tile_product.h. The order of every sum is the same: upwards through the
// rows of a shard, then the tree over shards.
#pragma once

#include "backends/cpu/matmul.h"

namespace ingot::cpu {

// Whether a gradient with rows of n is better computed so where shards have up to `largest_rows`
// rows: a function of the shapes alone.
bool IsBlockedShardProduct(size_t n, size_t largest_rows);

// As ShardMatMulTile. `scratch`: BlockedShardMatMulScratchFloats(...) floats for tiles of up to
// `tile_rows` rows, aligned to 64 bytes.
void BlockedShardMatMulTile(std::span<const ShardProduct> shards, size_t begin, size_t end,
                            size_t n, float* out, float* scratch);
size_t BlockedShardMatMulScratchFloats(size_t shards, size_t largest_rows, size_t tile_rows);

}  // namespace ingot::cpu
