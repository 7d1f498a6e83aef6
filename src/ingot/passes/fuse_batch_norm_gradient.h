// The two gradients that meet at the input of a batch norm, by way of the statistics and past
// them, become one op.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Add(ingot.BatchNormApplyInputGradient(dY, S, scale), ingot.BatchNormSumsGradient(X, dS)) becomes
// ingot.BatchNormInputGradient(dY, X, S, dS, scale): the activations are walked once instead of
// three times. Before the graph is cut at the sums over shards, since dY is known before dS.
void FuseBatchNormGradient(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
