// Takes the weight gradients out of the shards, so that no gradient buffer for each shard is
// needed.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// In each ingot.ShardMap of the graph: an output of kind partial that is x^T d of two matrices
// [batch, M] and [batch, N] (MatMul(Transpose(x), d), Gemm with transA, or FusedMatMul with trans_a
// and nothing else) is taken out of the body. The body gives x and d as rows instead, each once,
// and
//   ingot.ShardMatMul(x [B, M], d [B, N])(shards) -> [S, M, N]
// stands behind the ShardMap, in the layer of the product. An x or d that is a sharded input of the
// body is taken from the ShardMap's own input and needs no output. "batch" is the symbol that the
// sharded inputs of the body have as their first dimension; bodies without one are left alone.
// An x that is a DequantizeLinear of bytes, which are a sharded input, is handed over as those
// bytes (attribute x_scale). The order of the arithmetic is that of the product in the shard.
void HoistWeightGradients(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
