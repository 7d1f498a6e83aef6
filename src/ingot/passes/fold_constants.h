// Computes at compile time what depends on constants alone.
#pragma once

#include <cstddef>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

struct FoldOptions {
  // A result larger than this many bytes is kept as a computation (it may be a scalar expanded to
  // the size of a batch), unless it is no larger than the constants it comes from.
  size_t largest_result = 4096;
};

// Replaces each node whose inputs are all Constants by a Constant, computed by the op's reference
// kernel; in the graph and in its subgraphs. Ops without a reference kernel, with subgraphs or that
// are never merged, and nodes whose output extents are unknown are left alone. Dead constants stay:
// run EliminateDeadCode afterwards.
void FoldConstants(ir::Graph& graph, const ir::OpRegistry& registry,
                   const FoldOptions& options = {});

// The same for one node, whose types are known; returns whether it was replaced.
bool FoldNode(ir::Node* node, const ir::OpRegistry& registry, const FoldOptions& options = {});

// Replaces a Shape or Size of a value of static shape, whatever that value is.
void FoldShapeOf(ir::Node* node, const ir::OpRegistry& registry);

}  // namespace ingot::passes
