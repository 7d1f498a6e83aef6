// Batch normalisation with constant statistics, in inference: folded into the weights of the
// convolution before it; what stands elsewhere becomes a multiplication and an addition.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Conv with constant weights whose output only a BatchNormalization with constant parameters uses
// becomes Conv with other weights and a bias. Multiplications and additions of a Conv's result by
// constants of one number for each channel are folded in the same way.
void FoldBatchNorm(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
