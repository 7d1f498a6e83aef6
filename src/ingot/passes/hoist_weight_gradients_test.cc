// Tests of hoisting: on the step of a two-layer network, and where it must not happen.
#include "ingot/passes/hoist_weight_gradients.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/autodiff.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;

class HoistTest : public ::testing::Test {
 protected:
  HoistTest() : body_(std::make_shared<Graph>("shard")), inside_(*body_, registry_) {}

  // An input of the body and of the graph around it.
  Value* Input(const std::string& name, bool rows, int64_t columns, int64_t first = 0) {
    const ir::Dimension inner = rows ? ir::Dimension("batch") : ir::Dimension(first);
    const ir::Dimension outer = rows ? ir::Dimension(kBatch) : ir::Dimension(first);
    const ir::Role role = rows ? ir::Role::kData : ir::Role::kParameter;
    arguments_.push_back(graph_.AddInput(name, Type::Tensor(DType::kF64, {outer, columns}), role));
    return body_->AddInput(name, Type::Tensor(DType::kF64, {inner, columns}), role);
  }
  void Output(Value* value, const std::string& name, int64_t kind) {
    body_->AddOutput(value, name);
    kinds_.push_back(kind);
  }
  void Wrap(int64_t sharded) {
    ir::Builder builder(graph_, registry_);
    const std::vector<Value*> outputs = builder.Ops(
        "ingot.ShardMap", arguments_, kinds_.size(),
        {{"body", body_}, {"shards", int64_t{3}}, {"sharded", sharded}, {"output_kinds", kinds_}});
    for (size_t i = 0; i < outputs.size(); ++i) {
      graph_.AddOutput(outputs[i], body_->output_names()[i]);
    }
  }
  void Hoist() {
    // The order of the arithmetic is that of the product in the shard: the same bits.
    ExpectSameResults(
        graph_, [this](Graph& g) { HoistWeightGradients(g, registry_); }, 0);
  }
  const ir::Node* Map() const {
    for (const ir::Node* node : graph_.nodes()) {
      if (node->op_type() == "ShardMap") return node;
    }
    return nullptr;
  }
  Value* WeightGradient(Value* x, Value* d) {
    return inside_.Op("Gemm", {x, d}, {{"transA", int64_t{1}}});
  }

  static constexpr int64_t kBatch = 11;
  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"step"};
  std::shared_ptr<Graph> body_;
  ir::Builder inside_;
  std::vector<Value*> arguments_;
  std::vector<int64_t> kinds_;
};

TEST_F(HoistTest, AStepOfTwoLayers) {
  Value* x = Input("x", true, 6);
  Value* w1 = Input("w1", false, 5, 6);
  Value* w2 = Input("w2", false, 4, 5);
  inside_.set_layer("0 (dense 5)");
  Value* h = inside_.Op("Relu", {inside_.Op("MatMul", {x, w1})});
  inside_.set_layer("1 (dense 4)");
  Value* y = inside_.Op("MatMul", {h, w2});
  Value* loss = inside_.Mul(y, y);
  const std::vector<Value*> wanted = {w1, w2};
  const std::vector<Value*> gradients = Gradients(*body_, registry_, loss, wanted);
  Output(gradients[0], "dw1", 0);
  Output(y, "output", 1);
  Output(gradients[1], "dw2", 0);
  Output(h, "hidden", 1);
  Wrap(1);
  Hoist();
  EXPECT_EQ(CountNodes(graph_, "ingot.ShardMatMul"), 2) << ir::Print(graph_);
  // dw1 takes x itself and the gradient of the first layer; dw2 the rows "hidden", which are there
  // already, and the gradient of the second layer.
  ASSERT_EQ(Map()->outputs().size(), 4u) << ir::Print(graph_);
  const ir::Node* dw1 = graph_.outputs()[0]->producer();
  EXPECT_EQ(dw1->op_type(), "ShardMatMul");
  EXPECT_EQ(dw1->layer(), "0 (dense 5)");
  EXPECT_EQ(dw1->input(0), graph_.FindInput("x"));
  const ir::Node* dw2 = graph_.outputs()[2]->producer();
  EXPECT_EQ(dw2->layer(), "1 (dense 4)");
  EXPECT_EQ(dw2->input(0), graph_.outputs()[3]);
  EXPECT_EQ(graph_.output_names(), (std::vector<std::string>{"dw1", "output", "dw2", "hidden"}));
}

