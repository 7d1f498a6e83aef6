// Tests of the local rewrites, one for each rule and for where it must not apply.
#include "ingot/passes/canonicalize.h"

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

class CanonicalizeTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kF64, shape));
  }
  // Canonicalizes the graph with this output and returns its text's operators, in order.
  std::string Result(Value* output) {
    graph_.AddOutput(output, "y" + std::to_string(graph_.outputs().size()));
    ExpectSameResults(
        graph_,
        [this](Graph& g) {
          Canonicalize(g, registry_);
          EliminateDeadCode(g);
        },
        1e-14);
    std::string ops;
    for (const ir::Node* node : graph_.nodes()) {
      if (node->op_type() == "Constant") continue;
      ops += (ops.empty() ? "" : " ") + node->op().FullName();
    }
    return ops;
  }
  // Keeps an intermediate value from being an output itself.
  Value* Used(Value* value) { return builder_.Op("Tanh", {value}); }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
  Value* x_ = Input("x", {2, 3});
};

TEST_F(CanonicalizeTest, NeutralConstants) {
  Value* y = builder_.Add(x_, builder_.ScalarLike(x_, 0));
  y = builder_.Add(builder_.ScalarLike(x_, 0), y);
  y = builder_.Sub(y, builder_.Constant(Tensor(DType::kF64, Shape{3})));
  y = builder_.Mul(builder_.ScalarLike(x_, 1), y);
  y = builder_.Div(y, builder_.ScalarLike(x_, 1));
  EXPECT_EQ(Result(Used(y)), "Tanh");
}

TEST_F(CanonicalizeTest, NeutralConstantsThatBroadcastStay) {
  Value* ones = builder_.Constant(Tensor::Of<double>({2, 1, 1}, {1, 1}));
  EXPECT_EQ(Result(Used(builder_.Mul(x_, ones))), "Mul Tanh");
}

TEST_F(CanonicalizeTest, ZeroMinusXIsNotX) {
  EXPECT_EQ(Result(Used(builder_.Sub(builder_.ScalarLike(x_, 0), x_))), "Sub Tanh");
  EXPECT_EQ(Result(Used(builder_.Div(builder_.ScalarLike(x_, 1), x_))), "Sub Tanh Div Tanh");
}

TEST_F(CanonicalizeTest, DoubleNegationIdentityAndCast) {
  Value* y = builder_.Neg(builder_.Neg(builder_.Op("Identity", {x_})));
  y = builder_.Op("Cast", {y}, {{"to", int64_t{11}}});
  EXPECT_EQ(Result(Used(y)), "Tanh");
  Value* narrow = builder_.Op("Cast", {x_}, {{"to", int64_t{1}}});
  EXPECT_EQ(Result(narrow), "Tanh Cast");
}

TEST_F(CanonicalizeTest, OutputsDoNotBecomeInputs) {
  EXPECT_EQ(Result(builder_.Op("Identity", {x_})), "Identity");
  EXPECT_EQ(Result(builder_.Neg(builder_.Neg(builder_.Op("Tanh", {x_})))), "Identity Tanh");
}

TEST_F(CanonicalizeTest, Reshapes) {
  Value* y = builder_.Op("Reshape", {x_, builder_.Ints({6})});
  y = builder_.Op("Flatten", {builder_.Op("Reshape", {y, builder_.Ints({3, 2})})});
  y = builder_.Op("Reshape", {y, builder_.Ints({6, 1})});
  EXPECT_EQ(Result(Used(y)), "Reshape Tanh");
  Value* back = builder_.Op("Reshape", {x_, builder_.Ints({6})});
  back = builder_.Op("Reshape", {back, builder_.Ints({2, 3})});
  EXPECT_EQ(Result(Used(back)), "Reshape Tanh Tanh");
}

