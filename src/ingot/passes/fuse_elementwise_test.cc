// Tests of the fusion of elementwise ops.
#include "ingot/passes/fuse_elementwise.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;

class FuseElementwiseTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kF64, shape));
  }
  Value* Unary(const std::string& op, Value* x) { return builder_.Op(op, {x}); }
  // Fuses the graph with this output and returns the operators left, in order.
  std::string Result(Value* output) {
    graph_.AddOutput(output, "y" + std::to_string(graph_.outputs().size()));
    ExpectSameResults(
        graph_,
        [this](Graph& g) {
          FuseElementwise(g, registry_);
          EliminateDeadCode(g);
        },
        1e-14);
    std::string ops;
    for (const ir::Node* node : graph_.nodes()) {
      ops += (ops.empty() ? "" : " ") + node->op().FullName();
    }
    return ops;
  }
  const Graph& Body(size_t output = 0) {
    return *graph_.outputs()[output]->producer()->GetGraph("body");
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
  Value* x_ = Input("x", {2, 3});
  Value* row_ = Input("row", {3});
};

TEST_F(FuseElementwiseTest, AChainWithBroadcastInputsAndConstants) {
  builder_.set_layer("4 (scale)");
  Value* y = builder_.Mul(builder_.Add(x_, row_), builder_.ScalarLike(x_, 0.5));
  EXPECT_EQ(Result(Unary("Tanh", y)), "ingot.FusedElementwise");
  EXPECT_EQ(Body().inputs().size(), 2u);
  EXPECT_EQ(Body().node_count(), 4u) << "Add, Constant, Mul, Tanh";
  EXPECT_EQ(graph_.nodes()[0]->layer(), "4 (scale)");
  EXPECT_EQ(Body().nodes()[0]->layer(), "4 (scale)");
}

TEST_F(FuseElementwiseTest, ATreeWithSharedValuesInside) {
  Value* s = Unary("Sigmoid", x_);  // used twice, but only inside
  Value* y = builder_.Mul(s, builder_.Sub(builder_.ScalarLike(x_, 1), s));
  EXPECT_EQ(Result(builder_.Mul(y, x_)), "ingot.FusedElementwise");
  EXPECT_EQ(Body().inputs().size(), 1u) << "x once";
}

TEST_F(FuseElementwiseTest, WhatIsNeededOutsideStaysOutside) {
  Value* s = Unary("Sigmoid", x_);
  graph_.AddOutput(builder_.Op("ReduceSum", {s}), "sum");
  EXPECT_EQ(Result(Unary("Tanh", Unary("Neg", s))), "Sigmoid ReduceSum ingot.FusedElementwise");
  graph_.AddOutput(Unary("Neg", x_), "an_output");
  EXPECT_EQ(Result(Unary("Tanh", graph_.outputs().back())),
            "Sigmoid ReduceSum ingot.FusedElementwise Neg Tanh");
}

TEST_F(FuseElementwiseTest, DifferentOutputShapesStayApart) {
  Value* small = Unary("Exp", Unary("Neg", row_));
  Value* y = Unary("Tanh", builder_.Add(x_, small));
  EXPECT_EQ(Result(y), "ingot.FusedElementwise ingot.FusedElementwise");
  EXPECT_EQ(Body().inputs().size(), 2u);
}

TEST_F(FuseElementwiseTest, TypesMayDifferInside) {
  Value* above = builder_.Op("Greater", {x_, builder_.ScalarLike(x_, 0)});
  Value* y = builder_.Op("Where", {above, x_, builder_.Neg(x_)});
  EXPECT_EQ(Result(y), "ingot.FusedElementwise");
}

TEST_F(FuseElementwiseTest, SingleNodesStay) {
  EXPECT_EQ(Result(Unary("Tanh", builder_.Op("ReduceSum", {Unary("Neg", x_)}))),
            "Neg ReduceSum Tanh");
}

TEST_F(FuseElementwiseTest, TwiceIsLikeOnce) {
  const std::string once = Result(Unary("Tanh", Unary("Neg", x_)));
  FuseElementwise(graph_, registry_);
  EXPECT_EQ(CountNodes(graph_, "ingot.FusedElementwise"), 1);
  EXPECT_EQ(graph_.node_count(), 1u);
  EXPECT_EQ(Body().node_count(), 2u) << "no fusion inside a fusion";
}

TEST_F(FuseElementwiseTest, AbsentInputsStayAbsent) {
  Value* y = builder_.Op("Clip", {builder_.Neg(x_), nullptr, builder_.ScalarLike(x_, 0.25)});
  EXPECT_EQ(Result(y), "ingot.FusedElementwise");
}

TEST_F(FuseElementwiseTest, RandomOpsStayApart) {
  Value* key = graph_.AddInput("random_key", Type::Tensor(DType::kI64, Shape{3}));
  Value* dropped = builder_.Op("ingot.Dropout", {builder_.Neg(x_), key},
                               {{"ratio", 0.5}, {"stream", int64_t{1}}});
  EXPECT_EQ(Result(builder_.Neg(dropped)), "Neg ingot.Dropout Neg");
}

}  // namespace
}  // namespace ingot::passes
