// Ops outside of the shards that are neither reductions nor updates of single elements: norms of
// whole gradients, running statistics, whatever has a kernel.
#pragma once

#include "ingot/compiler/schedule.h"
#include "ingot/compiler/shard_parts.h"
#include "ingot/ir/graph.h"

namespace ingot::compiler {

// Adds a joint routine and its task for each such node. Throws Error(kUnsupported) for an input
// that is rows of the shards or no static tensor.
void EmitJointTasks(const ir::Graph& step, const Schedule& schedule, const ShardParts& shards,
                    CompiledStep& program);

// Marks the joint routines that read what the step changes in place; called when all stands.
void MarkReadersOfWhatChanges(runtime::StepProgram& program);

}  // namespace ingot::compiler
