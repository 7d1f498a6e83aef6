// What the pooling ops and their kernels share: MaxPool, AveragePool, the global ones, and their
// gradients.
#pragma once

#include <vector>

#include "ingot/ops/window.h"

namespace ingot::ops {

// The windows over input extents `spatial`; of a global op one that covers all. Throws
// Error(kInvalidInput) for attributes that do not fit, and padding as large as a window.
std::vector<WindowAxis> PoolWindows(const ir::Node& node, const ir::Dimensions& spatial);

// For each output position by how much an average's sum is divided: the elements of the window,
// those in the padding too where the node has count_include_pad = 1.
std::vector<double> PoolDivisors(const ir::Node& node, const std::vector<WindowAxis>& windows,
                                 const TapTable& table);

}  // namespace ingot::ops
