// The body of a ShardMap for one number of rows: specialised, optimised, its memory planned.
#pragma once

#include <memory>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/pass.h"
#include "ingot/passes/plan_memory.h"

namespace ingot::compiler {

struct ShardBody {
  std::unique_ptr<ir::Graph> graph;
  passes::MemoryPlan plan;  // the graph's outputs lie outside
  int64_t rows = 0;
};

// Runs the passes over a copy of `original`; recompute_segments as in CompileOptions.
ShardBody MakeShardBody(const ir::Graph& original, int64_t rows, const ir::OpRegistry& registry,
                        passes::PassRunner& passes, int recompute_segments = 0);

}  // namespace ingot::compiler
