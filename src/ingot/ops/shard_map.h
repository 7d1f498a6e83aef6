// How a batch is cut into shards, and how a body is run over them: the meaning of ingot.ShardMap.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// Shard s of `shards` holds the samples [floor(s * batch / shards), floor((s + 1) * batch /
// shards)).
int64_t ShardBegin(int64_t shard, int64_t shards, int64_t batch);

// What an output of ShardMap is made of, attribute output_kinds.
enum class ShardOutput : int64_t {
  kPartial = 0,  // one value for each shard, stacked: [S, ...]
  kRows = 1,     // the rows of all shards: [B, ...]
};
inline constexpr auto kPartialOutput = static_cast<int64_t>(ShardOutput::kPartial);
inline constexpr auto kRowsOutput = static_cast<int64_t>(ShardOutput::kRows);

// The name of the body's input whose element 2 counts the shard's first row.
inline constexpr const char* kRandomKeyInput = "random_key";

// The inputs of the body for one shard: rows of the sharded inputs and a slice of the sliced ones
// (views of the same bytes), the others whole, random_key advanced. Throws Error(kInvalidInput)
// where batches differ.
std::vector<Tensor> ShardInputs(const ir::Node& node, std::span<const Tensor> inputs,
                                int64_t shard);

// The outputs of the node from those of its body, one list for each shard.
std::vector<Tensor> JoinShards(const ir::Node& node,
                               const std::vector<std::vector<Tensor>>& shard_outputs);

// The samples of a ShardMap's batch: rows of its first input. Throws Error(kInvalidInput) where the
// sharded inputs have different numbers of rows.
int64_t ShardedBatch(const ir::Node& node, std::span<const Tensor> inputs);

}  // namespace ingot::ops
