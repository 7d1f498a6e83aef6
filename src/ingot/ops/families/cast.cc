// Cast and CastLike: conversion between all types but complex ones.
//
// Float to integer truncates (out of the integer's range the result is unspecified, as in ONNX),
// to bool is "not zero", to a narrower float rounds to nearest even. To the types of 8 bits and
// fewer: tensor/narrow.h, with the attributes saturate and round_mode. To strings: the fewest
// digits that tell the number apart, as Python writes it; from strings: a number, "inf" or "nan".
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"
#include "ingot/tensor/narrow.h"

namespace ingot::ops {
namespace {

using ir::GradientContext;

bool IsConvertible(DType dtype) {
  return dtype == DType::kString || IsNarrow(dtype) || Holds(Types::kAll, dtype);
}

// Throws Error(kInvalidInput) unless the number is an ONNX type that tensors can have here.
DType TargetType(int64_t number) {
  const auto dtype = static_cast<DType>(number);
  if (number < 0 || number > static_cast<int64_t>(DType::kI2) || !IsConvertible(dtype)) {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'to' is " + std::to_string(number) + ", which is no type to cast to",
                "expected ONNX's number of a float, integer, bool or string type (1 is f32)");
  }
  return dtype;
}

void RequireConvertible(const ir::InferContext& context, size_t input) {
  if (IsConvertible(context.input(input).dtype())) return;
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(input) + " is " +
                                            context.input(input).ToString() +
                                            ", which cannot be cast");
}

// ---- strings ----

// "1.5", "100.0", "1e-05": digits from std::to_chars, dressed as Python does.
template <typename T>
std::string FloatText(T value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto magnitude = std::fabs(static_cast<double>(value));
  const bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const std::to_chars_result end =
      std::to_chars(buffer, buffer + sizeof buffer, value,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::vector<std::string> Texts(const Tensor& x) {
  if (x.dtype() == DType::kString) return x.ToStrings();
  std::vector<std::string> texts;
  if (x.dtype() == DType::kF64) {
    for (const double value : x.data<double>()) texts.push_back(FloatText(value));
  } else if (IsInteger(x.dtype()) && !IsNarrow(x.dtype())) {
    for (const int64_t value : x.ToInts()) texts.push_back(std::to_string(value));
  } else if (x.dtype() == DType::kBool) {
    for (const bool value : x.data<bool>()) texts.emplace_back(value ? "True" : "False");
  } else {
    for (const double value : x.ToDoubles()) texts.push_back(FloatText(static_cast<float>(value)));
  }
  return texts;
}

double Number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0') {
    throw Error(ErrorCode::kInvalidInput, "'" + text + "' is no number");
  }
  return value;
}

// ---- conversion ----

PowerRounding RoundingOf(const ir::Node& node) {
  const std::string& mode = node.GetString("round_mode");
  if (mode == "up") return PowerRounding::kUp;
  if (mode == "down") return PowerRounding::kDown;
  if (mode == "nearest") return PowerRounding::kNearest;
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'round_mode' is '" + mode + "', expected up, down or nearest");
}

void Convert(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& out = call.output();
  if (x.dtype == out.dtype) {
    if (out.bytes() > 0) std::memcpy(out.data, x.data, out.bytes());
  } else if (x.dtype == DType::kString) {
    std::vector<double> values;
    for (int64_t i = 0; i < x.size(); ++i) {
      values.push_back(Number(std::string(x.as<StringRef>()[i].view())));
    }
    ConvertElements(values.data(), DType::kF64, out.data, out.dtype, out.size());
  } else if (IsNarrow(out.dtype)) {
    std::vector<double> values(static_cast<size_t>(x.size()));
    ConvertElements(x.data, x.dtype, values.data(), DType::kF64, x.size());
    const bool saturate = call.node.GetInt("saturate") != 0;
    const PowerRounding rounding = RoundingOf(call.node);
    for (size_t i = 0; i < values.size(); ++i) {
      out.as<uint8_t>()[i] = EncodeNarrow(out.dtype, values[i], saturate, rounding);
    }
  } else {
    ConvertElements(x.data, x.dtype, out.data, out.dtype, out.size());
  }
}

// A tensor of strings owns its characters, so that it cannot be written into a given output.
std::vector<Tensor> ConvertTensor(const ir::Node& node, const Tensor& x, DType dtype) {
  if (dtype == DType::kString) return {Tensor::OfStrings(x.shape(), Texts(x))};
  Tensor out(dtype, x.shape());
  const std::vector<TensorView> inputs = {x.view()}, outputs = {out.view()};
  Convert(ir::ReferenceCall{node, inputs, outputs});
  return {out};
}

// Extents of strings are left open, so that ConvertTensor is called.
ir::Type ConvertedType(const ir::Type& x, DType dtype) {
  if (dtype != DType::kString || !x.has_rank()) return x.WithDType(dtype);
  return ir::Type::Tensor(dtype, ir::Dimensions(static_cast<size_t>(x.rank())));
}

ir::OpDefinition Conversion(std::string name, std::string summary) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = 24;
  op.summary = std::move(summary);
  op.inputs = {Required("input", "T1")};
  op.outputs = {Required("output", "T2")};
  // Both concern the types of 8 bits and fewer alone.
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
  // Through a narrow type and back is what NarrowTest checks; here integers of 4 and 2 bits.
  cases.push_back(ExpectedOnly("i4_to_i32", {Integers({3}, {-8, 7, 1}, DType::kI4)}, {-8, 7, 1},
                               to(DType::kI32)));
  cases.push_back(
      ExpectedOnly("u2_to_f32", {Integers({2}, {3, 0}, DType::kU2)}, {3, 0}, to(DType::kF32)));
  return cases;
}

}  // namespace

void RegisterCast(ir::OpRegistry& registry) {
  ir::OpDefinition cast = Conversion("Cast", "The same numbers as another type.");
  cast.attributes.push_back(RequiredAttribute("to", ir::AttributeKind::kInt));
  cast.infer = [](ir::InferContext& context) {
    RequireConvertible(context, 0);
    context.SetOutput(0, ConvertedType(context.input(0), TargetType(context.node().GetInt("to"))));
  };
  cast.dynamic_reference = [](const ir::Node& node, std::span<const Tensor> inputs) {
    return ConvertTensor(node, inputs[0], TargetType(node.GetInt("to")));
  };
  cast.cases = CastCases();
  registry.Add(std::move(cast));

  ir::OpDefinition like = Conversion("CastLike", "The same numbers as the type of another tensor.");
  like.inputs.push_back(Required("target_type", "T2"));
  like.infer = [](ir::InferContext& context) {
    RequireConvertible(context, 0);
    RequireConvertible(context, 1);
    context.SetOutput(0, ConvertedType(context.input(0), context.input(1).dtype()));
  };
  like.dynamic_reference = [](const ir::Node& node, std::span<const Tensor> inputs) {
    return ConvertTensor(node, inputs[0], inputs[1].dtype());
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
