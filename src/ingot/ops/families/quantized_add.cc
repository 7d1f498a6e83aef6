// ingot.QuantizedAdd: the sum of two byte tensors of one shape, made by the passes of inference.
//
//   v = (A - a_zero) * a_scale + (B - b_zero) * b_scale, in f32, each operation rounded;
//   Y = v rounded to nearest even plus y_zero, cut to [y_least, y_most].
// The scales are those of A and B divided by that of Y.
#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"

namespace ingot::ops {

void RegisterQuantizedAdd(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::ReferenceCall;
using ir::Type;

bool IsAddedByte(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kI8;
}

void InferQuantizedAdd(InferContext& context) {
  for (size_t i = 0; i < 2; ++i) {
    if (IsAddedByte(context.input(i).dtype())) continue;
    throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " +
                                              context.input(i).ToString() + ", expected u8 or i8");
  }
  const auto y_type = static_cast<DType>(context.node().GetInt("y_type"));
  if (!IsAddedByte(y_type)) {
    throw Error(
        ErrorCode::kInvalidInput,
        "y_type is " + std::to_string(context.node().GetInt("y_type")) + ", expected u8 or i8");
  }
  const Type &a = context.input(0), &b = context.input(1);
  if (a.is_static() && b.is_static() && a.shape() != b.shape()) {
    throw Error(ErrorCode::kInvalidInput,
                "A is " + a.ToString() + " and B is " + b.ToString() + ", expected one shape");
  }
  context.SetOutput(0, (a.is_static() ? a : b).WithDType(y_type));
}

int64_t AddedByteAt(const TensorView& view, int64_t i) {
  return view.dtype == DType::kI8 ? int64_t{view.as<int8_t>()[i]} : int64_t{view.as<uint8_t>()[i]};
}

void RunQuantizedAdd(const ReferenceCall& call) {
  const ir::Node& node = call.node;
  const auto a_scale = static_cast<float>(node.GetFloat("a_scale"));
  const auto b_scale = static_cast<float>(node.GetFloat("b_scale"));
  const int64_t a_zero = node.GetInt("a_zero"), b_zero = node.GetInt("b_zero");
  const auto zero = static_cast<double>(node.GetInt("y_zero"));
  const auto least = static_cast<double>(node.GetInt("y_least"));
  const auto most = static_cast<double>(node.GetInt("y_most"));
  const TensorView& y = call.output();
  for (int64_t i = 0; i < y.size(); ++i) {
    const float a = static_cast<float>(AddedByteAt(call.input(0), i) - a_zero) * a_scale;
    const float b = static_cast<float>(AddedByteAt(call.input(1), i) - b_zero) * b_scale;
    const double rounded = std::nearbyint(double{a + b}) + zero;
    const auto byte = static_cast<int32_t>(std::clamp(rounded, least, most));
    if (y.dtype == DType::kI8) {
      y.as<int8_t>()[i] = static_cast<int8_t>(byte);
    } else {
      y.as<uint8_t>()[i] = static_cast<uint8_t>(byte);
    }
  }
}

// Every byte of A beside another of B, over vectors and what is left of one.
OpCase AllBytes(const std::string& name, DType a_type, DType b_type, DType y_type, double a_scale,
                double b_scale, int64_t y_zero, int64_t y_least, int64_t y_most) {
  const int64_t count = 4 * 256 + 13;
  std::vector<int64_t> a, b;
  for (int64_t i = 0; i < count; ++i) {
    a.push_back(i % 256 - (a_type == DType::kI8 ? 128 : 0));
    b.push_back(i * 37 / 2 % 256 - (b_type == DType::kI8 ? 128 : 0));
  }
  return OpCase{.name = name,
                .inputs = {Integers({1, count}, a, a_type), Integers({1, count}, b, b_type)},
                .attributes = {{"a_scale", a_scale},
                               {"b_scale", b_scale},
                               {"a_zero", int64_t{a_type == DType::kI8 ? -5 : 120}},
                               {"b_zero", int64_t{b_type == DType::kI8 ? 7 : 3}},
                               {"y_zero", y_zero},
                               {"y_least", y_least},
                               {"y_most", y_most},
                               {"y_type", static_cast<int64_t>(y_type)}},
                .gradient = false};
}

std::vector<OpCase> QuantizedAddCases() {
  constexpr DType kU8 = DType::kU8, kI8 = DType::kI8;
  std::vector<OpCase> cases;
  // (5 - 2) * 0.5 + (8 - 4) * 0.25 = 2.5, rounded to 2, + 10; -4.75 is cut.
  cases.push_back(ExpectedOnly("by_hand",
                               {Integers({2}, {5, 2}, kU8), Integers({2}, {8, -15}, kI8)}, {12, 7},
                               {{"a_scale", 0.5},
                                {"b_scale", 0.25},
                                {"a_zero", int64_t{2}},
                                {"b_zero", int64_t{4}},
                                {"y_zero", int64_t{10}},
                                {"y_least", int64_t{7}},
                                {"y_most", int64_t{255}}}));
  cases.push_back(AllBytes("unsigned", kU8, kU8, kU8, 0.37, 0.71, 0, 0, 255));
  cases.push_back(AllBytes("signed", kI8, kI8, kI8, 0.93, 0.29, -13, -128, 127));
  cases.push_back(AllBytes("mixed", kI8, kU8, kU8, 0.5, 0.5, 100, 100, 201));
  cases.push_back(AllBytes("mixed_to_signed", kU8, kI8, kI8, 1.7, 0.01, 3, 3, 90));
  cases.push_back(AllBytes("saturated", kU8, kU8, kU8, 1e30, 3e38, 9, 0, 255));
  return cases;
}

}  // namespace

void RegisterQuantizedAdd(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "QuantizedAdd";
  op.domain = "ingot";
  op.summary = "The sum of two tensors of bytes, each with its scale, rounded to bytes.";
  op.inputs = {Required("A", "TA"), Required("B", "TB")};
  op.outputs = {Required("Y", "TY")};
  op.attributes = {FloatAttribute("a_scale", 1), FloatAttribute("b_scale", 1),
                   IntAttribute("a_zero", 0),    IntAttribute("b_zero", 0),
                   IntAttribute("y_zero", 0),    IntAttribute("y_least", 0),
                   IntAttribute("y_most", 255),  IntAttribute("y_type", 2)};
  op.infer = InferQuantizedAdd;
  op.reference = RunQuantizedAdd;
  op.cases = QuantizedAddCases();
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
