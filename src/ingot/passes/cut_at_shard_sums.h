// Cuts what a shard computes where it needs a sum over all shards, or rows from other places of a
// mesh.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Each ingot.ShardMap whose body holds ingot.ShardSum becomes a chain of ShardMaps with a
// TreeReduce for every ShardSum between them. A node goes into the first part in which all of its
// inputs are known. What a later part needs of an earlier one is carried: rows (values whose first
// extent is the shard's number of rows) as rows, anything else as one value for each shard;
// constants and views are made again instead. The result is the same to the bit.
//
// ingot.MeshSum and ingot.MeshPass are cuts likewise: between two ShardMaps stands the op itself,
// on the rows of all shards. ingot.MeshShare, which the gradient has done with, goes.
//
// Throws Error(kUnsupported) for a value that cannot be carried: its first extent depends on the
// number of rows and is not it.
void CutAtShardSums(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
