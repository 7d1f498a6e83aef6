// Tests of the fusion of products with bias and activation.
#include "ingot/passes/fuse_matmul.h"

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

class FuseMatMulTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kF64, shape));
  }
  // Fuses the graph with this output and returns the operators left, in order.
  std::string Result(Value* output) {
    graph_.AddOutput(output, "y" + std::to_string(graph_.outputs().size()));
    ExpectSameResults(
        graph_, [this](Graph& g) { FuseMatMul(g, registry_); }, 1e-14);
    std::string ops;
    for (const ir::Node* node : graph_.nodes()) {
      ops += (ops.empty() ? "" : " ") + node->op().FullName();
    }
    return ops;
  }
  const ir::Node& Fused(size_t output = 0) { return *graph_.outputs()[output]->producer(); }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
  Value* x_ = Input("x", {5, 4});
  Value* w_ = Input("w", {4, 3});
  Value* bias_ = Input("bias", {3});
};

TEST_F(FuseMatMulTest, ProductBiasAndActivation) {
  builder_.set_layer("0 (dense 3)");
  Value* y = builder_.Op("Relu", {builder_.Add(builder_.Op("MatMul", {x_, w_}), bias_)});
  EXPECT_EQ(Result(y), "ingot.FusedMatMul");
  EXPECT_EQ(Fused().GetString("epilogue"), "relu");
  EXPECT_EQ(Fused().input(2), bias_);
  EXPECT_EQ(Fused().layer(), "0 (dense 3)");
}

TEST_F(FuseMatMulTest, EveryActivation) {
  const std::vector<std::pair<std::string, std::string>> activations = {
      {"Relu", "relu"}, {"Sigmoid", "sigmoid"},      {"Tanh", "tanh"},
      {"Elu", "elu"},   {"LeakyRelu", "leaky_relu"}, {"Gelu", "gelu"}};
  size_t at = 0;
  for (const auto& [op, epilogue] : activations) {
    Value* product = builder_.Op("Gemm", {x_, w_, bias_});
    graph_.AddOutput(builder_.Op(op, {product}), op);
    ExpectSameResults(
        graph_, [this](Graph& g) { FuseMatMul(g, registry_); }, 1e-14);
    EXPECT_EQ(Fused(at).op().FullName(), "ingot.FusedMatMul");
    EXPECT_EQ(Fused(at).GetString("epilogue"), epilogue);
    ++at;
  }
  EXPECT_EQ(graph_.node_count(), at);
}

TEST_F(FuseMatMulTest, ParametersOfActivations) {
  Value* elu = builder_.Op("Elu", {builder_.Op("MatMul", {x_, w_})}, {{"alpha", 0.3}});
  EXPECT_EQ(Result(elu), "ingot.FusedMatMul");
  EXPECT_EQ(Fused().GetFloat("alpha"), 0.3);
  Value* gelu = builder_.Op("Gelu", {builder_.Op("MatMul", {x_, w_})},
                            {{"approximate", std::string("tanh")}});
  EXPECT_EQ(Result(gelu), "ingot.FusedMatMul ingot.FusedMatMul");
  EXPECT_EQ(Fused(1).GetString("epilogue"), "gelu_tanh");
}

TEST_F(FuseMatMulTest, BiasOnTheLeftAndTransposes) {
  Value* wt = Input("wt", {3, 4});
  Value* y = builder_.Add(bias_, builder_.Op("Gemm", {x_, wt}, {{"transB", int64_t{1}}}));
  EXPECT_EQ(Result(y), "ingot.FusedMatMul");
  EXPECT_EQ(Fused().GetInt("trans_b"), 1);
  EXPECT_EQ(Fused().GetInt("trans_a"), 0);
  EXPECT_EQ(Fused().input(2), bias_);
}

TEST_F(FuseMatMulTest, ReluGradientOfAProduct) {
  Value* dy = Input("dy", {5, 3});
  Value* hidden = Input("hidden", {5, 4});
  Value* dx = builder_.Op("Gemm", {dy, w_}, {{"transB", int64_t{1}}});
  EXPECT_EQ(Result(builder_.Op("ingot.ReluGradient", {dx, hidden})), "ingot.FusedMatMul");
  EXPECT_EQ(Fused().GetString("epilogue"), "relu_gradient");
  EXPECT_EQ(Fused().input(2), nullptr);
  EXPECT_EQ(Fused().input(3), hidden);
}

TEST_F(FuseMatMulTest, WhatOthersNeedIsNotFusedAway) {
  Value* product = builder_.Op("MatMul", {x_, w_});
  Value* sum = builder_.Add(product, bias_);
  Value* y = builder_.Mul(builder_.Op("Relu", {sum}), sum);
  EXPECT_EQ(Result(y), "ingot.FusedMatMul Relu Mul");
  graph_.AddOutput(builder_.Op("MatMul", {x_, w_}), "product");
  EXPECT_EQ(Result(builder_.Op("Relu", {graph_.outputs()[1]})),
            "ingot.FusedMatMul Relu Mul ingot.FusedMatMul Relu");
}

TEST_F(FuseMatMulTest, OnlyBiasesOfTheRightShape) {
  Value* product = builder_.Op("MatMul", {x_, w_});
  EXPECT_EQ(Result(builder_.Add(product, Input("column", {5, 1}))), "ingot.FusedMatMul Add");
  Value* other = builder_.Op("MatMul", {x_, w_});
  EXPECT_EQ(Result(builder_.Add(other, Input("c", {2, 5, 3}))),
            "ingot.FusedMatMul Add ingot.FusedMatMul Add");
}

TEST_F(FuseMatMulTest, GemmThatFusedMatMulCannotSayStays) {
  Value* scaled = builder_.Op("Gemm", {x_, w_}, {{"alpha", 0.5}});
  EXPECT_EQ(Result(scaled), "Gemm");
  Value* c = Input("c", {5, 3});
  EXPECT_EQ(Result(builder_.Op("Gemm", {x_, w_, c})), "Gemm Gemm");
  EXPECT_EQ(Result(builder_.Op("Gemm", {x_, w_, bias_}, {{"beta", 2.0}})), "Gemm Gemm Gemm");
  EXPECT_EQ(Result(builder_.Op("Gemm", {x_, w_}, {{"beta", 2.0}})),
            "Gemm Gemm Gemm ingot.FusedMatMul");
}

TEST_F(FuseMatMulTest, BatchesStayAsTheyAre) {
  Value* cube = Input("cube", {2, 5, 4});
  EXPECT_EQ(Result(builder_.Op("Relu", {builder_.Op("MatMul", {cube, w_})})), "MatMul Relu");
}

TEST_F(FuseMatMulTest, ABiasThatIsMadeLaterIsWaitedFor) {
  Value* product = builder_.Op("MatMul", {x_, w_});
  Value* later = builder_.Neg(bias_);
  EXPECT_EQ(Result(builder_.Op("Tanh", {builder_.Add(product, later)})), "Neg ingot.FusedMatMul");
}

TEST_F(FuseMatMulTest, WorksWithSymbolicRows) {
  Value* rows = graph_.AddInput("rows", Type::Tensor(DType::kF64, {"batch", 4}));
  Value* y = builder_.Op("Relu", {builder_.Add(builder_.Op("MatMul", {rows, w_}), bias_)});
  graph_.AddOutput(y, "y");
  FuseMatMul(graph_, registry_);
  EXPECT_EQ(graph_.node_count(), 1u);
  EXPECT_EQ(graph_.outputs()[0]->type().ToString(), "f64[batch, 3]");
}

}  // namespace
}  // namespace ingot::passes
