// Short forms for writing op definitions.
#include "ingot/ops/definition.h"

#include <utility>

#include "ingot/base/text.h"

namespace ingot::ops {

ir::Port Required(std::string name, std::string type_variable) {
  return {std::move(name), ir::Port::Presence::kRequired, std::move(type_variable)};
}

ir::Port Optional(std::string name, std::string type_variable) {
  return {std::move(name), ir::Port::Presence::kOptional, std::move(type_variable)};
}

ir::Port Variadic(std::string name, std::string type_variable) {
  return {std::move(name), ir::Port::Presence::kVariadic, std::move(type_variable)};
}

ir::AttributeSpec IntAttribute(std::string name, int64_t default_value) {
  return {std::move(name), ir::AttributeKind::kInt, ir::Attribute(default_value), false};
}

ir::AttributeSpec FloatAttribute(std::string name, double default_value) {
  return {std::move(name), ir::AttributeKind::kFloat, ir::Attribute(default_value), false};
}

ir::AttributeSpec StringAttribute(std::string name, std::string default_value) {
  return {std::move(name), ir::AttributeKind::kString, ir::Attribute(std::move(default_value)),
          false};
}

ir::AttributeSpec OptionalAttribute(std::string name, ir::AttributeKind kind) {
  return {std::move(name), kind, std::nullopt, false};
}

ir::AttributeSpec RequiredAttribute(std::string name, ir::AttributeKind kind) {
  return {std::move(name), kind, std::nullopt, true};
}

ir::Attributes AxisAttributes(int64_t axis) {
  return {{"axis", ir::Attribute(axis)}};
}

GradientRule UnaryGradient(
    std::function<ir::Value*(ir::Builder&, ir::Value*, ir::Value*, ir::Value*)> formula) {
  return [formula = std::move(formula)](ir::GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, formula(context.builder(), context.output_gradient(),
                                        context.input(0), context.output()));
  };
}

GradientRule ZeroGradient() {
  return [](ir::GradientContext&) {};
}

const Tensor* ConstantValue(const ir::Value* value) {
  const ir::Node* node = value == nullptr ? nullptr : value->producer();
  if (node == nullptr || node->op_type() != "Constant" || !node->domain().empty()) return nullptr;
  return node->HasAttribute("value") ? &node->GetTensor("value") : nullptr;
}

OpCase::Input Uniform(Shape shape, double low, double high) {
  OpCase::Input input;
  input.shape = std::move(shape);
  input.low = low;
  input.high = high;
  return input;
}

OpCase::Input Floats(Shape shape, const std::vector<double>& values) {
  const std::vector<float> floats(values.begin(), values.end());
  OpCase::Input input;
  input.value = Tensor::Of<float>(shape, std::span<const float>(floats));
  input.shape = std::move(shape);
  return input;
}

OpCase::Input FixedFloats(Shape shape, const std::vector<double>& values) {
  OpCase::Input input = Floats(std::move(shape), values);
  input.differentiable = false;
  return input;
}

OpCase::Input Bytes(Shape shape, const std::vector<int64_t>& values, DType dtype) {
  return Integers(std::move(shape), values, dtype);
}

OpCase::Input Integers(Shape shape, const std::vector<int64_t>& values, DType dtype) {
  OpCase::Input input;
  input.value = Tensor::Of<int64_t>(shape, std::span<const int64_t>(values)).Cast(dtype);
  input.shape = std::move(shape);
  input.dtype = dtype;
  input.differentiable = false;
  return input;
}

OpCase::Input ConstantInts(const std::vector<int64_t>& values) {
  OpCase::Input input = Integers({static_cast<int64_t>(values.size())}, values);
  input.constant = true;
  return input;
}

OpCase::Input Absent() {
  OpCase::Input input;
  input.absent = true;
  input.differentiable = false;
  return input;
}

OpCase ExpectedCase(std::string name, std::vector<OpCase::Input> inputs,
                    std::vector<double> expected, ir::Attributes attributes) {
  OpCase test;
  test.name = std::move(name);
  test.inputs = std::move(inputs);
  test.attributes = std::move(attributes);
  test.expected = {std::move(expected)};
  return test;
}

OpCase ExpectedOnly(std::string name, std::vector<OpCase::Input> inputs,
                    std::vector<double> expected, ir::Attributes attributes) {
  OpCase test =
      ExpectedCase(std::move(name), std::move(inputs), std::move(expected), std::move(attributes));
  test.gradient = false;
  return test;
}

std::string CaseName(double low, const Shape& shape, const ir::Attributes& attributes) {
  std::string name = "from_" + FormatNumber(low) + "_" + shape.ToString();
  for (const auto& entry : attributes) name += "_" + entry.first;
  return name;
}

std::vector<OpCase> UnaryCases(double low, double high,
                               std::function<double(std::span<const double>)> formula,
                               ir::Attributes attributes) {
  std::vector<OpCase> cases;
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{}, Shape{33}, Shape{0, 4}}) {
    OpCase test;
    test.name = CaseName(low, shape, attributes);
    test.inputs = {Uniform(shape, low, high)};
    test.attributes = attributes;
    test.formula = formula;
    cases.push_back(std::move(test));
  }
  return cases;
}

}  // namespace ingot::ops
