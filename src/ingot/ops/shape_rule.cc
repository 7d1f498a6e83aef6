// Shape rules that depend on the values of inputs, and arithmetic with symbolic extents.
#include "ingot/ops/shape_rule.h"

#include <string>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::ops {

std::optional<std::vector<int64_t>> RuleInputs::ints(size_t i) const {
  if (!has(i) || i >= values.size() || values[i] == nullptr) return std::nullopt;
  return ReadInts(values[i]->view());
}

std::optional<int64_t> RuleInputs::length(size_t i) const {
  if (!has(i) || !type(i).has_rank() || type(i).rank() != 1) return std::nullopt;
  const ir::Dimension& dim = type(i).dims()[0];
  return dim.is_static() ? std::optional<int64_t>(dim.value()) : std::nullopt;
}

void Refuse(const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::kInvalidInput, message, hint);
}

void SetShapeRule(ir::OpDefinition& op, ShapeRule rule) {
  INGOT_ASSERT(op.reference, "op " + op.name + " needs its reference kernel first");
  op.infer = [rule](ir::InferContext& context) {
    RuleInputs inputs{context.node(), {}, {}};
    for (size_t i = 0; i < context.node().inputs().size(); ++i) {
      const bool present = context.HasInput(i);
      inputs.types.push_back(present ? context.input(i) : ir::Type());
      inputs.values.push_back(present ? context.ConstantInput(i) : nullptr);
      if (present && !context.input(i).is_tensor()) {
        throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " +
                                                  context.input(i).ToString() +
                                                  ", expected a tensor");
      }
    }
    const std::vector<ir::Type> types = rule(inputs);
    for (size_t i = 0; i < types.size(); ++i) context.SetOutput(i, types[i]);
  };
  op.dynamic_reference = [rule, reference = op.reference](const ir::Node& node,
                                                          std::span<const Tensor> tensors) {
    RuleInputs inputs{node, {}, {}};
    std::vector<TensorView> views;
    for (const Tensor& tensor : tensors) {
      inputs.types.push_back(tensor.empty() ? ir::Type()
                                            : ir::Type::Tensor(tensor.dtype(), tensor.shape()));
      inputs.values.push_back(tensor.empty() ? nullptr : &tensor);
      views.push_back(tensor.view());
    }
    std::vector<Tensor> outputs;
    std::vector<TensorView> output_views;
    for (const ir::Type& type : rule(inputs)) outputs.emplace_back(type.dtype(), type.shape());
    for (Tensor& tensor : outputs) output_views.push_back(tensor.view());
    reference(ir::ReferenceCall{node, views, output_views});
    return outputs;
  };
}

std::vector<int64_t> ReadInts(const TensorView& view) {
  if (view.dtype != DType::kI64 && view.dtype != DType::kI32) {
    throw Error(ErrorCode::kInvalidInput, "axes, shapes and indices must be i64 or i32, not " +
                                              std::string(Name(view.dtype)));
  }
  std::vector<int64_t> values(static_cast<size_t>(view.size()));
  ConvertElements(view.data, view.dtype, values.data(), DType::kI64, view.size());
  return values;
}

std::vector<int64_t> ReadInts(const ir::ReferenceCall& call, size_t input) {
  return call.has_input(input) ? ReadInts(call.input(input)) : std::vector<int64_t>();
}

ir::Dimension Product(std::span<const ir::Dimension> dims) {
  int64_t product = 1;
  const ir::Dimension* other = nullptr;
  bool several = false;
  for (const ir::Dimension& dim : dims) {
    if (dim.is_static()) {
      if (__builtin_mul_overflow(product, dim.value(), &product)) {
        throw Error(ErrorCode::kInvalidInput,
                    "the number of elements of " +
                        ir::ToString(ir::Dimensions(dims.begin(), dims.end())) + " is too large");
      }
    } else {
      several = several || other != nullptr;
      other = &dim;
    }
  }
  if (product == 0 || other == nullptr) return product;
  return product == 1 && !several ? *other : ir::Dimension();
}

ir::Dimension Merge(const ir::Dimension& a, const ir::Dimension& b, const char* what) {
  if (a.is_static() && b.is_static() && a.value() != b.value()) {
    throw Error(ErrorCode::kInvalidInput,
                std::string(what) + " differ: " + a.ToString() + " and " + b.ToString());
  }
  if (a.is_static()) return a;
  if (b.is_static()) return b;
  return a.is_symbolic() ? a : b;
}

ir::Dimensions UnknownDimensions(int64_t n) {
  return ir::Dimensions(static_cast<size_t>(n));
}

}  // namespace ingot::ops
