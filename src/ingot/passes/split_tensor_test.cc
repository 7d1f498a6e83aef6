// The parts of a network that is cut for the places of a mesh add up to the whole: the reference of
// ingot.MeshSum is that of one place, so that each part gives what it adds to the sum.
#include "ingot/passes/split_tensor.h"

#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;

class SplitTensorTest : public ::testing::Test {
 protected:
  Value* Input(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kF64, shape));
  }
  Value* Parameter(const std::string& name, const Shape& shape) {
    return graph_.AddInput(name, Type::Tensor(DType::kF64, shape), ir::Role::kParameter);
  }

  // Cuts the graph for each of `size` places, and checks that what they give adds up.
  TensorSplit ExpectPartsAddUp(Value* output, int size) {
    graph_.AddOutput(output, "y");
    const std::map<std::string, Tensor> inputs = RandomInputs(graph_, 7);
    const Tensor whole = ops::Interpret(graph_, inputs).at("y");
    std::vector<double> sums(static_cast<size_t>(whole.size()), 0);
    TensorSplit last;
    for (int place = 0; place < size; ++place) {
      const std::unique_ptr<Graph> part = graph_.Clone();
      last = SplitTensor(*part, registry_, place, size);
      EXPECT_EQ(CountNodes(*part, "ingot.MeshSum"), 1);
      std::map<std::string, Tensor> own = inputs;
      for (const auto& [name, slice] : last.slices) own[name] = slice.Take(inputs.at(name));
      const Tensor given = ops::Interpret(*part, own).at("y");
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += given.data<double>()[i];
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      EXPECT_NEAR(sums[i], whole.data<double>()[i], 1e-12) << i;
    }
    return last;
  }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"net"};
  ir::Builder builder_{graph_, registry_};
};

TEST_F(SplitTensorTest, DenseLayersOneBehindTheOther) {
  Value* x = Input("x", {5, 4});
  Value* hidden = builder_.Op(
      "Relu", {builder_.Op("Gemm", {x, Parameter("up", {4, 6}), Parameter("bias", {6})})});
  Value* y = builder_.Op("Gemm", {hidden, Parameter("down", {6, 3})});
  const TensorSplit split = ExpectPartsAddUp(y, 3);
  EXPECT_EQ(split.slices.at("up").axis, 1);
  EXPECT_EQ(split.slices.at("up").part(), (Shape{4, 2}));
  EXPECT_EQ(split.slices.at("bias").part(), Shape{2});
  EXPECT_EQ(split.slices.at("down").axis, 0);
  EXPECT_EQ(split.slices.at("down").part(), (Shape{2, 3}));
}

TEST_F(SplitTensorTest, HeadsOfAttention) {
  Value* x = Input("x", {2, 3, 8});
  Value* rows = builder_.Op("Reshape", {x, builder_.Ints({-1, 8})});
  Value* qkv = builder_.Op("Gemm", {rows, Parameter("qkv", {8, 16}), Parameter("bias", {16})});
  qkv = builder_.Op("Reshape", {qkv, builder_.Ints({-1, 3, 16})});
  const std::vector<Value*> parts =
      builder_.Ops("Split", {qkv, builder_.Ints({8, 4, 4})}, 3, {{"axis", int64_t{2}}});
  Value* mixed = builder_.Ops("Attention", parts, 2,
                              {{"q_num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}})[0];
  mixed = builder_.Op("Reshape", {mixed, builder_.Ints({-1, 8})});
  Value* y = builder_.Op("Gemm", {mixed, Parameter("output", {8, 8})});
  y = builder_.Op("Reshape", {y, builder_.Ints({-1, 3, 8})});
  const TensorSplit split = ExpectPartsAddUp(y, 2);
  const TensorSlice& slice = split.slices.at("qkv");  // of place 1
  ASSERT_EQ(slice.ranges.size(), 3u);
  EXPECT_EQ(slice.ranges[0].begin, 4);
  EXPECT_EQ(slice.ranges[1].begin, 10);
  EXPECT_EQ(slice.ranges[2].end, 16);
}

TEST_F(SplitTensorTest, WhatDoesNotDivideStaysWhole) {
  Value* x = Input("x", {5, 4});
  Value* hidden = builder_.Op("Tanh", {builder_.Op("Gemm", {x, Parameter("up", {4, 5})})});
  graph_.AddOutput(builder_.Op("Gemm", {hidden, Parameter("down", {5, 3})}), "y");
  EXPECT_TRUE(SplitTensor(graph_, registry_, 0, 2).slices.empty());
  EXPECT_EQ(CountNodes(graph_, "ingot.MeshSum"), 0);
}

TEST_F(SplitTensorTest, WhatOthersUseStaysWhole) {
  Value* x = Input("x", {5, 4});
  Value* hidden = builder_.Op("Relu", {builder_.Op("Gemm", {x, Parameter("up", {4, 6})})});
  graph_.AddOutput(builder_.Op("Gemm", {hidden, Parameter("down", {6, 3})}), "y");
  graph_.AddOutput(builder_.Op("ReduceSum", {hidden}), "sum");
  EXPECT_TRUE(SplitTensor(graph_, registry_, 0, 2).slices.empty());
}

TEST_F(SplitTensorTest, LargeProductsAndTablesAlone) {
  Value* ids = graph_.AddInput("ids", Type::Tensor(DType::kI64, Shape{3}));
  Value* table = Parameter("table", {400, 64});
  Value* y = builder_.Op("Gather", {table, ids});
  graph_.AddOutput(builder_.Op("Gemm", {y, table}, {{"transB", int64_t{1}}}), "y");
  const std::unique_ptr<Graph> whole = graph_.Clone();
  const TensorSplit split = SplitTensor(graph_, registry_, 1, 2);
  EXPECT_EQ(split.slices.at("table").axis, 1);
  EXPECT_EQ(split.slices.at("table").part(), (Shape{400, 32}));
  EXPECT_EQ(CountNodes(graph_, "ingot.MeshSum"), 2);
  EXPECT_EQ(CountNodes(graph_, "ingot.MeshShare"), 1);
}

TEST(TensorSliceTest, TakeAndPutAreInverse) {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const Tensor whole = Tensor::Of<float>({2, 6}, std::span<const float>(values));
  Tensor again(DType::kF32, {2, 6});
  for (int place = 0; place < 2; ++place) {
    TensorSlice slice;
    slice.axis = 1;
    slice.whole = {2, 6};
    slice.ranges = {{place * 2, place * 2 + 2}, {4 + place, 5 + place}};
    const Tensor part = slice.Take(whole);
    EXPECT_EQ(part.shape(), (Shape{2, 3}));
    EXPECT_EQ(part.data<float>()[2], static_cast<float>(4 + place));
    slice.Put(part, again);
  }
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(again.data<float>()[i], values[i]);
}

}  // namespace
}  // namespace ingot::passes
