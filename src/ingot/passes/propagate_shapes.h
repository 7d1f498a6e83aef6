// What a graph computes from shapes becomes constants, in one sweep in node order: types are
// inferred, Shape and Size of what is static become Constants, and so does what depends on
// constants alone and is small.
//
// Run it after the inputs got their extents. Reshapes to computed shapes, Expands and Slices are
// static afterwards, unless they depend on the values of inputs.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/fold_constants.h"

namespace ingot::passes {

// Of the graph itself; subgraphs are left to the rules of their ops.
void PropagateShapes(ir::Graph& graph, const ir::OpRegistry& registry,
                     const FoldOptions& options = {});

}  // namespace ingot::passes
