// Where shards meet: each TreeReduce of a step graph becomes a unit of the program with the updates
// that run with it, cut into tiles; updates that wait for more become units of their own.
#pragma once

#include "ingot/compiler/schedule.h"
#include "ingot/compiler/shard_parts.h"
#include "ingot/ir/graph.h"

namespace ingot::compiler {

// Adds units, sums, row outputs and the tiles of every stage to the program, whose states and
// scalars stand already. Throws Error(kUnsupported) for an output that no part of the program
// gives.
void EmitTileTasks(const ir::Graph& step, const Schedule& schedule, ShardParts& shards,
                   CompiledStep& program);

}  // namespace ingot::compiler