TEST_F(HoistTest, EveryFormOfTheProduct) {
  Value* x = Input("x", true, 6);
  Value* d = Input("d", true, 5);
  Value* e = inside_.Neg(d);
  Output(inside_.Op("MatMul", {inside_.Op("Transpose", {x}), e}), "by_transpose", 0);
  Output(WeightGradient(e, x), "by_gemm", 0);
  Output(inside_.Op("ingot.FusedMatMul", {e, e}, {{"trans_a", int64_t{1}}}), "by_fused", 0);
  Wrap(2);
  Hoist();
  EXPECT_EQ(CountNodes(graph_, "ingot.ShardMatMul"), 3);
  EXPECT_EQ(Map()->outputs().size(), 1u) << "e, once";
}

TEST_F(HoistTest, BytesAreHandedOverAsTheyAre) {
  arguments_.push_back(
      graph_.AddInput("x", Type::Tensor(DType::kU8, ir::Dimensions{kBatch, 2, 3})));
  Value* x = body_->AddInput("x", Type::Tensor(DType::kU8, ir::Dimensions{"batch", 2, 3}));
  arguments_.push_back(graph_.AddInput("d", Type::Tensor(DType::kF32, ir::Dimensions{kBatch, 5})));
  Value* d = body_->AddInput("d", Type::Tensor(DType::kF32, ir::Dimensions{"batch", 5}));
  Value* scale = inside_.Constant(Tensor::Scalar(0.25f));
  Value* scaled = inside_.Op("Flatten", {inside_.Op("DequantizeLinear", {x, scale})});
  Output(WeightGradient(scaled, d), "dw", 0);
  Output(WeightGradient(inside_.Neg(scaled), d), "of_a_function", 0);
  Wrap(2);
  Hoist();
  EXPECT_EQ(CountNodes(graph_, "ingot.ShardMatMul"), 2) << ir::Print(graph_);
  const ir::Node* dw = graph_.outputs()[0]->producer();
  EXPECT_EQ(dw->input(0)->type().dtype(), DType::kU8);
  EXPECT_EQ(dw->GetFloat("x_scale"), 0.25);
  EXPECT_EQ(graph_.outputs()[1]->producer()->input(0)->type().dtype(), DType::kF32);
}

TEST_F(HoistTest, ABodyWithNothingLeftGoes) {
  Value* x = Input("x", true, 6);
  Value* d = Input("d", true, 5);
  Output(WeightGradient(x, d), "dw", 0);
  Wrap(2);
  Hoist();
  EXPECT_EQ(Map(), nullptr) << ir::Print(graph_);
  EXPECT_EQ(graph_.node_count(), 1u);
}

TEST_F(HoistTest, OtherProductsStay) {
  Value* x = Input("x", true, 6);
  Value* d = Input("d", true, 5);
  Value* w = Input("w", false, 6, 6);
  Value* c = Input("c", false, 5, 6);
  Output(inside_.Op("Gemm", {x, d}, {{"transA", int64_t{1}}, {"alpha", 0.5}}), "scaled", 0);
  Output(inside_.Op("Gemm", {x, d, c}, {{"transA", int64_t{1}}}), "with_c", 0);
  Output(inside_.Op("MatMul", {x, w}), "rows", 1);
  Output(inside_.Op("Gemm", {w, w}, {{"transA", int64_t{1}}}), "of_weights", 0);
  Value* shared = WeightGradient(x, d);
  Output(shared, "shared", 0);
  Output(inside_.Op("ReduceSumSquare", {shared}, {{"keepdims", int64_t{0}}}), "norm", 0);
  Wrap(2);
  Hoist();
  EXPECT_EQ(CountNodes(graph_, "ingot.ShardMatMul"), 0);
  EXPECT_EQ(Map()->outputs().size(), 6u);
}

TEST_F(HoistTest, StaticBodiesAreLeftAlone) {
  arguments_.push_back(graph_.AddInput("x", Type::Tensor(DType::kF64, Shape{6, 2})));
  Value* x = body_->AddInput("x", Type::Tensor(DType::kF64, Shape{2, 2}));
  Output(WeightGradient(x, x), "dw", 0);
  Wrap(1);
  HoistWeightGradients(graph_, registry_);
  EXPECT_EQ(CountNodes(graph_, "ingot.ShardMatMul"), 0);
}

TEST_F(HoistTest, ASharedBodyIsNotChangedForOthers) {
  Value* x = Input("x", true, 3);
  Output(WeightGradient(inside_.Neg(x), x), "dw", 0);
  Wrap(1);
  const std::string before = ir::Print(*body_);
  Hoist();
  EXPECT_EQ(ir::Print(*body_), before);
}

}  // namespace
}  // namespace ingot::passes
