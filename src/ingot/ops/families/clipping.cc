// Clipping by the global norm of all gradients (Pascanu et al. 2013), outside of the shards:
//
//   s_i = ingot.SumSquares(g_i)           of each gradient
//   c = ingot.ClipScale(s_1, s_2, ...)    min(1, max_norm / (sqrt(sum s_i) + 1e-6)), as PyTorch's
//   g_i' = ingot.ScaleGradient(g_i, c)
#include <algorithm>
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterClipping(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;
using ir::Type;

OpDefinition Base(const char* name, const char* summary) {
  OpDefinition op;
  op.name = name;
  op.domain = "ingot";
  op.summary = summary;
  return op;
}

OpDefinition SumSquares() {
  OpDefinition op = Base("SumSquares", "The sum of the squares of all elements, in f64.");
  op.inputs = {Required("X")};
  op.outputs = {Required("Y", "")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, Type::Tensor(DType::kF64, Shape{}));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    DispatchFloat("ingot.SumSquares", x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      // Four sums hide the latency of the addition; their order is fixed.
      double sums[4] = {};
      const int64_t size = x.size();
      for (int64_t i = 0; i < size; ++i) {
        const double value = x.as<T>()[i];
        sums[i % 4] += value * value;
      }
      *call.output().as<double>() = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    });
  };
  op.cases = {OpCase{.name = "by_hand",
                     .inputs = {Floats({2, 3}, {1, -2, 3, 0, 4, -1})},
                     .expected = {{31}},
                     .gradient = false},
              OpCase{.name = "ragged", .inputs = {Uniform({13, 7, 5})}, .gradient = false}};
  return op;
}

OpDefinition ClipScale() {
  OpDefinition op =
      Base("ClipScale",
           "What gradients with these sums of squares are multiplied by: at most max_norm.");
  op.inputs = {{"squares", ir::Port::Presence::kVariadic}};
  op.outputs = {Required("Y", "")};
  op.attributes = {RequiredAttribute("max_norm", ir::AttributeKind::kFloat),
                   IntAttribute("to", static_cast<int64_t>(DType::kF32))};
  op.infer = [](InferContext& context) {
    if (context.node().GetFloat("max_norm") <= 0) {
      throw Error(ErrorCode::kInvalidInput, "max_norm must be above 0");
    }
    const auto to = static_cast<DType>(context.node().GetInt("to"));
    context.SetOutput(0, Type::Tensor(to, Shape{}));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    double sum = 0;
    for (const TensorView& square : call.inputs) {
      double value = 0;
      ConvertElements(square.data, square.dtype, &value, DType::kF64, 1);
      sum += value;
    }
    const double scale = std::min(1.0, call.node.GetFloat("max_norm") / (std::sqrt(sum) + 1e-6));
    ConvertElements(&scale, DType::kF64, call.output().data, call.output().dtype, 1);
  };
  const auto f64 = [](double value) {
    OpCase::Input input = Floats({}, {value});
    input.value = input.value->Cast(DType::kF64);
    return input;
  };
  op.cases = {OpCase{.name = "longer",
                     .inputs = {f64(9), f64(16)},
                     .attributes = {{"max_norm", 2.0}, {"to", static_cast<int64_t>(DType::kF64)}},
                     .expected = {{2 / (5 + 1e-6)}},
                     .gradient = false},
              OpCase{.name = "shorter",
                     .inputs = {f64(0.25)},
                     .attributes = {{"max_norm", 2.0}, {"to", static_cast<int64_t>(DType::kF64)}},
                     .expected = {{1}},
                     .gradient = false}};
  return op;
}

OpDefinition ScaleGradient() {
  OpDefinition op = Base("ScaleGradient", "X times one number.");
  op.inputs = {Required("X"), Required("scale")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    DispatchFloat("ingot.ScaleGradient", x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T scale = *call.input(1).as<T>();
      for (int64_t i = 0; i < x.size(); ++i) {
        call.output().as<T>()[i] = static_cast<T>(x.as<T>()[i] * scale);
      }
    });
  };
  op.cases = {OpCase{.name = "by_hand",
                     .inputs = {Floats({3}, {1, -2, 4}), Floats({}, {0.5})},
                     .expected = {{0.5, -1, 2}},
                     .gradient = false}};
  return op;
}

}  // namespace

void RegisterClipping(ir::OpRegistry& registry) {
  registry.Add(SumSquares());
  registry.Add(ClipScale());
  registry.Add(ScaleGradient());
}

}  // namespace ingot::ops
