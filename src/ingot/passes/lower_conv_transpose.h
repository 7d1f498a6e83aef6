// ConvTranspose by the kernels of convolutions.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// ConvTranspose(X, W, B) of known extents -> ingot.ConvInputGradient(X, W) + B: what a convolution
// with the same weights sends back to its input. One with negative padding, or whose
// output_padding is not less than the stride, stays as it is. Run it before channels_last.
void LowerConvTranspose(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
