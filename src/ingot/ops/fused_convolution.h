// The convolution of ops whose weights are [O, C / group, kernel...] whatever the layout of X:
// ingot.FusedConv and ingot.QuantizedConv.
#pragma once

#include "ingot/ops/convolution.h"

namespace ingot::ops {

// Of the node's attributes, and the types of X and W. Throws Error(kInvalidInput) where they do not
// fit.
Convolution FusedConvolutionOf(const ir::Node& node, const ir::Type& x, const ir::Type& w);

// W's type in the layout that `channels_last` asks of Conv.
ir::Type ConvFilterType(const ir::Type& w, bool channels_last);

}  // namespace ingot::ops
