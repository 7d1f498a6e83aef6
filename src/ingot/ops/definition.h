// Short forms for writing op definitions: ports, attributes, gradients and test inputs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ingot/ir/builder.h"
#include "ingot/ir/op.h"

namespace ingot::ops {

// ---- ports and attributes ----
ir::Port Required(std::string name, std::string type_variable = "T");
ir::Port Optional(std::string name, std::string type_variable = "T");
ir::Port Variadic(std::string name, std::string type_variable = "T");

ir::AttributeSpec IntAttribute(std::string name, int64_t default_value);
ir::AttributeSpec FloatAttribute(std::string name, double default_value);
ir::AttributeSpec StringAttribute(std::string name, std::string default_value);
// Neither required nor with a default: ask Node::HasAttribute or Node::FindInts.
ir::AttributeSpec OptionalAttribute(std::string name, ir::AttributeKind kind);
ir::AttributeSpec RequiredAttribute(std::string name, ir::AttributeKind kind);

// {{"axis", axis}}.
ir::Attributes AxisAttributes(int64_t axis);

// ---- gradients ----
using GradientRule = std::function<void(ir::GradientContext&)>;

// Of an op with one input and one output: d(input) = formula(builder, d(output), input, output).
GradientRule UnaryGradient(
    std::function<ir::Value*(ir::Builder&, ir::Value* dy, ir::Value* x, ir::Value* y)> formula);
// Of a piecewise constant op (Sign, Floor): zero wherever it exists, so nothing is emitted.
GradientRule ZeroGradient();

// What a Constant node stands for, whichever of its attributes says it: floats are f32, integers
// i64, as in ONNX. Throws Error(kInvalidInput) unless it has exactly one.
Tensor ConstantTensor(const ir::Node& node);
// The tensor of a Constant node with a tensor value; null for any other value.
const Tensor* ConstantValue(const ir::Value* value);

// ---- inputs of test cases ----
using ir::OpCase;

// Drawn uniformly from [low, high]; of whatever float type is being tested.
OpCase::Input Uniform(Shape shape, double low = -1, double high = 1);
// The given values, of whatever float type is being tested (so: values that bf16 holds exactly).
OpCase::Input Floats(Shape shape, const std::vector<double>& values);
// The same of an input that has no gradient: a bound, a scale.
OpCase::Input FixedFloats(Shape shape, const std::vector<double>& values);
// Integers (or bools) of a fixed type, given at run time.
OpCase::Input Integers(Shape shape, const std::vector<int64_t>& values, DType dtype = DType::kI64);
// The same of bytes.
OpCase::Input Bytes(Shape shape, const std::vector<int64_t>& values, DType dtype = DType::kU8);
// i64[n] given to the node as a Constant: axes, shapes, starts.
OpCase::Input ConstantInts(const std::vector<int64_t>& values);
OpCase::Input Absent();

// ---- test cases ----
// Values worked out independently, in row-major order.
OpCase ExpectedCase(std::string name, std::vector<OpCase::Input> inputs,
                    std::vector<double> expected, ir::Attributes attributes = {});
// The same for an op or inputs without a gradient.
OpCase ExpectedOnly(std::string name, std::vector<OpCase::Input> inputs,
                    std::vector<double> expected, ir::Attributes attributes = {});
// "from_0.1_[33]_approximate": tells cases apart by range, shape and attributes.
std::string CaseName(double low, const Shape& shape, const ir::Attributes& attributes);
// An elementwise formula, checked on one input of several shapes (a scalar, ragged ones, an empty
// one) drawn uniformly from [low, high].
std::vector<OpCase> UnaryCases(double low, double high,
                               std::function<double(std::span<const double>)> formula,
                               ir::Attributes attributes = {});

}  // namespace ingot::ops
