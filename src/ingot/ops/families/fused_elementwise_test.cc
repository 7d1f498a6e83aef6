// FusedElementwise: types follow the inputs, and bodies that cannot be are refused.
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

class FusedElementwiseTest : public testing::Test {
 protected:
  // x OP x with x of an unknown shape.
  std::shared_ptr<ir::Graph> Body(const std::string& op, size_t inputs) {
    auto body = std::make_shared<ir::Graph>("fused");
    Value* x = body->AddInput("x", Type::Tensor(DType::kF32, {Dimension("batch"), Dimension(2)}));
    body->AddOutput(ir::Builder(*body, registry_).Op(op, std::vector<Value*>(inputs, x)), "y");
    return body;
  }

  const ir::OpRegistry registry_ = StandardOps();
  ir::Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
};

// The body was made with another batch in mind.
TEST_F(FusedElementwiseTest, TakesItsShapeFromTheInputs) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, {Dimension(3), Dimension(2)}));
  Value* y = builder_.Op("ingot.FusedElementwise", {x}, {{"body", Body("Add", 2)}});
  EXPECT_EQ(y->type().ToString(), "f32[3, 2]");
  graph_.AddOutput(y, "y");
  const auto outputs = Interpret(graph_, {{"x", Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 6})}});
  EXPECT_EQ(outputs.at("y").ToDoubles(), (std::vector<double>{2, 4, 6, 8, 10, 12}));
}

TEST_F(FusedElementwiseTest, KeepsUnknownExtentsUntilItRuns) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, {Dimension("batch"), Dimension(2)}));
  Value* y = builder_.Op("ingot.FusedElementwise", {x}, {{"body", Body("Neg", 1)}});
  EXPECT_EQ(y->type().ToString(), "f32[batch, 2]");
  graph_.AddOutput(y, "y");
  EXPECT_EQ(Interpret(graph_, {{"x", Tensor(DType::kF32, {5, 2})}}).at("y").shape(), (Shape{5, 2}));
}

TEST_F(FusedElementwiseTest, RefusesWhatIsNoElementwiseBody) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, {Dimension(2), Dimension(2)}));
  const auto failure = [&](std::vector<Value*> inputs, const std::string& op, size_t uses) {
    try {
      builder_.Op("ingot.FusedElementwise", std::move(inputs), {{"body", Body(op, uses)}});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.message();
    }
    return std::string("no error");
  };
  EXPECT_EQ(failure({x}, "Softmax", 1),
            "ingot.FusedElementwise node: the body holds Softmax node, which is not elementwise");
  EXPECT_EQ(failure({x, x}, "Add", 2),
            "ingot.FusedElementwise node: the body takes 1 inputs and has 1 outputs, expected 2 "
            "and 1");
}

}  // namespace
}  // namespace ingot::ops
