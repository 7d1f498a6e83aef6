// fuse_batch_norm_gradient: what it joins, what it leaves, and that results stay.
#include "ingot/passes/fuse_batch_norm_gradient.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

class FuseBatchNormGradientTest : public ::testing::Test {
 protected:
  // How many gradients are joined. The statistics are computed, so that variances are no less than
  // 0. `past_first`: what comes past the statistics stands first in the sum; `shown`: it is an
  // output, too.
  int Joined(bool past_first, bool shown) {
    ir::Graph graph("test");
    ir::Builder builder(graph, registry_);
    const auto input = [&](const char* name, const Shape& shape) {
      return graph.AddInput(name, ir::Type::Tensor(DType::kF64, shape));
    };
    ir::Value* x = input("x", {2, 3, 4});
    ir::Value* dy = input("dy", {2, 3, 4});
    ir::Value* ds = input("ds", {7});
    ir::Value* scale = input("scale", {3});
    ir::Value* sums = builder.Op("ingot.BatchNormSums", {x});
    ir::Value* past = builder.Op("ingot.BatchNormApplyInputGradient", {dy, sums, scale});
    ir::Value* of_sums = builder.Op("ingot.BatchNormSumsGradient", {x, ds});
    ir::Value* both = past_first ? builder.Add(past, of_sums) : builder.Add(of_sums, past);
    graph.AddOutput(both, "dx");
    if (shown) graph.AddOutput(past, "past");
    ExpectSameResults(
        graph, [this](ir::Graph& each) { FuseBatchNormGradient(each, registry_); }, 1e-12);
    EXPECT_EQ(CountNodes(graph, "ingot.BatchNormSumsGradient"),
              1 - CountNodes(graph, "ingot.BatchNormInputGradient"));
    return CountNodes(graph, "ingot.BatchNormInputGradient");
  }
  const ir::OpRegistry registry_ = ops::StandardOps();
};

TEST_F(FuseBatchNormGradientTest, JoinsThemInEitherOrder) {
  EXPECT_EQ(Joined(true, false), 1);
  EXPECT_EQ(Joined(false, false), 1);
}

TEST_F(FuseBatchNormGradientTest, LeavesWhatOthersWant) {
  EXPECT_EQ(Joined(true, true), 0);
}

}  // namespace
}  // namespace ingot::passes
