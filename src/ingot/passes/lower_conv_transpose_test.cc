// lower_conv_transpose: what it rewrites, what it leaves, and that results stay.
#include "ingot/passes/lower_conv_transpose.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Type;
using Ints = std::vector<int64_t>;

class LowerConvTransposeTest : public ::testing::Test {
 protected:
  // How many ConvTransposes are left of one with these attributes.
  int Left(const Shape& x, const Shape& w, ir::Attributes attributes, bool bias = false) {
    ir::Graph graph("test");
    ir::Builder builder(graph, registry_);
    const auto input = [&](const char* name, const Shape& shape) {
      return graph.AddInput(name, Type::Tensor(DType::kF64, shape));
    };
    std::vector<ir::Value*> inputs = {input("x", x), input("w", w)};
    if (bias) inputs.push_back(input("b", {w[1] * (attributes.count("group") > 0 ? 2 : 1)}));
    graph.AddOutput(builder.Op("ConvTranspose", inputs, std::move(attributes)), "y");
    ExpectSameResults(
        graph, [this](ir::Graph& each) { LowerConvTranspose(each, registry_); }, 1e-12);
    const int left = CountNodes(graph, "ConvTranspose");
    EXPECT_EQ(CountNodes(graph, "ingot.ConvInputGradient"), 1 - left);
    return left;
  }
  const ir::OpRegistry registry_ = ops::StandardOps();
};

TEST_F(LowerConvTransposeTest, GivesTheSameNumbers) {
  EXPECT_EQ(Left({2, 3, 4}, {3, 2, 3}, {}), 0);
  EXPECT_EQ(
      Left({2, 4, 3, 4}, {4, 3, 3, 2}, {{"group", int64_t{2}}, {"strides", Ints{2, 1}}}, true), 0);
  EXPECT_EQ(
      Left({1, 2, 3, 4}, {2, 3, 3, 3},
           {{"strides", Ints{2, 3}}, {"pads", Ints{1, 0, 1, 2}}, {"output_padding", Ints{1, 2}}},
           true),
      0);
  EXPECT_EQ(Left({1, 2, 3, 4}, {2, 3, 2, 2}, {{"dilations", Ints{2, 3}}}), 0);
  EXPECT_EQ(Left({1, 1, 2, 3, 2}, {1, 2, 2, 2, 2}, {}, true), 0);
}

TEST_F(LowerConvTransposeTest, LeavesWhatNoConvolutionGoesBackFrom) {
  EXPECT_EQ(Left({1, 1, 2}, {1, 1, 3}, {{"output_shape", Ints{3}}}), 1);
  EXPECT_EQ(
      Left({1, 1, 2}, {1, 1, 3}, {{"strides", Ints{2}}, {"auto_pad", std::string("SAME_UPPER")}}),
      1);
  // The convolution back would see one position more.
  EXPECT_EQ(Left({1, 1, 2}, {1, 1, 3}, {{"dilations", Ints{3}}, {"output_padding", Ints{1}}}), 1);
}

}  // namespace
}  // namespace ingot::passes
