// Tests of cutting: what is carried from one part to the next.
#include "ingot/passes/cut_at_shard_sums.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Type;
using ir::Value;

TEST(CutAtShardSums, ValuesWithoutInputsAreCarriedAcross) {
  const ir::OpRegistry registry = ops::StandardOps();
  auto body = std::make_shared<ir::Graph>("shard");
  ir::Builder inside(*body, registry);
  Value* x = body->AddInput("x", Type::Tensor(DType::kF32, ir::Dimensions{"batch", 2}));
  Value* noise = inside.Op("RandomNormal", {}, {{"shape", std::vector<int64_t>{2}}, {"seed", 7.0}});
  Value* flat = inside.Op("Reshape", {noise, inside.Ints({1, 2})});
  Value* sum = inside.Op("ingot.ShardSum", {inside.Op("ReduceSum", {inside.Mul(x, noise)})});
  body->AddOutput(inside.Add(inside.Mul(x, sum), flat), "y");

  ir::Graph graph("step");
  ir::Builder builder(graph, registry);
  Value* outer = graph.AddInput("x", Type::Tensor(DType::kF32, Shape{6, 2}));
  graph.AddOutput(builder.Op("ingot.ShardMap", {outer},
                             {{"body", body},
                              {"shards", int64_t{1}},
                              {"sharded", int64_t{1}},
                              {"output_kinds", std::vector<int64_t>{1}}}),
                  "y");
  ExpectSameResults(graph, [&](ir::Graph& g) { CutAtShardSums(g, registry); });
  EXPECT_EQ(CountNodes(graph, "ingot.ShardMap"), 2) << ir::Print(graph);
  EXPECT_EQ(CountNodes(graph, "ingot.TreeReduce"), 1) << ir::Print(graph);
}

}  // namespace
}  // namespace ingot::passes
