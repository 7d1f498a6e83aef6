// What ops on one axis and ops with indices share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// A tensor as [outer, extent, inner] around one axis.
struct AxisSplit {
  int64_t outer = 1;
  int64_t extent = 1;
  int64_t inner = 1;

  AxisSplit(std::span<const int64_t> dims, int64_t given_axis);
};

// The elements of an i32 or i64 tensor, which may be negative (from the end), inside [0, extent).
// Throws Error(kInvalidInput) naming one that is outside.
std::vector<int64_t> CheckedIndices(const TensorView& view, int64_t extent);
// One such index.
int64_t CheckedIndex(int64_t index, int64_t extent, int64_t element);

// Throws Error(kInvalidInput) unless the input is i32 or i64.
void RequireIndices(const ir::InferContext& context, size_t input);

}  // namespace ingot::ops
