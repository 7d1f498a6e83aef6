// Tests of differentiation: against finite differences on generated graphs, structure, messages.
#include "ingot/passes/autodiff.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ir/verifier.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Dimension;
using ir::Graph;
using ir::Type;
using ir::Value;
using ::testing::HasSubstr;

class AutodiffTest : public ::testing::Test {
 protected:
  std::vector<double> Run(const Graph& graph, const std::string& output,
                          const std::map<std::string, Tensor>& inputs) {
    return ops::Interpret(graph, inputs).at(output).ToDoubles();
  }

  ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
};

TEST_F(AutodiffTest, AgreesWithFiniteDifferencesOnRandomGraphs) {
  for (uint64_t seed = 0; seed < 25; ++seed) {
    const std::unique_ptr<Graph> graph =
        MakeRandomGraph(seed, registry_, {.nodes = 18, .smooth = true});
    Value* loss = graph->outputs()[0];
    const std::vector<Value*> inputs = graph->inputs();
    const std::vector<Value*> gradients = Gradients(*graph, registry_, loss, inputs);
    for (size_t i = 0; i < gradients.size(); ++i) {
      EXPECT_EQ(gradients[i]->type(), inputs[i]->type());
      graph->AddOutput(gradients[i], "d_" + inputs[i]->name());
    }
    ASSERT_EQ(ir::FindProblems(*graph), std::vector<std::string>()) << ir::Print(*graph);
    std::map<std::string, Tensor> values = RandomInputs(*graph, seed);
    const std::map<std::string, Tensor> results = ops::Interpret(*graph, values);
    for (const Value* input : inputs) {
      const std::vector<double> gradient = results.at("d_" + input->name()).ToDoubles();
      Tensor& x = values.at(input->name());
      for (size_t j = 0; j < gradient.size(); j += 1 + gradient.size() / 3) {
        const auto sum_at = [&](double value) {
          const double kept = x.data<double>()[j];
          x.data<double>()[j] = value;
          double sum = 0;
          for (const double l : Run(*graph, "last", values)) sum += l;
          x.data<double>()[j] = kept;
          return sum;
        };
        const double at = x.data<double>()[j];
        const double step = 1e-5;
        const double expected = (sum_at(at + step) - sum_at(at - step)) / (2 * step);
        EXPECT_NEAR(gradient[j], expected, 1e-6 * (1 + std::fabs(expected)))
            << "seed " << seed << ", " << input->name() << "[" << j << "]";
      }
    }
  }
}

TEST_F(AutodiffTest, AddsTheGradientsOfAllUsesInNodeOrder) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF64, Shape{1}));
  Value* a = builder_.Mul(x, builder_.ScalarLike(x, 0x1p53));
  Value* b = builder_.Mul(x, builder_.ScalarLike(x, 1));
  Value* c = builder_.Mul(x, builder_.ScalarLike(x, 1));
  Value* loss = builder_.Add(builder_.Add(c, b), a);
  const std::vector<Value*> gradients = Gradients(graph_, registry_, loss, std::vector<Value*>{x});
  graph_.AddOutput(gradients[0], "dx");
  // (2^53 + 1) + 1 loses both ones in f64; any order that adds the ones first would not.
  EXPECT_EQ(Run(graph_, "dx", {{"x", Tensor::Of<double>({1}, {1})}})[0], 0x1p53);
}

TEST_F(AutodiffTest, AValueUsedTwiceByOneNode) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF64, Shape{2}));
  Value* loss = builder_.Mul(x, x);
  const std::vector<Value*> gradients = Gradients(graph_, registry_, loss, std::vector<Value*>{x});
  graph_.AddOutput(gradients[0], "dx");
  EXPECT_THAT(Run(graph_, "dx", {{"x", Tensor::Of<double>({2}, {3, -4})}}),
              ::testing::ElementsAre(6, -8));
}

