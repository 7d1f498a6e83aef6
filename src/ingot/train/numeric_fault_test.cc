// FindNumericFault on small steps: inputs, parameters, ops inside and outside the shards.
#include "ingot/train/numeric_fault.h"

#include <limits>
#include <memory>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::train {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// loss = sum over shards of sum(sqrt(log(x) * w)); x f32[4], cut into 2 shards.
class NumericFaultTest : public ::testing::Test {
 protected:
  NumericFaultTest() : registry_(ops::StandardOps()), step_("step") {
    auto body = std::make_shared<ir::Graph>("shard");
    {
      ir::Builder builder(*body, registry_);
      ir::Value* x = body->AddInput("x", ir::Type::Tensor(DType::kF32, ir::Dimensions{"batch"}));
      ir::Value* w = body->AddInput("w", ir::Type::Tensor(DType::kF32, ir::Dimensions{}),
                                    ir::Role::kParameter);
      builder.set_layer("1 (log)");
      ir::Value* log = builder.Op("Log", {x});
      builder.set_layer("2 (root)");
      ir::Value* root = builder.Op("Sqrt", {builder.Mul(log, w)});
      body->AddOutput(builder.Op("ReduceSum", {root}, {{"keepdims", int64_t{0}}}), "loss");
    }
    ir::Builder builder(step_, registry_);
    ir::Value* x = step_.AddInput("x", ir::Type::Tensor(DType::kF32, Shape{4}));
    ir::Value* w =
        step_.AddInput("w", ir::Type::Tensor(DType::kF32, ir::Dimensions{}), ir::Role::kParameter);
    ir::Value* partial = builder.Op("ingot.ShardMap", {x, w},
                                    {{"body", body},
                                     {"shards", int64_t{2}},
                                     {"sharded", int64_t{1}},
                                     {"output_kinds", std::vector<int64_t>{0}}});
    ir::Value* sum = builder.Op("ingot.TreeReduce", {partial});
    step_.AddOutput(builder.Op("Exp", {sum}), "result");
  }

  std::optional<NumericFault> Find(std::vector<float> x, float w) {
    return FindNumericFault(step_, {{"x", Tensor::Of<float>({4}, x)}, {"w", Tensor::Scalar(w)}});
  }

  ir::OpRegistry registry_;
  ir::Graph step_;
};

TEST_F(NumericFaultTest, NothingIsWrong) {
  EXPECT_FALSE(Find({1, 2, 3, 4}, 1).has_value());
}

TEST_F(NumericFaultTest, AnInputOrAParameter) {
  const auto input = Find({1, 2, kNan, 4}, 1);
  ASSERT_TRUE(input.has_value());
  EXPECT_EQ(input->place, "input 'x'");
  EXPECT_EQ(input->value, "NaN");
  EXPECT_EQ(input->rows, (std::vector<int64_t>{2}));
  const auto parameter = Find({1, 2, 3, 4}, -kInfinity);
  ASSERT_TRUE(parameter.has_value());
  EXPECT_EQ(parameter->place, "parameter 'w'");
  EXPECT_EQ(parameter->value, "-infinity");
  EXPECT_TRUE(parameter->rows.empty());
}

TEST_F(NumericFaultTest, TheEarliestOpOfAllShardsAndAllItsRows) {
  // Shard 0 fails late (the root of a negative number), shard 1 early (the logarithm), twice.
  const auto fault = Find({0.5f, 2, -1, -2}, 1);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->op, "Log");
  EXPECT_EQ(fault->layer, "1 (log)");
  EXPECT_EQ(fault->value, "NaN");
  EXPECT_EQ(fault->rows, (std::vector<int64_t>{2, 3}));
}

TEST_F(NumericFaultTest, RowsOfSeveralShardsAreGathered) {
  const auto fault = Find({0, 1, 1, 0}, 1);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->op, "Log");
  EXPECT_EQ(fault->value, "-infinity");
  EXPECT_EQ(fault->rows, (std::vector<int64_t>{0, 3}));
}

TEST_F(NumericFaultTest, AfterTheShardsNoSampleIsNamed) {
  const auto fault = Find({1e30f, 1e30f, 1e30f, 1e30f}, 1e3f);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->op, "Exp");
  EXPECT_EQ(fault->value, "infinity");
  EXPECT_TRUE(fault->rows.empty());
}

}  // namespace
}  // namespace ingot::train
