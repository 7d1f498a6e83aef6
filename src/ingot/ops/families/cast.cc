// Cast and CastLike: conversion between all stored types.
//
// Float to integer truncates (out of the integer's range the result is unspecified, as in ONNX),
// to bool is "not zero", to a narrower float rounds to nearest even.
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::GradientContext;

// Throws Error(kInvalidInput) unless the number is an ONNX type that tensors can have here.
DType TargetType(int64_t number) {
  const auto dtype = static_cast<DType>(number);
  if (number < 0 || number > 22 || !Holds(Types::kAll, dtype)) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'to' is " + std::to_string(number) + ", which is no type to cast to",
                "expected ONNX's number of a float, integer or bool type (1 is f32)");
  }
  return dtype;
}

void Convert(const ir::ReferenceCall& call) {
  ConvertElements(call.input(0).data, call.input(0).dtype, call.output().data, call.output().dtype,
                  call.output().size());
}

ir::OpDefinition Conversion(std::string name, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = 24;
  op.summary = std::move(summary);
  op.inputs = {Required("input", "T1")};
  op.outputs = {Required("output", "T2")};
  // Both concern the 8-bit floats alone, which tensors cannot have here.
  op.attributes = {IntAttribute("saturate", 1), StringAttribute("round_mode", "up")};
  op.reference = Convert;
  op.gradient = [](GradientContext& context) {
    const ir::Type& type = context.input(0)->type();
    if (!context.wants(0) || !IsFloat(type.dtype())) return;
    const ir::Attribute to(static_cast<int64_t>(type.dtype()));
    context.SetInputGradient(
        0, context.builder().Op("Cast", {context.output_gradient()}, {{"to", to}}));
  };
  op.elementwise = true;
  return op;
}

// {1.75, -2.5, 0, 100} as each type holds it.
std::vector<double> Converted(DType to) {
  if (to == DType::kBool) return {1, 1, 0, 1};
  if (IsFloat(to)) return {1.75, -2.5, 0, 100};
  return {1, -2, 0, 100};
}

std::vector<OpCase> CastCases() {
  std::vector<OpCase> cases;
  const std::vector<DType> signed_types = {DType::kF32, DType::kF64, DType::kF16, DType::kBf16,
                                           DType::kI8,  DType::kI16, DType::kI32, DType::kI64};
  const std::vector<DType> others = {DType::kU8, DType::kU16, DType::kU32, DType::kU64,
                                     DType::kBool};
  const auto to = [](DType dtype) {
    return ir::Attributes{{"to", ir::Attribute(static_cast<int64_t>(dtype))}};
  };
  for (const DType target : signed_types) {
    OpCase test =
        ExpectedCase("to_" + std::string(Name(target)), {Floats({2, 2}, {1.75, -2.5, 0, 100})},
                     Converted(target), to(target));
    // Rounding to a narrower type makes a staircase: its gradient is the identity by convention.
    test.gradient = target == DType::kF64;
    cases.push_back(std::move(test));
  }
  for (const DType target : others) {
    const bool is_bool = target == DType::kBool;
    cases.push_back(ExpectedOnly("to_" + std::string(Name(target)), {Floats({3}, {1.75, 0, 100})},
                                 {1, 0, is_bool ? 1.0 : 100.0}, to(target)));
  }
  std::vector<DType> sources = signed_types;
  sources.insert(sources.end(), others.begin(), others.end());
  for (const DType source : sources) {
    if (IsFloat(source)) continue;
    const bool is_bool = source == DType::kBool;
    for (const DType target : sources) {
      cases.push_back(ExpectedOnly(std::string(Name(source)) + "_to_" + std::string(Name(target)),
                                   {Integers({3}, {1, 0, 100}, source)},
                                   {1, 0, is_bool || target == DType::kBool ? 1.0 : 100.0},
                                   to(target)));
    }
  }
  return cases;
}

}  // namespace

void RegisterCast(ir::OpRegistry& registry) {
  ir::OpDefinition cast = Conversion("Cast", "The same numbers as another type.");
  cast.attributes.push_back(RequiredAttribute("to", ir::AttributeKind::kInt));
  cast.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kAll);
    context.SetOutput(0, context.input(0).WithDType(TargetType(context.node().GetInt("to"))));
  };
  cast.cases = CastCases();
  registry.Add(std::move(cast));

  ir::OpDefinition like = Conversion("CastLike", "The same numbers as the type of another tensor.");
  like.inputs.push_back(Required("target_type", "T2"));
  like.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kAll);
    RequireType(context, 1, Types::kAll);
    context.SetOutput(0, context.input(0).WithDType(context.input(1).dtype()));
  };
  // Not elementwise in its second input, of which only the type counts.
  like.elementwise = false;
  OpCase::Input target = Uniform({2});
  target.differentiable = false;
  like.cases = {
      ExpectedCase("same_type", {Floats({3}, {1.75, -2.5, 7}), target}, {1.75, -2.5, 7}),
      ExpectedOnly("to_i32", {Floats({3}, {1.75, -2.5, 7}), Integers({1}, {0}, DType::kI32)},
                   {1, -2, 7})};
  registry.Add(std::move(like));
}

}  // namespace ingot::ops