TEST_F(AutodiffTest, SeedScalesTheGradient) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF64, {"batch", 2}));
  Value* seed = graph_.AddInput("seed", Type::Tensor(DType::kF64, {"batch"}));
  Value* loss = builder_.Op("ReduceSum", {builder_.Mul(x, x), builder_.Ints({1})},
                            {{"keepdims", int64_t{0}}});
  const std::vector<Value*> gradients =
      Gradients(graph_, registry_, loss, std::vector<Value*>{x}, seed);
  graph_.AddOutput(gradients[0], "dx");
  EXPECT_THAT(Run(graph_, "dx",
                  {{"x", Tensor::Of<double>({2, 2}, {1, 2, 3, 4})},
                   {"seed", Tensor::Of<double>({2}, {1, 10})}}),
              ::testing::ElementsAre(2, 4, 60, 80));
}

TEST_F(AutodiffTest, WhatTheLossDoesNotDependOnHasZeroGradient) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, {"batch", 2}));
  Value* unused = graph_.AddInput("unused", Type::Tensor(DType::kF32, {"batch", 3}));
  Value* apart = builder_.Neg(unused);
  const std::vector<Value*> gradients =
      Gradients(graph_, registry_, builder_.Mul(x, x), std::vector<Value*>{unused, x, apart});
  EXPECT_EQ(gradients[0]->type(), unused->type());
  graph_.AddOutput(gradients[0], "d");
  EXPECT_THAT(Run(graph_, "d",
                  {{"x", Tensor(DType::kF32, Shape{2, 2})},
                   {"unused", Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6})}}),
              ::testing::ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST_F(AutodiffTest, TheLossItselfAndValuesOnTheWay) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF64, Shape{2}));
  Value* y = builder_.Mul(x, x);
  Value* loss = builder_.Neg(y);
  const std::vector<Value*> gradients =
      Gradients(graph_, registry_, loss, std::vector<Value*>{loss, y});
  graph_.AddOutput(gradients[0], "dloss");
  graph_.AddOutput(gradients[1], "dy");
  const std::map<std::string, Tensor> inputs = {{"x", Tensor::Of<double>({2}, {3, 5})}};
  EXPECT_THAT(Run(graph_, "dloss", inputs), ::testing::ElementsAre(1, 1));
  EXPECT_THAT(Run(graph_, "dy", inputs), ::testing::ElementsAre(-1, -1));
  EXPECT_EQ(x->uses().size(), 2u) << "the gradient of x was not asked for";
}

TEST_F(AutodiffTest, ComputesOnlyWhatIsWanted) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, {"batch", 4}));
  Value* w = graph_.AddInput("w", Type::Tensor(DType::kF32, Shape{4, 3}));
  builder_.set_layer("0 (dense 3)");
  Value* loss = builder_.Op("MatMul", {x, w});
  const size_t forward = graph_.node_count();
  Gradients(graph_, registry_, loss, std::vector<Value*>{w});
  int products = 0;
  std::vector<ir::Node*> nodes = graph_.nodes();
  for (size_t i = forward; i < nodes.size(); ++i) {
    EXPECT_EQ(nodes[i]->layer(), "0 (dense 3)");
    products += nodes[i]->op_type() == "Gemm" || nodes[i]->op_type() == "MatMul" ? 1 : 0;
  }
  EXPECT_EQ(products, 1) << ir::Print(graph_);
}

TEST_F(AutodiffTest, IntegersCarryNoGradient) {
  Value* table = graph_.AddInput("table", Type::Tensor(DType::kF64, Shape{3, 2}));
  Value* indices = builder_.Op("Cast", {graph_.AddInput("i", Type::Tensor(DType::kF64, Shape{2}))},
                               {{"to", int64_t{7}}});
  Value* loss = builder_.Op("Gather", {table, indices});
  const std::vector<Value*> wanted = {table, graph_.FindInput("i")};
  const std::vector<Value*> gradients = Gradients(graph_, registry_, loss, wanted);
  graph_.AddOutput(gradients[0], "dtable");
  graph_.AddOutput(gradients[1], "di");
  const std::map<std::string, Tensor> inputs = {{"table", Tensor(DType::kF64, Shape{3, 2})},
                                                {"i", Tensor::Of<double>({2}, {2, 2})}};
  EXPECT_THAT(Run(graph_, "dtable", inputs), ::testing::ElementsAre(0, 0, 0, 0, 2, 2));
  EXPECT_THAT(Run(graph_, "di", inputs), ::testing::ElementsAre(0, 0));
}

