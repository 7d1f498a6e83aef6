// Chains and trees of elementwise ops become one op that goes over the data once.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Each maximal set of two or more elementwise nodes with one output shape, in which every value but
// the last is used inside the set alone, becomes one ingot.FusedElementwise whose `body` holds
// those nodes in order. The body's inputs are the values the set takes from outside, in order of
// first use, each once; they broadcast to the output shape. Constants of one element move into the
// body. Works in the graph and in its subgraphs, but not in bodies that are fused already.
void FuseElementwise(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
