// Two nodes that compute the same become one.
#pragma once

#include "ingot/ir/graph.h"

namespace ingot::passes {

// Merges nodes of one op with the same inputs and attributes (tensors compared bit by bit) into the
// first of them, in the graph and, separately, in each of its subgraphs. Ops that are never merged
// (random ones) stay apart, whatever their inputs are.
void MergeCommonSubexpressions(ir::Graph& graph);

}  // namespace ingot::passes
