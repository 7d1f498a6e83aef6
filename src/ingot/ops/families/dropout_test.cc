// Dropout: its share, its keys, and its independence of how the batch is cut.
#include "ingot/ops/dropout.h"

#include <cmath>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Dimension;
using ir::Type;
using ir::Value;

class DropoutTest : public testing::Test {
 protected:
  // Dropout of ones [rows, columns].
  std::vector<double> Run(int64_t rows, int64_t columns, double ratio, int64_t stream,
                          std::vector<int64_t> key) {
    ir::Graph graph("net");
    Value* x = graph.AddInput("x", Type::Tensor(DType::kF64, {Dimension(), Dimension()}));
    Value* k = graph.AddInput("key", Type::Tensor(DType::kI64, {Dimension(3)}));
    graph.AddOutput(ir::Builder(graph, registry_)
                        .Op("ingot.Dropout", {x, k}, {{"ratio", ratio}, {"stream", stream}}),
                    "y");
    Tensor ones(DType::kF64, {rows, columns});
    for (double& v : ones.data<double>()) v = 1;
    return Interpret(graph, {{"x", ones},
                             {"key", Tensor::Of<int64_t>({3}, std::span<const int64_t>(key))}})
        .at("y")
        .ToDoubles();
  }

  const ir::OpRegistry registry_ = StandardOps();
};

TEST_F(DropoutTest, KeepsTheShareAndTheMean) {
  for (const double ratio : {0.1, 0.5, 0.9}) {
    const std::vector<double> y = Run(100, 500, ratio, 1, {1, 2, 0});
    double kept = 0;
    for (const double v : y) {
      if (v == 0) continue;
      EXPECT_DOUBLE_EQ(v, 1 / (1 - ratio));
      ++kept;
    }
    const auto count = static_cast<double>(y.size());
    EXPECT_NEAR(kept / count, 1 - ratio, 5 * std::sqrt(ratio * (1 - ratio) / count));
  }
}

TEST_F(DropoutTest, DependsOnSeedStepStreamAndSample) {
  const std::vector<double> y = Run(4, 64, 0.5, 1, {1, 2, 0});
  EXPECT_EQ(Run(4, 64, 0.5, 1, {1, 2, 0}), y);
  EXPECT_NE(Run(4, 64, 0.5, 1, {9, 2, 0}), y);
  EXPECT_NE(Run(4, 64, 0.5, 1, {1, 9, 0}), y);
  EXPECT_NE(Run(4, 64, 0.5, 9, {1, 2, 0}), y);
  EXPECT_NE(Run(4, 64, 0.5, 1, {1, 2, 9}), y);
  EXPECT_NE(std::vector<double>(y.begin(), y.begin() + 64),
            std::vector<double>(y.begin() + 64, y.begin() + 128));
}

TEST_F(DropoutTest, ShardsOfABatchDropWhatTheBatchDrops) {
  const std::vector<double> whole = Run(5, 64, 0.25, 3, {7, 8, 32});
  const std::vector<double> rest = Run(3, 64, 0.25, 3, {7, 8, 34});
  EXPECT_EQ(rest, std::vector<double>(whole.begin() + 2 * 64, whole.end()));
}

TEST_F(DropoutTest, KernelsCanRelyOnTheKey) {
  const int64_t key[] = {7, 8, 32};
  const std::vector<double> y = Run(2, 10, 0.3, 3, {7, 8, 32});
  for (int64_t row = 0; row < 2; ++row) {
    for (uint64_t j = 0; j < 10; ++j) {
      const bool kept = DropoutKey(key, 3, row).Uint32(j) >= DropoutThreshold(0.3);
      EXPECT_EQ(y[static_cast<size_t>(row) * 10 + j] != 0, kept);
    }
  }
  EXPECT_EQ(DropoutThreshold(0), 0u);
  EXPECT_EQ(DropoutThreshold(0.5), 0x80000000u);
}

TEST_F(DropoutTest, IsNeverMergedAndItsGradientHasTheSameKey) {
  const ir::OpDefinition& op = registry_.Get("Dropout", "ingot");
  EXPECT_TRUE(op.never_merged);
  ir::Graph graph;
  Value* x = graph.AddInput("x", Type::Tensor(DType::kF32, {Dimension(2), Dimension(3)}));
  Value* key = graph.AddInput("key", Type::Tensor(DType::kI64, {Dimension(3)}));
  ir::Builder builder(graph, registry_);
  Value* y = builder.Op("ingot.Dropout", {x, key}, {{"ratio", 0.5}, {"stream", int64_t{4}}});
  ir::GradientContext context(*y->producer(), builder, {x}, {true, false});
  op.gradient(context);
  const ir::Node* gradient = context.input_gradients()[0]->producer();
  EXPECT_EQ(&gradient->op(), &op);
  EXPECT_EQ(gradient->input(1), key);
  EXPECT_EQ(gradient->GetInt("stream"), 4);
  EXPECT_EQ(gradient->GetFloat("ratio"), 0.5);
}

TEST_F(DropoutTest, RefusesARatioOutsideAndAWrongKey) {
  const auto failure = [&](double ratio, ir::Dimensions key_dims, DType key_type) -> std::string {
    ir::Graph graph;
    Value* x = graph.AddInput("x", Type::Tensor(DType::kF32, {Dimension(2), Dimension(3)}));
    Value* key = graph.AddInput("key", Type::Tensor(key_type, std::move(key_dims)));
    try {
      ir::Builder(graph, registry_).Op("ingot.Dropout", {x, key}, {{"ratio", ratio}});
    } catch (const Error& error) {
      return error.message();
    }
    return "no error";
  };
  EXPECT_EQ(failure(1, {3}, DType::kI64),
            "ingot.Dropout node: attribute 'ratio' is 1.000000, expected at least 0 and less than "
            "1");
  EXPECT_EQ(failure(0.5, {2}, DType::kI64),
            "ingot.Dropout node: input 1 (random_key) is i64[2], expected i64[3]: seed, step, "
            "first sample");
  EXPECT_EQ(failure(0.5, {3}, DType::kI32),
            "ingot.Dropout node: input 1 (random_key) is i32[3], expected i64[3]: seed, step, "
            "first sample");
}

TEST_F(DropoutTest, OnnxDropoutHasNoGradientInTrainingMode) {
  ir::Graph graph;
  Value* x = graph.AddInput("x", Type::Tensor(DType::kF32, {Dimension(2)}));
  ir::Builder builder(graph, registry_);
  Value* training = builder.Constant(Tensor::Scalar<bool>(true));
  Value* y = builder.Op("Dropout", {x, nullptr, training});
  ir::GradientContext context(*y->producer(), builder, {y}, {true, false, false});
  try {
    y->producer()->op().gradient(context);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(error.message(), "training_mode is true, expected inference");
  }
}

}  // namespace
}  // namespace ingot::ops
