// The second stage of a step: where shards meet. Each TreeReduce of the step graph becomes a unit
// with the updates that take its result, cut into tiles.
#pragma once

#include "ingot/compiler/shard_stage.h"
#include "ingot/ir/graph.h"

namespace ingot::compiler {

// Adds units, tiles, sums and row outputs to the program, whose states and scalars stand already.
// Throws Error(kUnsupported) naming an op that stands outside the ShardMap and is no reduction,
// update or output.
void EmitTileStage(const ir::Graph& step, ShardStage& shards, CompiledStep& program);

}  // namespace ingot::compiler
