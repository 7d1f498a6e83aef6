// Optimizer updates over several steps, and their messages.
#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Type;
using ir::Value;

class OptimizersTest : public testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape, DType dtype = DType::kF64) {
    return graph_.AddInput(name, Type::Tensor(dtype, shape));
  }
  std::string Refusal(const std::string& op, std::vector<Value*> inputs, size_t outputs,
                      ir::Attributes attributes = {}) {
    try {
      builder_.Ops(op, std::move(inputs), outputs, std::move(attributes));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.message();
    }
    return "no error";
  }

  const ir::OpRegistry registry_ = StandardOps();
  ir::Graph graph_;
  ir::Builder builder_{graph_, registry_};
};

// With betas of 0 Adam goes by the sign of the gradient.
TEST_F(OptimizersTest, AdamWithoutMemoryFollowsTheSign) {
  Value* w = Input("w", {3});
  const auto next = builder_.Ops("ingot.Adam",
                                 {w, Input("g", {3}), Input("rate", {}),
                                  Input("step", {}, DType::kI64), Input("m", {3}), Input("v", {3})},
                                 3, {{"beta1", 0.0}, {"beta2", 0.0}, {"epsilon", 0.0}});
  graph_.AddOutput(next[0], "w");
  const auto result = Interpret(graph_, {{"w", Tensor::Of<double>({3}, {1, 2, 3})},
                                         {"g", Tensor::Of<double>({3}, {-0.001, 5, 100})},
                                         {"rate", Tensor::Scalar<double>(0.5)},
                                         {"step", Tensor::Scalar<int64_t>(17)},
                                         {"m", Tensor::Of<double>({3}, {9, 9, 9})},
                                         {"v", Tensor::Of<double>({3}, {9, 9, 9})}});
  EXPECT_EQ(Compare(result.at("w"), Tensor::Of<double>({3}, {1.5, 1.5, 2.5}), 1e-15), "");
}

// Momentum of a constant gradient g after n steps: g (1 - m^n) / (1 - m), summed into w.
TEST_F(OptimizersTest, SgdAccumulatesMomentum) {
  const auto next = builder_.Ops(
      "ingot.Sgd", {Input("w", {1}), Input("g", {1}), Input("rate", {}), Input("momentum", {1})}, 2,
      {{"momentum", 0.5}});
  graph_.AddOutput(next[0], "w");
  graph_.AddOutput(next[1], "momentum");
  Tensor w(DType::kF64, {1}), momentum(DType::kF64, {1});
  double velocity = 0, position = 0;
  for (int n = 1; n <= 10; ++n) {
    const auto result = Interpret(graph_, {{"w", w},
                                           {"g", Tensor::Of<double>({1}, {2})},
                                           {"rate", Tensor::Scalar<double>(0.25)},
                                           {"momentum", momentum}});
    w = result.at("w");
    momentum = result.at("momentum");
    velocity = 2 * (1 - std::pow(0.5, n)) / 0.5;
    position -= 0.25 * velocity;
    EXPECT_EQ(momentum.ToDoubles()[0], velocity);
    EXPECT_EQ(w.ToDoubles()[0], position);
  }
}

TEST_F(OptimizersTest, TakeAParameterOfLowPrecisionWithStateInF32) {
  Value* w = Input("w", {4}, DType::kBf16);
  const auto next = builder_.Ops(
      "ingot.Adam",
      {w, Input("g", {4}, DType::kBf16), Input("rate", {}, DType::kF32),
       Input("step", {}, DType::kI64), Input("m", {4}, DType::kF32), Input("v", {4}, DType::kF32)},
      3);
  EXPECT_EQ(next[0]->type().ToString(), "bf16[4]");
  EXPECT_EQ(next[1]->type().ToString(), "f32[4]");
  EXPECT_EQ(next[2]->type().ToString(), "f32[4]");
}

TEST_F(OptimizersTest, RefuseWhatDoesNotBelongToTheParameter) {
  Value* w = Input("w", {3});
  Value* g = Input("g", {3});
  Value* rate = Input("rate", {});
  EXPECT_EQ(Refusal("ingot.Sgd", {w, Input("other", {4}), rate}, 1),
            "ingot.Sgd node: input 1 (g) is f64[4], but the parameter is f64[3]");
  EXPECT_EQ(Refusal("ingot.Sgd", {w, g, Input("rates", {3})}, 1),
            "ingot.Sgd node: input 2 (learning_rate) is f64[3], expected a scalar: f32[] or the "
            "parameter's own type");
  EXPECT_EQ(Refusal("ingot.Sgd", {w, g, rate}, 1, {{"momentum", 0.9}}),
            "ingot.Sgd node: it has 0 state tensors and gives 0, but its attributes call for 1: "
            "momentum");
  EXPECT_EQ(Refusal("ingot.Sgd", {w, g, rate, Input("momentum", {3})}, 1),
            "ingot.Sgd node: it has 1 state tensors and gives 0, but its attributes call for 0");
  EXPECT_EQ(Refusal("ingot.Sgd", {w, g, rate, Input("velocity", {2})}, 2, {{"momentum", 0.9}}),
            "ingot.Sgd node: input 3 (momentum) is f64[2], but the parameter is f64[3]");
  EXPECT_EQ(Refusal("ingot.Adam", {w, g, rate, Input("step", {}), g, g}, 3),
            "ingot.Adam node: input 3 (step) is f64[], expected a scalar: i64[], counted from 1");
}

}  // namespace
}  // namespace ingot::ops
