// Turns the ops that take their shape from another value into ops with constant shapes.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// ingot.SumToLike   becomes ReduceSum, with a Reshape where axes of extent 1 stay
// ingot.ExpandLike  becomes Expand
// ingot.ReshapeLike becomes Reshape
// and each of them vanishes where the shapes are the same already. SumToLike is resolved as soon as
// it is sure which axes are summed (f32[batch, 64] to f32[64]), the others once the shape of `like`
// is static; what is not known yet stays. Works in the graph and in its subgraphs. `like` is no
// longer kept alive: run EliminateDeadCode afterwards.
void ResolveLike(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
