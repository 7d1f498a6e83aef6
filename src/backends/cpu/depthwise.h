// Depthwise convolutions of f32 over planes, channels last: each channel with a filter of its own.
// Taps are summed in row-major order, beginning with the bias.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/convolution.h"
#include "backends/cpu/packed_product.h"

namespace ingot::cpu {

// Whether a shape is one: as many groups as channels and outputs.
bool IsDepthwise(const ConvolutionShape& shape);

// Output rows [begin, end), counted over all samples. w [taps, C].
void DepthwiseRows(const ConvolutionShape& shape, const float* w, const PackedOperands& operands,
                   int64_t begin, int64_t end);

}  // namespace ingot::cpu
