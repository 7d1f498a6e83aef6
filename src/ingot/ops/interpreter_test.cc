// The interpreter: shapes inferred on the way, inputs checked, observers called.
#include "ingot/ops/interpreter.h"

#include <functional>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::ops {
namespace {

using ir::Dimension;
using ir::Type;
using ir::Value;

class InterpreterTest : public testing::Test {
 protected:
  Value* Input(const std::string& name, ir::Dimensions dims, DType dtype = DType::kF32) {
    return graph_.AddInput(name, Type::Tensor(dtype, std::move(dims)));
  }
  std::string FailureOf(const std::map<std::string, Tensor>& inputs) {
    try {
      Interpret(graph_, inputs);
    } catch (const Error& error) {
      code_ = error.code();
      return error.what();
    }
    return "no error";
  }

  const ir::OpRegistry registry_ = StandardOps();
  ir::Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
  ErrorCode code_ = ErrorCode::kInternal;
};

TEST_F(InterpreterTest, EvaluatesAStaticGraph) {
  Value* x = Input("x", {2, 2});
  Value* w = Input("w", {2, 1});
  graph_.AddOutput(builder_.Op("Relu", {builder_.Op("MatMul", {x, w})}), "y");
  graph_.AddOutput(x, "same");
  const auto outputs = Interpret(graph_, {{"x", Tensor::Of<float>({2, 2}, {1, 2, 3, 4})},
                                          {"w", Tensor::Of<float>({2, 1}, {1, -1.25})}});
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs.at("y").ToDoubles(), (std::vector<double>{0, 0}));
  EXPECT_EQ(outputs.at("same").ToDoubles(), (std::vector<double>{1, 2, 3, 4}));
}

TEST_F(InterpreterTest, BindsSymbolsFromTheInputs) {
  Value* x = Input("x", {Dimension("batch"), 2});
  Value* y = Input("y", {Dimension("batch"), 2});
  graph_.AddOutput(builder_.Add(x, y), "sum");
  for (const int64_t batch : {0, 1, 3}) {
    const auto outputs = Interpret(
        graph_, {{"x", Tensor(DType::kF32, {batch, 2})}, {"y", Tensor(DType::kF32, {batch, 2})}});
    EXPECT_EQ(outputs.at("sum").shape(), (Shape{batch, 2}));
  }
  // The graph given is not changed.
  EXPECT_EQ(graph_.outputs()[0]->type().ToString(), "f32[batch, 2]");
}

TEST_F(InterpreterTest, InfersShapesThatDependOnValues) {
  Value* x = graph_.AddInput("x", Type::TensorOfUnknownRank(DType::kF32));
  Value* shape = Input("shape", {Dimension()}, DType::kI64);
  graph_.AddOutput(builder_.Op("Relu", {builder_.Op("Reshape", {x, shape})}), "y");
  const auto outputs = Interpret(graph_, {{"x", Tensor::Of<float>({4}, {1, -2, 3, 4})},
                                          {"shape", Tensor::Of<int64_t>({2}, {2, -1})}});
  EXPECT_EQ(outputs.at("y").shape(), (Shape{2, 2}));
  EXPECT_EQ(outputs.at("y").ToDoubles(), (std::vector<double>{1, 0, 3, 4}));
}

TEST_F(InterpreterTest, NamesAnInputOfAnotherShape) {
  graph_.AddOutput(Input("x", {Dimension("batch"), 4}));
  EXPECT_EQ(FailureOf({{"x", Tensor(DType::kF32, {3, 5})}}),
            "input 'x' of graph 'net' is f32[3, 5], expected f32[batch, 4] (batch = 3)");
  EXPECT_EQ(code_, ErrorCode::kInvalidInput);
  EXPECT_EQ(FailureOf({{"x", Tensor(DType::kF32, {3})}}),
            "input 'x' of graph 'net' is f32[3], expected f32[batch, 4]");
  EXPECT_EQ(FailureOf({{"x", Tensor(DType::kF64, {3, 4})}}),
            "input 'x' of graph 'net' is f64[3, 4], expected f32[batch, 4]");
}

TEST_F(InterpreterTest, NamesTheInputWhoseSymbolDiffers) {
  Value* x = Input("x", {Dimension("batch")});
  Value* y = Input("y", {Dimension("batch")});
  graph_.AddOutput(builder_.Add(x, y));
  EXPECT_EQ(FailureOf({{"x", Tensor(DType::kF32, {3})}, {"y", Tensor(DType::kF32, {2})}}),
            "input 'y' of graph 'net' is f32[2], expected f32[batch] (batch = 3)");
}

