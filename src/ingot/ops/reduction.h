// What the reductions share: which axes are reduced, the output's type, and the walk over the
// input.
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {

// The shape rule of the Reduce* ops (inputs data, axes?; attributes keepdims,
// noop_with_empty_axes).
std::vector<ir::Type> ReductionTypes(const RuleInputs& inputs);

// For each axis of a tensor of this rank, whether it is reduced. `axes` may be negative; empty
// means all, or none where `noop_with_empty_axes`. Throws Error(kInvalidInput) for an axis outside
// or twice.
std::vector<bool> ReducedAxes(const std::vector<int64_t>& axes, int rank,
                              bool noop_with_empty_axes);

// The extents without (or, where `keepdims`, with 1 for) the reduced axes.
ir::Dimensions ReducedDimensions(const ir::Dimensions& dims, const std::vector<bool>& reduced,
                                 bool keepdims);

// The walk of a Reduce* node over its input.
class ReductionPlan {
 public:
  explicit ReductionPlan(const ir::ReferenceCall& call);

  int64_t input_size() const { return input_size_; }
  int64_t output_size() const { return output_size_; }
  // Elements of the input that go into one of the output.
  int64_t count() const { return count_; }
  // Along the input in row-major order; [0] is the offset of the output element that takes part.
  StridedIndex<1> Walk() const { return StridedIndex<1>(dims_, {strides_}); }

 private:
  std::vector<int64_t> dims_;
  std::vector<int64_t> strides_;
  int64_t input_size_ = 1;
  int64_t output_size_ = 1;
  int64_t count_ = 1;
};

}  // namespace ingot::ops