TEST_F(AutodiffTest, AnOpWithoutARuleIsNamed) {
  ir::OpDefinition op;
  op.name = "Opaque";
  op.domain = "my";
  op.inputs = {{"x"}};
  op.outputs = {{"y"}};
  op.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(0)); };
  op.reference = [](const ir::ReferenceCall&) {};
  registry_.Add(std::move(op));
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, Shape{2}));
  builder_.set_layer("3 (my layer)");
  Value* y = builder_.Op("my.Opaque", {x});
  y->producer()->set_name("opaque_1");
  Value* loss = builder_.Neg(y);
  try {
    Gradients(graph_, registry_, loss, std::vector<Value*>{x});
    FAIL() << "my.Opaque has no gradient rule";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.message(),
                HasSubstr("my.Opaque node 'opaque_1' (layer 3 (my layer)) is not differentiable: "
                          "op 'my.Opaque' has no gradient rule"));
  }
  // Where nothing wanted lies behind it, it is no obstacle.
  EXPECT_NO_THROW(Gradients(graph_, registry_, loss, std::vector<Value*>{y}));
}

TEST_F(AutodiffTest, RefusesWhatHasNoGradient) {
  Value* i = graph_.AddInput("i", Type::Tensor(DType::kI64, Shape{2}));
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, Shape{2}));
  const auto message = [&](Value* loss, Value* wanted, Value* seed) {
    try {
      Gradients(graph_, registry_, loss, std::vector<Value*>{wanted}, seed);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.message();
    }
    return std::string();
  };
  EXPECT_EQ(message(i, x, nullptr), "loss 'i' has type i64[2]; gradients need a float tensor");
  EXPECT_EQ(message(x, i, nullptr), "value 'i' has type i64[2]; gradients need a float tensor");
  EXPECT_EQ(message(x, x, i),
            "the seed of the gradient has type i64[2], but the loss 'x' has f32[2]");
}

TEST_F(AutodiffTest, ARuleThatGivesAnotherTypeIsADefect) {
  ir::OpDefinition op;
  op.name = "Wrong";
  op.inputs = {{"x"}};
  op.outputs = {{"y"}};
  op.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(0)); };
  op.reference = [](const ir::ReferenceCall&) {};
  op.gradient = [](ir::GradientContext& context) {
    context.SetInputGradient(0, context.builder().ScalarLike(context.input(0), 1));
  };
  registry_.Add(std::move(op));
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF32, Shape{2}));
  try {
    Gradients(graph_, registry_, builder_.Op("Wrong", {x}), std::vector<Value*>{x});
    FAIL() << "the rule is wrong";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_EQ(error.message(),
              "the gradient rule of Wrong node gives f32[] for input 0, which is f32[2]");
  }
}

TEST_F(AutodiffTest, SecondDerivatives) {
  Value* x = graph_.AddInput("x", Type::Tensor(DType::kF64, Shape{1}));
  Value* cube = builder_.Mul(builder_.Mul(x, x), x);
  Value* first = Gradients(graph_, registry_, cube, std::vector<Value*>{x})[0];
  Value* second = Gradients(graph_, registry_, first, std::vector<Value*>{x})[0];
  graph_.AddOutput(second, "d2");
  EXPECT_EQ(Run(graph_, "d2", {{"x", Tensor::Of<double>({1}, {5})}})[0], 30);
}

}  // namespace
}  // namespace ingot::passes
