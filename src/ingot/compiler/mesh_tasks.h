// Where values meet, or pass, between processes that hold different parts of the model: one task a
// stage, since all of them must come to these in the same order.
#pragma once

#include "ingot/compiler/schedule.h"
#include "ingot/compiler/shard_parts.h"
#include "ingot/ir/graph.h"

namespace ingot::compiler {

// Throws Error(kUnsupported) for rows that no shard leaves behind for this alone.
void EmitMeshTasks(const ir::Graph& step, const Schedule& schedule, ShardParts& shards,
                   CompiledStep& program);

}  // namespace ingot::compiler
