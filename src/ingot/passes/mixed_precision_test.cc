// What is rounded, once and where; what stays as it is.
#include "ingot/passes/mixed_precision.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::passes {
namespace {

const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

size_t Count(const ir::Graph& graph, const std::string& op) {
  const std::vector<ir::Node*> nodes = graph.nodes();
  return static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [&](const ir::Node* node) {
    return node->op().FullName() == op;
  }));
}

// y = softmax(relu(x W) V), d = relu(x W)^T y: `h` is a factor twice.
struct Example {
  ir::Graph graph;
  ir::Value* x = graph.AddInput("x", ir::Type::Tensor(DType::kF32, Shape{4, 3}));
  ir::Value* w =
      graph.AddInput("w", ir::Type::Tensor(DType::kF32, Shape{3, 5}), ir::Role::kParameter);
  ir::Value* v =
      graph.AddInput("v", ir::Type::Tensor(DType::kF32, Shape{5, 2}), ir::Role::kParameter);

  Example() {
    ir::Builder builder(graph, Ops());
    builder.set_layer("0 (dense 5)");
    ir::Value* h = builder.Op("Relu", {builder.Op("MatMul", {x, w})});
    builder.set_layer("1 (dense 2)");
    ir::Value* y = builder.Op("Softmax", {builder.Op("MatMul", {h, v})});
    ir::Value* d = builder.Op("MatMul", {builder.Op("Transpose", {h}), y});
    graph.AddOutput(y, "y");
    graph.AddOutput(d, "d");
  }
};

TEST(MixedPrecisionTest, RoundsFactorsOnceAndSumsInF32) {
  Example example;
  MixedPrecisionOptions options;
  options.has_copy = [](const std::string& name) { return name == "w"; };
  const std::vector<std::string> copies = MixPrecision(example.graph, Ops(), options);
  EXPECT_EQ(copies, std::vector<std::string>{"w"});
  ASSERT_NE(example.graph.FindInput("w.bf16"), nullptr);
  EXPECT_EQ(example.graph.FindInput("w.bf16")->role(), ir::Role::kParameter);
  EXPECT_FALSE(example.w->is_used());
  // x, h (before it is transposed), v and y.
  EXPECT_EQ(Count(example.graph, "ingot.RoundTo"), 4u);
  for (const ir::Node* node : example.graph.nodes()) {
    if (node->op_type() != "MatMul") continue;
    EXPECT_EQ(node->output()->type().dtype(), DType::kF32);
    for (const ir::Value* factor : node->inputs()) {
      const ir::Node* producer = factor->producer();
      if (producer != nullptr && producer->op_type() == "Transpose") {
        producer = producer->input(0)->producer();
      }
      if (producer == nullptr) {
        EXPECT_EQ(factor->name(), "w.bf16");
      } else {
        EXPECT_EQ(producer->op_type(), "RoundTo");
      }
    }
  }
  // Softmax takes what the product gave.
  EXPECT_EQ(example.graph.outputs()[0]->producer()->input(0)->producer()->op_type(), "MatMul");
}

TEST(MixedPrecisionTest, LayersMayStayF32) {
  Example example;
  MixedPrecisionOptions options;
  options.keeps_f32 = [](const std::string& layer) { return layer.starts_with("1"); };
  EXPECT_TRUE(MixPrecision(example.graph, Ops(), options).empty());
  EXPECT_EQ(Count(example.graph, "ingot.RoundTo"), 2u);  // x and w
}

TEST(MixedPrecisionTest, LeavesOtherTypesAlone) {
  ir::Graph graph;
  ir::Value* x = graph.AddInput("x", ir::Type::Tensor(DType::kF64, Shape{4, 3}));
  ir::Value* w = graph.AddInput("w", ir::Type::Tensor(DType::kF64, Shape{3, 5}));
  ir::Builder builder(graph, Ops());
  graph.AddOutput(builder.Op("MatMul", {x, w}), "y");
  MixPrecision(graph, Ops(), {});
  EXPECT_EQ(graph.node_count(), 1u);
}

}  // namespace
}  // namespace ingot::passes
