// Axes, types and walks of reductions.
#include "ingot/ops/reduction.h"

#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

std::vector<bool> ReducedAxes(const std::vector<int64_t>& axes, int rank,
                              bool noop_with_empty_axes) {
  std::vector<bool> reduced(static_cast<size_t>(rank), axes.empty() && !noop_with_empty_axes);
  for (const int64_t axis : axes) {
    const auto i = static_cast<size_t>(NormalizeAxis(axis, rank));
    if (reduced[i]) {
      throw Error(ErrorCode::kInvalidInput, "axis " + std::to_string(axis) + " is given twice");
    }
    reduced[i] = true;
  }
  return reduced;
}

ir::Dimensions ReducedDimensions(const ir::Dimensions& dims, const std::vector<bool>& reduced,
                                 bool keepdims) {
  ir::Dimensions result;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!reduced[i]) {
      result.push_back(dims[i]);
    } else if (keepdims) {
      result.emplace_back(1);
    }
  }
  return result;
}

std::vector<ir::Type> ReductionTypes(const RuleInputs& inputs) {
  const ir::Type& x = inputs.type(0);
  const bool extremum =
      inputs.node.op_type() == "ReduceMax" || inputs.node.op_type() == "ReduceMin";
  if (!Holds(Types::kNumeric, x.dtype()) && !(extremum && x.dtype() == DType::kBool)) {
    throw Error(ErrorCode::kInvalidInput,
                "data is " + x.ToString() + ", expected " + std::string(Describe(Types::kNumeric)));
  }
  const bool keepdims = inputs.node.GetInt("keepdims") != 0;
  const bool noop = inputs.node.GetInt("noop_with_empty_axes") != 0;
  const auto unknown = [&](int64_t rank) {
    return std::vector<ir::Type>{ir::Type::Tensor(x.dtype(), UnknownDimensions(rank))};
  };
  if (!x.has_rank()) {
    const bool scalar = !inputs.has(1) && !keepdims && !noop;
    if (scalar) return unknown(0);
    return {ir::Type::TensorOfUnknownRank(x.dtype())};
  }
  if (inputs.has(1) && !inputs.ints(1)) {
    // The axes come at run time: only their number may be known.
    const std::optional<int64_t> count = inputs.length(1);
    if (keepdims) return unknown(x.rank());
    if (count && *count > 0 && *count <= x.rank()) return unknown(x.rank() - *count);
    return {ir::Type::TensorOfUnknownRank(x.dtype())};
  }
  const std::vector<int64_t> axes = inputs.ints(1).value_or(std::vector<int64_t>());
  const std::vector<bool> reduced = ReducedAxes(axes, x.rank(), noop);
  return {ir::Type::Tensor(x.dtype(), ReducedDimensions(x.dims(), reduced, keepdims))};
}

ReductionPlan::ReductionPlan(const ir::ReferenceCall& call)
    : dims_(call.input(0).dims.begin(), call.input(0).dims.end()), strides_(dims_.size(), 0) {
  const std::vector<bool> reduced = ReducedAxes(ReadInts(call, 1), call.input(0).rank(),
                                                call.node.GetInt("noop_with_empty_axes") != 0);
  for (size_t i = dims_.size(); i-- > 0;) {
    input_size_ *= dims_[i];
    if (reduced[i]) {
      count_ *= dims_[i];
    } else {
      strides_[i] = output_size_;
      output_size_ *= dims_[i];
    }
  }
}

}  // namespace ingot::ops
