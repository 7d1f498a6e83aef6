// Tests of dead code elimination, common subexpressions, constant folding and the Like ops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_constants.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/random_graph.h"
#include "ingot/passes/resolve_like.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;

class SimplifyTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, ir::Dimensions dims, DType dtype = DType::kF64) {
    return graph_.AddInput(name, Type::Tensor(dtype, std::move(dims)));
  }
  void Resolve() { ResolveLike(graph_, registry_); }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
};

using EliminateDeadCodeTest = SimplifyTest;

TEST_F(EliminateDeadCodeTest, RemovesChainsButKeepsInputsAndOutputs) {
  Value* x = Input("x", {2});
  Value* y = builder_.Neg(x);
  builder_.Neg(builder_.Neg(y));
  graph_.AddOutput(y, "y");
  EliminateDeadCode(graph_);
  EXPECT_EQ(graph_.node_count(), 1u);
  EXPECT_EQ(graph_.inputs().size(), 1u);
  graph_.RemoveOutput(0);
  EliminateDeadCode(graph_);
  EXPECT_EQ(graph_.node_count(), 0u);
  EXPECT_EQ(graph_.inputs().size(), 1u);
}

TEST_F(EliminateDeadCodeTest, LooksIntoSubgraphs) {
  auto body = std::make_shared<Graph>("body");
  ir::Builder inside(*body, registry_);
  Value* inner = body->AddInput("x", Type::Tensor(DType::kF64, {"batch", 2}));
  body->AddOutput(inside.Neg(inner), "rows");
  inside.Neg(inner);
  Value* rows = builder_.Op("ingot.ShardMap", {Input("x", {8, 2})},
                            {{"body", body},
                             {"shards", int64_t{2}},
                             {"sharded", int64_t{1}},
                             {"output_kinds", std::vector<int64_t>{1}}});
  graph_.AddOutput(rows, "y");
  ExpectSameResults(graph_, EliminateDeadCode);
  EXPECT_EQ(body->node_count(), 1u);
}

using MergeTest = SimplifyTest;

TEST_F(MergeTest, MergesEqualComputations) {
  Value* x = Input("x", {2, 3});
  Value* a = builder_.Op("ReduceSum", {x, builder_.Ints({1})}, {{"keepdims", int64_t{0}}});
  Value* b = builder_.Op("ReduceSum", {x, builder_.Ints({1})}, {{"keepdims", int64_t{0}}});
  Value* c = builder_.Op("ReduceSum", {x, builder_.Ints({1})}, {{"keepdims", int64_t{1}}});
  Value* d = builder_.Op("ReduceSum", {x, builder_.Ints({0})}, {{"keepdims", int64_t{0}}});
  graph_.AddOutput(builder_.Add(a, b), "sum");
  graph_.AddOutput(c, "kept");
  graph_.AddOutput(d, "columns");
  ExpectSameResults(graph_, MergeCommonSubexpressions);
  EXPECT_EQ(CountNodes(graph_, "ReduceSum"), 3);
  EXPECT_EQ(CountNodes(graph_, "Constant"), 2);
  const ir::Node* add = graph_.outputs()[0]->producer();
  EXPECT_EQ(add->input(0), add->input(1));
}

TEST_F(MergeTest, OutputsStayValuesOfTheirOwn) {
  Value* x = Input("x", {2});
  graph_.AddOutput(builder_.Neg(x), "a");
  graph_.AddOutput(builder_.Neg(x), "b");
  ExpectSameResults(graph_, MergeCommonSubexpressions);
  EXPECT_NE(graph_.outputs()[0], graph_.outputs()[1]);
}

TEST_F(MergeTest, RandomOpsStayApart) {
  Value* x = Input("x", {4, 8});
  Value* key = Input("random_key", {3}, DType::kI64);
  const ir::Attributes attributes = {{"ratio", 0.5}, {"stream", int64_t{7}}};
  Value* a = builder_.Op("ingot.Dropout", {x, key}, attributes);
  Value* b = builder_.Op("ingot.Dropout", {x, key}, attributes);
  graph_.AddOutput(builder_.Add(a, b), "y");
  ExpectSameResults(graph_, MergeCommonSubexpressions);
  EXPECT_EQ(CountNodes(graph_, "ingot.Dropout"), 2);
}

TEST_F(MergeTest, ConstantsAreComparedBitByBit) {
  Value* x = Input("x", {1});
  Value* plus = builder_.Constant(Tensor::Of<double>({1}, {0.0}));
  Value* minus = builder_.Constant(Tensor::Of<double>({1}, {-0.0}));
  Value* narrow = builder_.Op("Cast", {builder_.Constant(Tensor::Of<float>({1}, {0.0f}))},
                              {{"to", int64_t{11}}});
  graph_.AddOutput(builder_.Add(builder_.Add(x, plus), builder_.Add(minus, narrow)), "y");
  ExpectSameResults(graph_, MergeCommonSubexpressions);
  EXPECT_EQ(CountNodes(graph_, "Constant"), 3);
}

using FoldTest = SimplifyTest;

TEST_F(FoldTest, ComputesWhatDependsOnConstantsAlone) {
  Value* x = Input("x", {3});
  Value* c = builder_.Constant(Tensor::Of<double>({3}, {1, 2, 3}));
  Value* folded = builder_.Mul(builder_.Neg(c), builder_.ScalarLike(c, 2));
  graph_.AddOutput(builder_.Add(x, folded), "y");
  ExpectSameResults(graph_, [this](Graph& g) { FoldConstants(g, registry_); });
  EliminateDeadCode(graph_);
  ASSERT_EQ(graph_.node_count(), 2u) << ir::Print(graph_);
  EXPECT_THAT(graph_.nodes()[0]->GetTensor("value").ToDoubles(),
              ::testing::ElementsAre(-2, -4, -6));
}

