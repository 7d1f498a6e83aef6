// ShardMap, TreeReduce and ShardMatMul: cutting a batch, and putting it together again.
#include "ingot/ops/shard_map.h"

#include <functional>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/tensor/philox.h"

namespace ingot::ops {
namespace {

using ir::Dimension;
using ir::Type;
using ir::Value;

TEST(ShardBeginTest, CoversTheBatchInOrder) {
  for (const int64_t batch : {0, 1, 7, 128}) {
    for (const int64_t shards : {1, 2, 3, 8, 200}) {
      EXPECT_EQ(ShardBegin(0, shards, batch), 0);
      EXPECT_EQ(ShardBegin(shards, shards, batch), batch);
      for (int64_t s = 0; s < shards; ++s) {
        const int64_t rows = ShardBegin(s + 1, shards, batch) - ShardBegin(s, shards, batch);
        EXPECT_GE(rows, batch / shards);
        EXPECT_LE(rows, batch / shards + 1);
      }
    }
  }
}

Tensor Random(const Shape& shape, uint64_t seed, DType dtype = DType::kF64) {
  Tensor tensor(DType::kF64, shape);
  const RandomKey key(seed, "shard_map_test");
  std::span<double> data = tensor.data<double>();
  for (size_t i = 0; i < data.size(); ++i) data[i] = 2 * key.Uniform(i) - 1;
  return tensor.Cast(dtype);
}

class ShardMapTest : public testing::Test {
 protected:
  // Dropout of the rows, a product, and x^T (x w) as the partial result.
  std::shared_ptr<ir::Graph> Body() {
    auto body = std::make_shared<ir::Graph>("body");
    Value* x = body->AddInput("x", Type::Tensor(DType::kF64, {Dimension("batch"), Dimension(3)}));
    Value* w = body->AddInput("w", Type::Tensor(DType::kF64, {Dimension(3), Dimension(2)}));
    Value* key = body->AddInput("random_key", Type::Tensor(DType::kI64, {Dimension(3)}));
    ir::Builder builder(*body, registry_);
    Value* kept = builder.Op("ingot.Dropout", {x, key}, {{"ratio", 0.5}});
    Value* y = builder.Op("MatMul", {kept, w});
    body->AddOutput(builder.Op("Gemm", {x, y}, {{"transA", int64_t{1}}}), "partial");
    body->AddOutput(y, "rows");
    return body;
  }

  // The graph with ShardMap and TreeReduce behind it.
  void Build(ir::Graph& graph, int64_t shards) {
    Value* x = graph.AddInput("x", Type::Tensor(DType::kF64, {Dimension("batch"), Dimension(3)}));
    Value* w = graph.AddInput("w", Type::Tensor(DType::kF64, {Dimension(3), Dimension(2)}));
    Value* key = graph.AddInput("random_key", Type::Tensor(DType::kI64, {Dimension(3)}));
    ir::Builder builder(graph, registry_);
    const auto outputs = builder.Ops("ingot.ShardMap", {x, w, key}, 2,
                                     {{"body", Body()},
                                      {"shards", shards},
                                      {"sharded", int64_t{1}},
                                      {"output_kinds", std::vector<int64_t>{0, 1}}});
    graph.AddOutput(outputs[0], "partial");
    graph.AddOutput(outputs[1], "rows");
    graph.AddOutput(builder.Op("ingot.TreeReduce", {outputs[0]}), "sum");
  }

  std::map<std::string, Tensor> Inputs(int64_t batch) {
    return {{"x", Random({batch, 3}, 1)},
            {"w", Random({3, 2}, 2)},
            {"random_key", Tensor::Of<int64_t>({3}, {11, 4, 100})}};
  }

