// Taking tensors apart and putting them together along an axis, for ops whose pieces are values of
// their own: sequences, loops and scans.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ingot/ir/type.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// The part [begin, begin + extent) of an axis, copied. The part must lie inside.
Tensor PartOf(const Tensor& tensor, int axis, int64_t begin, int64_t extent);

// The same with extent 1 and without the axis.
Tensor SliceOf(const Tensor& tensor, int axis, int64_t index);

// Parts one after another along an axis; throws Error(kInvalidInput) where there are none, or where
// types or other extents differ.
Tensor Concatenated(std::span<const Tensor> parts, int64_t axis);

// The same along a new axis, which negative numbers count from the end of the result.
Tensor Stacked(std::span<const Tensor> parts, int64_t axis);

// What is sure of a value that is either of the one or of the other type.
ir::Type CommonType(const ir::Type& a, const ir::Type& b);

}  // namespace ingot::ops
