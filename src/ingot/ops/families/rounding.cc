// ingot.RoundTo: numbers rounded to what a narrower float type holds, kept in their own type. What
// products with operands of 16 bits see: bf16 times bf16 is exact in f32.
//
// To nearest even; beyond the largest number of the type is infinity. The gradient passes through
// as if nothing had been rounded (a straight-through estimate).
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"
#include "ingot/tensor/half.h"

namespace ingot::ops {

void RegisterRounding(ir::OpRegistry& registry);

namespace {

DType TargetOf(const ir::Node& node) {
  return static_cast<DType>(node.GetInt("to"));
}

OpCase RoundingCase(std::string name, DType to, std::vector<double> x,
                    std::vector<double> expected) {
  const auto count = static_cast<int64_t>(x.size());
  OpCase::Input input = Floats({count}, x);
  // Of f32 whatever is tested: narrower types could not hold them.
  input.value = input.value->Cast(DType::kF32);
  input.differentiable = false;
  OpCase op_case = ExpectedOnly(std::move(name), {input}, std::move(expected),
                                {{"to", static_cast<int64_t>(to)}});
  return op_case;
}

}  // namespace

void RegisterRounding(ir::OpRegistry& registry) {
  ir::OpDefinition op = Unary<Types::kFloat>(
      "RoundTo", 1, "X rounded to the nearest numbers of a narrower type, in its own type.",
      [](auto x) { return x; });
  op.domain = "ingot";
  op.attributes = {RequiredAttribute("to", ir::AttributeKind::kInt)};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const DType to = TargetOf(context.node());
    if (to != DType::kBf16 && to != DType::kF16) {
      throw Error(ErrorCode::kInvalidInput, "attribute 'to' is " +
                                                std::to_string(context.node().GetInt("to")) +
                                                ", expected the number of bf16 (16) or f16 (10)");
    }
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const bool to_bf16 = TargetOf(call.node) == DType::kBf16;
    Map<Types::kFloat, 1>(call, [to_bf16](double x) {
      const auto narrow = static_cast<float>(x);
      return static_cast<double>(to_bf16 ? static_cast<float>(BFloat16(narrow))
                                         : static_cast<float>(Float16(narrow)));
    });
  };
  op.gradient =
      UnaryGradient([](ir::Builder&, ir::Value* dy, ir::Value*, ir::Value*) { return dy; });
  // Halfway between two numbers the even one counts: 1 + 2^-8 is between 1 and 1 + 2^-7.
  op.cases = {RoundingCase("bf16", DType::kBf16, {1, 1.00390625, 1.01171875, -1.0078125, 0},
                           {1, 1, 1.015625, -1.0078125, 0}),
              RoundingCase("bf16_large", DType::kBf16, {3e38, 3.4e38}, {0x1.c4p127, HUGE_VAL}),
              RoundingCase("f16", DType::kF16, {1, 1.00048828125, 1.00146484375, -0.1},
                           {1, 1, 1.001953125, -0.0999755859375}),
              RoundingCase("f16_small", DType::kF16, {3e-6, 1e-8, -2.5e-7, 5e-5},
                           {2.98023223876953125e-06, 0, -2.384185791015625e-07, 839 * 0x1p-24}),
              RoundingCase("f16_large", DType::kF16, {65504, 65519, -65520, 70000},
                           {65504, 65504, -HUGE_VAL, HUGE_VAL})};
  for (const DType to : {DType::kBf16, DType::kF16}) {
    for (const Shape& shape : {Shape{}, Shape{3, 11}, Shape{0, 4}}) {
      OpCase random;
      random.name = "random_" + std::string(Name(to)) + "_" + std::to_string(shape.size());
      random.inputs = {Uniform(shape)};
      random.attributes = {{"to", static_cast<int64_t>(to)}};
      random.gradient = false;  // a staircase
      op.cases.push_back(std::move(random));
    }
  }
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