  const ir::OpRegistry registry_ = StandardOps();
  ir::Graph graph_{"step"};
};

TEST_F(ShardMapTest, InfersItsTypes) {
  Build(graph_, 4);
  EXPECT_EQ(graph_.outputs()[0]->type().ToString(), "f64[4, 3, 2]");
  EXPECT_EQ(graph_.outputs()[1]->type().ToString(), "f64[batch, 2]");
  EXPECT_EQ(graph_.outputs()[2]->type().ToString(), "f64[3, 2]");
}

// Rows, dropout included, do not depend on how the batch is cut; sums only in their rounding.
TEST_F(ShardMapTest, ComputesWhatTheBodyComputesOfTheWholeBatch) {
  const auto inputs = Inputs(7);
  const auto whole = Interpret(*Body(), inputs);
  for (const int64_t shards : {1, 3, 8}) {
    ir::Graph graph("step");
    Build(graph, shards);
    const auto outputs = Interpret(graph, inputs);
    EXPECT_EQ(outputs.at("rows").ToDoubles(), whole.at("rows").ToDoubles());
    EXPECT_EQ(Compare(outputs.at("sum"), whole.at("partial"), 1e-14), "");
    EXPECT_EQ(outputs.at("partial").shape(), (Shape{shards, 3, 2}));
  }
}

TEST_F(ShardMapTest, AdvancesTheRandomKeyAndNothingElse) {
  Build(graph_, 3);
  const auto inputs = Inputs(7);
  const ir::Node& node = *graph_.nodes()[0];
  const std::vector<Tensor> given = {inputs.at("x"), inputs.at("w"), inputs.at("random_key")};
  const std::vector<Tensor> second = ShardInputs(node, given, 1);  // rows 2 and 3
  EXPECT_EQ(second[0].shape(), (Shape{2, 3}));
  EXPECT_EQ(second[0].ToDoubles()[0], inputs.at("x").ToDoubles()[6]);
  EXPECT_EQ(second[1].ToDoubles(), inputs.at("w").ToDoubles());
  EXPECT_EQ(second[2].ToInts(), (std::vector<int64_t>{11, 4, 102}));
  EXPECT_EQ(inputs.at("random_key").ToInts(), (std::vector<int64_t>{11, 4, 100}));
}

TEST_F(ShardMapTest, ObserversAreCalledInsideForEachShard) {
  Build(graph_, 3);
  std::vector<std::string> seen;
  Interpret(
      graph_, Inputs(7),
      [&](const ir::Node& node, std::span<const Tensor>) {
        seen.push_back(node.op_type());
        return true;
      },
      [&](int64_t shard, int64_t first_row, int64_t rows) {
        seen.push_back(std::to_string(shard) + ":" + std::to_string(first_row) + "+" +
                       std::to_string(rows));
      });
  const std::vector<std::string> expected = {
      "0:0+2", "Dropout", "MatMul",  "Gemm",   "1:2+2", "Dropout",  "MatMul",
      "Gemm",  "2:4+3",   "Dropout", "MatMul", "Gemm",  "ShardMap", "TreeReduce"};
  EXPECT_EQ(seen, expected);
}

TEST_F(ShardMapTest, ObserverInsideEndsTheRun) {
  Build(graph_, 3);
  int calls = 0;
  const auto outputs = Interpret(
      graph_, Inputs(7), [&](const ir::Node&, std::span<const Tensor>) { return ++calls < 2; });
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(outputs.empty());
}

TEST_F(ShardMapTest, RefusesABodyThatDoesNotFit) {
  const auto message = [&](ir::Attributes attributes, int64_t columns) -> std::string {
    ir::Graph graph;
    Value* x = graph.AddInput("x", Type::Tensor(DType::kF64, {Dimension("batch"), Dimension(3)}));
    Value* w = graph.AddInput("w", Type::Tensor(DType::kF64, {Dimension(3), Dimension(columns)}));
    Value* key = graph.AddInput("random_key", Type::Tensor(DType::kI64, {Dimension(3)}));
    attributes["body"] = Body();
    try {
      ir::Builder(graph, registry_).Ops("ingot.ShardMap", {x, w, key}, 2, attributes);
    } catch (const Error& error) {
      return error.message();
    }
    return "no error";
  };
  const std::vector<int64_t> kinds = {0, 1};
  const ir::Attributes good = {
      {"shards", int64_t{2}}, {"sharded", int64_t{1}}, {"output_kinds", kinds}};
  EXPECT_EQ(message(good, 2), "no error");
  EXPECT_EQ(message(good, 5),
            "ingot.ShardMap node: input 'w' of the body is f64[3, 2], but it is given f64[3, 5]");
  ir::Attributes bad = good;
  bad["shards"] = int64_t{0};
  EXPECT_EQ(message(bad, 2), "ingot.ShardMap node: attribute 'shards' is 0, expected at least 1");
  bad = good;
  bad["output_kinds"] = std::vector<int64_t>{0};
  EXPECT_EQ(message(bad, 2),
            "ingot.ShardMap node: output_kinds has 1 entries, the body 2 outputs and the node 2; "
            "the numbers must be equal");
}

TEST(ShardedBatchTest, RefusesInputsOfDifferentRows) {
  const ir::OpRegistry registry = StandardOps();
  ir::Graph graph;
  const Type type = Type::Tensor(DType::kF32, {Dimension()});
  auto inner = std::make_shared<ir::Graph>("inner");
  inner->AddOutput(inner->AddInput("a", type));
  inner->AddInput("b", type);
  ir::Builder builder(graph, registry);
  Value* a = graph.AddInput("a", type);
  Value* b = graph.AddInput("b", type);
  graph.AddOutput(builder.Op("ingot.ShardMap", {a, b},
                             {{"body", inner},
                              {"shards", int64_t{2}},
                              {"sharded", int64_t{2}},
                              {"output_kinds", std::vector<int64_t>{1}}}));
  try {
    Interpret(graph, {{"a", Tensor(DType::kF32, {3})}, {"b", Tensor(DType::kF32, {4})}});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "ingot.ShardMap node: sharded inputs have 3 and 4 rows; all must have the same "
              "number");
  }
}

}  // namespace
}  // namespace ingot::ops