TEST_F(InterpreterTest, NamesMissingAndUnknownInputs) {
  graph_.AddOutput(Input("images", {2}));
  EXPECT_EQ(FailureOf({}), "input 'images' of graph 'net' is not given, expected f32[2]");
  const std::string unknown =
      FailureOf({{"images", Tensor(DType::kF32, {2})}, {"image", Tensor(DType::kF32, {2})}});
  EXPECT_NE(unknown.find("graph 'net' has no input 'image'"), std::string::npos) << unknown;
  EXPECT_NE(unknown.find("did you mean 'images'?"), std::string::npos) << unknown;
}

TEST_F(InterpreterTest, ErrorsInsideNameNodeAndLayer) {
  builder_.set_layer("1 (dense 10)");
  Value* x = Input("x", {Dimension(), 3});
  Value* w = Input("w", {Dimension(), 2});
  graph_.AddOutput(builder_.Op("MatMul", {x, w}));
  EXPECT_EQ(FailureOf({{"x", Tensor(DType::kF32, {5, 3})}, {"w", Tensor(DType::kF32, {4, 2})}}),
            "MatMul node (layer 1 (dense 10)): cannot multiply f32[5, 3] by f32[4, 2]: 3 columns "
            "against 4 rows");
}

TEST_F(InterpreterTest, ObserverSeesEveryNodeOfTheGraphGiven) {
  Value* x = Input("x", {2});
  Value* y = builder_.Op("Neg", {x});
  Value* z = builder_.Op("Exp", {y});
  graph_.AddOutput(z, "z");
  std::vector<const ir::Node*> seen;
  Interpret(graph_, {{"x", Tensor(DType::kF32, {2})}},
            [&](const ir::Node& node, std::span<const Tensor> outputs) {
              seen.push_back(&node);
              EXPECT_EQ(outputs.size(), 1u);
              EXPECT_EQ(outputs[0].shape(), Shape{2});
              return true;
            });
  EXPECT_EQ(seen, (std::vector<const ir::Node*>{y->producer(), z->producer()}));
}

TEST_F(InterpreterTest, ObserverEndsTheRun) {
  Value* x = Input("x", {1});
  Value* y = builder_.Op("Log", {x});
  graph_.AddOutput(y, "y");
  graph_.AddOutput(builder_.Op("Exp", {y}), "z");
  const auto outputs = Interpret(graph_, {{"x", Tensor::Of<float>({1}, {-1})}},
                                 [](const ir::Node&, std::span<const Tensor>) { return false; });
  EXPECT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs.count("y"), 1u);
}

TEST_F(InterpreterTest, EvaluatesOneNode) {
  Value* x = Input("x", {Dimension("batch"), 2});
  Value* y = builder_.Op("Reshape", {x, builder_.Ints({-1})});
  const Tensor given = Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const auto outputs = InterpretNode(*y->producer(), std::vector<Tensor>{given, Tensor()});
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs[0].shape(), Shape{6});
}

TEST_F(InterpreterTest, OpWithoutKernelIsAnErrorThatNamesIt) {
  ir::OpRegistry registry;
  ir::OpDefinition op;
  op.name = "Loop";
  op.infer = [](ir::InferContext& context) {
    context.SetOutput(0, Type::Tensor(DType::kF32, {Dimension(1)}));
  };
  op.outputs = {{"y"}};
  op.attributes = {{"body", ir::AttributeKind::kGraph}};
  registry.Add(std::move(op));
  ir::Node* node = graph_.AddNode(registry.Get("Loop"), {}, {}, 1);
  ir::InferNode(*node);
  graph_.AddOutput(node->output());
  EXPECT_EQ(FailureOf({}), "Loop node: the op has no reference kernel");
  EXPECT_EQ(code_, ErrorCode::kUnsupported);
}

TEST(StandardOpsTest, EachCallMakesARegistryOfItsOwn) {
  const ir::OpRegistry first = StandardOps();
  const ir::OpRegistry second = StandardOps();
  EXPECT_NE(first.Find("Gemm"), nullptr);
  EXPECT_NE(first.Find("Gemm"), second.Find("Gemm"));
  EXPECT_EQ(first.All().size(), second.All().size());
}

}  // namespace
}  // namespace ingot::ops
