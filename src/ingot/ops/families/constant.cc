// Constant and ConstantOfShape.
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {

Tensor ConstantTensor(const ir::Node& node) {
  if (node.attributes().size() != 1) {
    throw Error(ErrorCode::kInvalidInput,
                "it has " + std::to_string(node.attributes().size()) + " attributes, expected one",
                "give exactly one of: value, value_float, value_floats, value_int, value_ints");
  }
  const auto floats = [](const std::vector<double>& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  if (node.HasAttribute("value")) return node.GetTensor("value");
  if (node.HasAttribute("value_int")) return Tensor::Scalar<int64_t>(node.GetInt("value_int"));
  if (node.HasAttribute("value_float")) {
    return Tensor::Scalar<float>(static_cast<float>(node.GetFloat("value_float")));
  }
  if (node.HasAttribute("value_ints")) {
    const std::vector<int64_t>& values = node.GetInts("value_ints");
    return Tensor::Of<int64_t>({static_cast<int64_t>(values.size())},
                               std::span<const int64_t>(values));
  }
  const std::vector<float> values = floats(node.GetFloats("value_floats"));
  return Tensor::Of<float>({static_cast<int64_t>(values.size())}, std::span<const float>(values));
}

namespace {

using ir::Attribute;
using ir::AttributeKind;
using ir::Type;

void RegisterConstantOp(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Constant";
  op.since_version = 21;
  op.summary = "A value known when the graph is built.";
  op.outputs = {Required("output")};
  op.attributes = {OptionalAttribute("value", AttributeKind::kTensor),
                   OptionalAttribute("value_float", AttributeKind::kFloat),
                   OptionalAttribute("value_floats", AttributeKind::kFloats),
                   OptionalAttribute("value_int", AttributeKind::kInt),
                   OptionalAttribute("value_ints", AttributeKind::kInts)};
  op.infer = [](ir::InferContext& context) {
    const Tensor tensor = ConstantTensor(context.node());
    context.SetOutput(0, Type::Tensor(tensor.dtype(), tensor.shape()));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const Tensor tensor = ConstantTensor(call.node);
    if (tensor.bytes() > 0) std::memcpy(call.output().data, tensor.raw(), tensor.bytes());
  };
  const Tensor tensor = Tensor::Of<float>({2, 2}, {1, 2, 3, 4});
  op.cases = {
      ExpectedOnly("value", {}, {1, 2, 3, 4}, {{"value", Attribute(tensor)}}),
      ExpectedOnly("float", {}, {0.5}, {{"value_float", Attribute(0.5)}}),
      ExpectedOnly("floats", {}, {0.5, 2},
                   {{"value_floats", Attribute(std::vector<double>{0.5, 2})}}),
      ExpectedOnly("int", {}, {-7}, {{"value_int", Attribute(int64_t{-7})}}),
      ExpectedOnly("ints", {}, {3, 4}, {{"value_ints", Attribute(std::vector<int64_t>{3, 4})}})};
  registry.Add(std::move(op));
}

// What ConstantOfShape fills with: one element, f32 0 unless given.
Tensor Fill(const ir::Node& node) {
  if (!node.HasAttribute("value")) return Tensor::Scalar<float>(0);
  const Tensor& value = node.GetTensor("value");
  if (value.size() != 1) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'value' is " + value.Describe() + ", expected one element");
  }
  return value;
}

void RegisterConstantOfShape(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "ConstantOfShape";
  op.since_version = 21;
  op.summary = "A tensor of the given shape filled with one value (default f32 0).";
  op.inputs = {Required("shape", "tint64")};
  op.outputs = {Required("output")};
  op.attributes = {OptionalAttribute("value", AttributeKind::kTensor)};
  op.reference = [](const ir::ReferenceCall& call) {
    const Tensor fill = Fill(call.node);
    const size_t item = ItemSize(fill.dtype());
    auto* out = static_cast<std::byte*>(call.output().data);
    for (size_t at = 0; at < call.output().bytes(); at += item) {
      std::memcpy(out + at, fill.raw(), item);
    }
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const DType dtype = Fill(in.node).dtype();
    const std::optional<std::vector<int64_t>> shape = in.ints(0);
    if (shape) {
      const Shape checked(*shape);
      checked.size();  // throws for a negative extent
      return {Type::Tensor(dtype, checked)};
    }
    const std::optional<int64_t> rank = in.length(0);
    if (!rank) return {Type::TensorOfUnknownRank(dtype)};
    return {Type::Tensor(dtype, UnknownDimensions(*rank))};
  });
  const ir::Attributes sevens = {{"value", Attribute(Tensor::Of<int32_t>({1}, {7}))}};
  op.cases = {ExpectedOnly("zeros", {ConstantInts({2, 3})}, {0, 0, 0, 0, 0, 0}),
              ExpectedOnly("sevens", {ConstantInts({3})}, {7, 7, 7}, sevens),
              ExpectedOnly("at_run_time", {Integers({2}, {1, 2})}, {7, 7}, sevens),
              ExpectedOnly("scalar", {ConstantInts({})}, {7}, sevens),
              ExpectedOnly("empty", {ConstantInts({0, 4})}, {})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterConstant(ir::OpRegistry& registry) {
  RegisterConstantOp(registry);
  RegisterConstantOfShape(registry);
}

}  // namespace ingot::ops
