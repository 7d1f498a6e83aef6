// Convolutions and what stands between them work on activations [N, spatial..., C], as the fast
// kernels want them.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Every op that has the attribute channels_last, and of which all operands' ranks are known, gets
// it (activations are its operands of the rank of its first one; a convolution's weights become
// [kernel..., C / group, O]), between transpositions. Those to [N, C, spatial...] then move down
// through elementwise ops, reductions and Concat until they meet one back and both vanish. A
// transposition that moves axes of one element alone becomes a Reshape. Sums keep their terms but
// may change their order.
void ChannelsLast(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
