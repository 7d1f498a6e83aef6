// Convolutions with bias, residual and activation become one op.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Conv [+ residual] [+ activation] -> ingot.FusedConv, for f32 with constant weights and channels
// first (run it before channels_last). A residual has the shape of the result; an activation is one
// that ingot.FusedConv names, with constant numbers.
void FuseConvolution(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
