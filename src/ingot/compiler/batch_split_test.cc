// Which graphs may be run some samples at a time, and when that pays.
#include "ingot/compiler/batch_split.h"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::compiler {
namespace {

using Ints = std::vector<int64_t>;
using Body = std::function<ir::Value*(ir::Builder&, ir::Value*)>;

constexpr int64_t kBatch = 12;

const ir::OpRegistry& Registry() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

// A pointwise convolution of `side` x `side` pixels, and what `body` makes of it.
int64_t Samples(int64_t side, const Body& body) {
  ir::Graph graph("network");
  ir::Builder b(graph, Registry());
  ir::Value* x = graph.AddInput("x", ir::Type::Tensor(DType::kF32, Shape{kBatch, 3, side, side}));
  ir::Value* h = b.Op("Conv", {x, b.Constant(Tensor(DType::kF32, {16, 3, 1, 1}))});
  graph.AddOutput(body(b, b.Op("Relu", {h})), "y");
  return SamplesAtOnce(graph, kBatch);
}

ir::Value* Pooled(ir::Builder& b, ir::Value* h) {
  return b.Op("Flatten", {b.Op("GlobalAveragePool", {h})});
}

TEST(BatchSplit, TakesSamplesOfAConvolutionalNetworkOneByOne) {
  EXPECT_EQ(Samples(128, Pooled), 1);
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {
                      h = b.Op("Gemm", {Pooled(b, h), b.Constant(Tensor(DType::kF32, {16, 10})),
                                        b.Constant(Tensor(DType::kF32, {10}))});
                      return b.Op("Softmax", {h});
                    }),
            1);
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {
                      h = b.Op("Concat", {h, b.Op("Sigmoid", {h})}, {{"axis", int64_t{1}}});
                      h = b.Add(h, b.Constant(Tensor(DType::kF32, {1, 32, 1, 1})));
                      h = b.Op("Transpose", {h}, {{"perm", Ints{0, 2, 3, 1}}});
                      return b.Op("Reshape", {h, b.Ints({kBatch, -1})});
                    }),
            1);
}

TEST(BatchSplit, LeavesABatchWholeThatStaysInTheCaches) {
  EXPECT_EQ(Samples(16, Pooled), kBatch);
}

TEST(BatchSplit, ReadsManyWeightsForMoreSamples) {
  // The weights are nearly as much as three samples write.
  const int64_t samples = Samples(90, [](ir::Builder& b, ir::Value* h) {
    h = b.Op("Conv", {h, b.Constant(Tensor(DType::kF32, {8, 16, 1, 1}))});
    h = Pooled(b, h);
    h = b.Op("Gemm", {h, b.Constant(Tensor(DType::kF32, {8, 60000}))});
    return b.Op("Gemm", {h, b.Constant(Tensor(DType::kF32, {60000, 4}))});
  });
  EXPECT_GT(samples, 1);
  EXPECT_LT(samples, kBatch);
  EXPECT_EQ(kBatch % samples, 0);
}

TEST(BatchSplit, LeavesABatchWholeWhoseSamplesMeet) {
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {
                      return b.Op("ReduceMean", {h, b.Ints({0})}, {{"keepdims", int64_t{1}}});
                    }),
            kBatch);
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {
                      return b.Op("Softmax", {Pooled(b, h)}, {{"axis", int64_t{0}}});
                    }),
            kBatch);
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {  // a constant for each sample
                      return b.Add(Pooled(b, h), b.Constant(Tensor(DType::kF32, {kBatch, 16})));
                    }),
            kBatch);
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {
                      return b.Op("Concat", {Pooled(b, h), Pooled(b, h)}, {{"axis", int64_t{0}}});
                    }),
            kBatch);
  EXPECT_EQ(Samples(128,
                    [](ir::Builder& b, ir::Value* h) {
                      h = b.Op("Transpose", {Pooled(b, h)});
                      return b.Op("MatMul", {h, b.Constant(Tensor(DType::kF32, {kBatch, kBatch}))});
                    }),
            kBatch);
}

TEST(BatchSplit, APartKeepsItsSamplesOnlyWhereNoConstantNamesTheBatch) {
  // Of a part: what the whole batch's 12 rows are told to be, its fewer samples are, too.
  const auto keeps = [](int64_t samples, int64_t first) {
    ir::Graph graph("part");
    ir::Builder b(graph, Registry());
    ir::Value* x = graph.AddInput("x", ir::Type::Tensor(DType::kF32, Shape{samples, 24}));
    ir::Value* h = b.Op("Softmax", {b.Op("Reshape", {x, b.Ints({first, -1})})});
    graph.AddOutput(b.Op("Reshape", {h, b.Ints({-1, 24})}), "y");
    return IsBySample(graph, samples);
  };
  EXPECT_TRUE(keeps(12, 12));
  EXPECT_TRUE(keeps(3, 3));
  EXPECT_FALSE(keeps(3, 12));
}

}  // namespace
}  // namespace ingot::compiler