TEST_F(CanonicalizeTest, Transposes) {
  Value* cube = Input("cube", {2, 3, 4});
  Value* y = builder_.Op("Transpose", {cube}, {{"perm", std::vector<int64_t>{1, 2, 0}}});
  y = builder_.Op("Transpose", {y}, {{"perm", std::vector<int64_t>{1, 0, 2}}});
  EXPECT_EQ(Result(Used(y)), "Transpose Tanh");
  EXPECT_EQ(graph_.nodes()[0]->GetInts("perm"), (std::vector<int64_t>{2, 1, 0}));
  Value* back = builder_.Op("Transpose", {builder_.Op("Transpose", {x_})});
  EXPECT_EQ(Result(Used(back)), "Transpose Tanh Tanh");
}

TEST_F(CanonicalizeTest, TransposesMoveIntoProducts) {
  Value* w = Input("w", {4, 3});
  Value* y = builder_.Op("MatMul", {x_, builder_.Op("Transpose", {w})});
  EXPECT_EQ(Result(Used(y)), "Gemm Tanh");
  const ir::Node* gemm = graph_.nodes()[0];
  EXPECT_EQ(gemm->GetInt("transA"), 0);
  EXPECT_EQ(gemm->GetInt("transB"), 1);
  EXPECT_EQ(gemm->input(1), w);
}

TEST_F(CanonicalizeTest, TransposesFlipThoseOfGemm) {
  Value* w = Input("w", {3, 4});
  Value* xt = builder_.Op("Transpose", {x_});
  Value* wt = builder_.Op("Transpose", {w});
  Value* y = builder_.Op("Gemm", {xt, wt},
                         {{"transA", int64_t{1}}, {"transB", int64_t{1}}, {"alpha", 0.5}});
  EXPECT_EQ(Result(y), "Gemm");
  const ir::Node* gemm = graph_.outputs()[0]->producer();
  EXPECT_EQ(gemm->GetInt("transA"), 0);
  EXPECT_EQ(gemm->GetInt("transB"), 0);
  EXPECT_EQ(gemm->GetFloat("alpha"), 0.5);
}

TEST_F(CanonicalizeTest, BatchedProductsStay) {
  Value* cube = Input("cube", {2, 3, 4});
  Value* swapped = builder_.Op("Transpose", {cube}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  EXPECT_EQ(Result(builder_.Op("MatMul", {cube, swapped})), "Transpose MatMul");
}

TEST_F(CanonicalizeTest, ExpandsInFrontOfBroadcastingOpsAreSkipped) {
  Value* row = Input("row", {3});
  Value* wide = builder_.Op("Expand", {row, builder_.Ints({2, 3})});
  EXPECT_EQ(Result(builder_.Mul(x_, wide)), "Mul");
  Value* scalar = builder_.ExpandLike(builder_.ScalarLike(x_, 2), x_);
  EXPECT_EQ(Result(builder_.Mul(x_, scalar)), "Mul Mul");
}

TEST_F(CanonicalizeTest, ExpandsThatDecideTheShapeStay) {
  Value* row = Input("row", {3});
  Value* wide = builder_.Op("Expand", {row, builder_.Ints({2, 3})});
  EXPECT_EQ(Result(Used(wide)), "Expand Tanh");
  EXPECT_EQ(Result(builder_.Add(wide, row)), "Expand Tanh Add");
}

TEST_F(CanonicalizeTest, WorksInBodies) {
  auto body = std::make_shared<Graph>("body");
  ir::Builder inside(*body, registry_);
  Value* inner = body->AddInput("x", Type::Tensor(DType::kF64, {"batch", 3}));
  body->AddOutput(inside.Op("Tanh", {inside.Neg(inside.Neg(inner))}), "rows");
  Value* rows = builder_.Op("ingot.ShardMap", {x_},
                            {{"body", body},
                             {"shards", int64_t{2}},
                             {"sharded", int64_t{1}},
                             {"output_kinds", std::vector<int64_t>{1}}});
  EXPECT_EQ(Result(rows), "ingot.ShardMap");
  EXPECT_EQ(body->node_count(), 1u);
}

}  // namespace
}  // namespace ingot::passes