TEST_F(FoldTest, DoesNotMakeLargeConstants) {
  Value* one = builder_.Constant(Tensor::Scalar<double>(1));
  graph_.AddOutput(builder_.Op("Expand", {one, builder_.Ints({1000, 10})}), "large");
  graph_.AddOutput(builder_.Op("Expand", {one, builder_.Ints({10})}), "small");
  ExpectSameResults(graph_, [this](Graph& g) { FoldConstants(g, registry_); });
  EXPECT_EQ(CountNodes(graph_, "Expand"), 1);
  ExpectSameResults(graph_, [this](Graph& g) { FoldConstants(g, registry_, {100000}); });
  EXPECT_EQ(CountNodes(graph_, "Expand"), 0);
}

TEST_F(FoldTest, FoldsNodesWithAbsentInputsAndSeveralOutputs) {
  Value* c = builder_.Constant(Tensor::Of<double>({4}, {-3, 0.5, 2, 7}));
  Value* clipped = builder_.Op("Clip", {c, nullptr, builder_.ScalarLike(c, 1)});
  graph_.AddOutput(clipped, "y");
  ExpectSameResults(graph_, [this](Graph& g) { FoldConstants(g, registry_); });
  EXPECT_EQ(CountNodes(graph_, "Clip"), 0);
}

using ResolveLikeTest = SimplifyTest;

TEST_F(ResolveLikeTest, SumBecomesReduceSum) {
  Value* x = Input("x", {4, 5, 3});
  for (const Shape& shape : {Shape{3}, Shape{5, 3}, Shape{1, 5, 3}, Shape{4, 1, 1}, Shape{},
                             Shape{5, 1}, Shape{1, 3}, Shape{1, 1, 1}}) {
    Value* like = graph_.AddInput("like" + shape.ToString(), Type::Tensor(DType::kF64, shape));
    graph_.AddOutput(builder_.SumToLike(x, like), shape.ToString());
  }
  ExpectSameResults(
      graph_, [this](Graph&) { Resolve(); }, 1e-14);
  EXPECT_EQ(CountNodes(graph_, "ingot.SumToLike"), 0);
  EXPECT_EQ(CountNodes(graph_, "ReduceSum"), 8);
  EXPECT_EQ(CountNodes(graph_, "Reshape"), 2) << "only [5, 1] and [1, 3] lose and keep axes";
}

TEST_F(ResolveLikeTest, SumOverASymbolIsResolvedToo) {
  Value* dy = Input("dy", {"batch", 64});
  Value* bias = Input("bias", {64});
  Value* column = Input("column", {"batch", 1});
  graph_.AddOutput(builder_.Op("ingot.SumToLike", {dy, bias}), "db");
  graph_.AddOutput(builder_.Op("ingot.SumToLike", {dy, column}), "dc");
  const std::map<std::string, Tensor> inputs = {{"dy", Tensor(DType::kF64, Shape{2, 64})},
                                                {"bias", Tensor(DType::kF64, Shape{64})},
                                                {"column", Tensor(DType::kF64, Shape{2, 1})}};
  ExpectSameResults(
      graph_, [this](Graph&) { Resolve(); }, 0, inputs);
  EXPECT_EQ(CountNodes(graph_, "ReduceSum"), 2);
  EXPECT_EQ(graph_.outputs()[1]->type().ToString(), "f64[batch, 1]");
}

TEST_F(ResolveLikeTest, WhatIsNotKnownStays) {
  Value* x = Input("x", {"n", 3});
  Value* open = Input("open", {"m", 3});
  Value* row = Input("row", {3});
  graph_.AddOutput(builder_.Op("ingot.SumToLike", {x, open}), "sum");
  graph_.AddOutput(builder_.Op("ingot.ExpandLike", {row, x}), "expanded");
  graph_.AddOutput(builder_.Op("ingot.ReshapeLike", {x, open}), "reshaped");
  Resolve();
  EXPECT_EQ(CountNodes(graph_, "ingot.SumToLike"), 1);
  EXPECT_EQ(CountNodes(graph_, "ingot.ExpandLike"), 1);
  EXPECT_EQ(CountNodes(graph_, "ingot.ReshapeLike"), 1);
  std::unique_ptr<Graph> fixed = ir::Specialize(graph_, {{"n", 2}, {"m", 2}});
  ExpectSameResults(*fixed, [this](Graph& g) { ResolveLike(g, registry_); });
  EXPECT_EQ(CountNodes(*fixed, "Expand"), 1);
  EXPECT_EQ(CountNodes(*fixed, "Identity"), 2) << "outputs do not become inputs";
}

TEST_F(ResolveLikeTest, ExpandAndReshapeTakeConstantShapes) {
  Value* x = Input("x", {6});
  Value* like = Input("like", {2, 3});
  Value* row = Input("row", {1, 3});
  graph_.AddOutput(builder_.Op("ingot.ReshapeLike", {x, like}), "reshaped");
  graph_.AddOutput(builder_.Op("ingot.ExpandLike", {row, like}), "expanded");
  graph_.AddOutput(builder_.Neg(builder_.Op("ingot.ReshapeLike", {like, like})), "same");
  ExpectSameResults(graph_, [this](Graph&) { Resolve(); });
  EXPECT_EQ(CountNodes(graph_, "Reshape"), 1);
  EXPECT_EQ(CountNodes(graph_, "Expand"), 1);
  EXPECT_EQ(graph_.outputs()[2]->producer()->input(0), like);
}

}  // namespace
}  // namespace ingot::passes
