// The filters that conv and conv_transpose train.
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/ir/builder.h"
#include "ingot/nn/layer.h"

namespace ingot::nn {

struct FilterShape {
  int64_t channels = 0, filters = 0, groups = 1;  // channels of the input and of the output
  std::vector<int64_t> kernel;
};

// Throws Error(kInvalidInput) unless both numbers of channels divide into the groups.
void CheckGroups(const FilterShape& shape);

// The inputs of a convolution of x: x, "weight" [filters, channels / groups, kernel...], or
// [channels, filters / groups, kernel...] where `transposed`, and "bias" [filters], unless its
// initializer is null.
std::vector<ir::Value*> FilterInputs(LayerContext& context, ir::Value* x, const FilterShape& shape,
                                     bool transposed, const ConfigNode& kernel_initializer,
                                     const ConfigNode* bias_initializer);

}  // namespace ingot::nn
