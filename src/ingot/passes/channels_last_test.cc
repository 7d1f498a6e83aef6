// channels_last: what it flips, that pairs of transpositions vanish, and that results stay.
#include "ingot/passes/channels_last.h"

#include <gtest/gtest.h>

#include "ingot/ir/builder.h"
#include "ingot/ir/printer.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/autodiff.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/random_graph.h"

namespace ingot::passes {
namespace {

using ir::Graph;
using ir::Type;
using ir::Value;

using Ints = std::vector<int64_t>;

class ChannelsLastTest : public ::testing::Test {
 protected:
  Value* Input(const Shape& shape) {
    const std::string name = "x" + std::to_string(graph_.inputs().size());
    return graph_.AddInput(name, Type::Tensor(DType::kF64, shape));
  }
  Value* Conv(Value* x, int64_t outputs, int64_t kernel = 3, int64_t stride = 1) {
    const int64_t pad = kernel / 2;
    Value* w = Input({outputs, x->type().shape()[1], kernel, kernel});
    return builder_.Op("Conv", {x, w},
                       {{"pads", Ints{pad, pad, pad, pad}}, {"strides", Ints{stride, stride}}});
  }
  void Change() {
    ExpectSameResults(
        graph_,
        [this](Graph& graph) {
          ChannelsLast(graph, registry_);
          EliminateDeadCode(graph);
        },
        1e-12);
  }
  // Transpositions of activations, not of the weights in `inputs`.
  int Transposes() { return CountNodes(graph_, "Transpose"); }

  const ir::OpRegistry registry_ = ops::StandardOps();
  Graph graph_{"test"};
  ir::Builder builder_{graph_, registry_};
};

TEST_F(ChannelsLastTest, PairsBetweenConvolutionsVanish) {
  Value* x = Input({2, 3, 6, 5});
  Value* bias = Input({1, 4, 1, 1});
  Value* hidden = builder_.Op("Relu", {builder_.Add(Conv(x, 4), bias)});
  graph_.AddOutput(Conv(hidden, 5), "y");
  Change();
  EXPECT_EQ(CountNodes(graph_, "Conv"), 2);
  EXPECT_EQ(Transposes(), 4) << "x, two of weights, y\n" << ir::Print(graph_);
  EXPECT_EQ(CountNodes(graph_, "Reshape"), 1) << "the bias";
}

TEST_F(ChannelsLastTest, ResidualsAndReductionsStayInTheLayout) {
  Value* x = Input({2, 3, 4, 4});
  Value* stem = builder_.Op("Relu", {Conv(x, 4)});
  Value* sum = builder_.Add(stem, Conv(builder_.Op("Tanh", {Conv(stem, 4)}), 4));
  graph_.AddOutput(
      builder_.Op("ReduceMean", {sum, builder_.Ints({2, 3})}, {{"keepdims", int64_t{0}}}),
      "pooled");
  Change();
  EXPECT_EQ(Transposes(), 4) << "x and three of weights\n" << ir::Print(graph_);
}

TEST_F(ChannelsLastTest, ResizingNamesTheAxesOfTheOtherOrder) {
  Value* x = Input({2, 3, 4, 5});
  Value* larger = builder_.Op("Resize", {Conv(x, 4), nullptr, nullptr, builder_.Ints({7, 6})},
                              {{"axes", Ints{2, -1}}, {"mode", std::string("linear")}});
  Value* scales = builder_.Constant(Tensor::Of<float>({4}, {1, 1, 0.5, 1}));
  Value* smaller = builder_.Op("Resize", {builder_.Op("Tanh", {larger}), nullptr, scales});
  graph_.AddOutput(Conv(smaller, 5), "y");
  Change();
  EXPECT_EQ(CountNodes(graph_, "Resize"), 2);
  EXPECT_EQ(Transposes(), 4) << "x, two of weights, y\n" << ir::Print(graph_);
}

TEST_F(ChannelsLastTest, GradientsOfResizingToo) {
  Value* x = Input({2, 3, 4, 5});
  Value* y = builder_.Op("Resize", {Conv(x, 4), nullptr, nullptr, builder_.Ints({6, 9})},
                         {{"axes", Ints{2, 3}}, {"mode", std::string("cubic")}});
  Value* out = Conv(builder_.Op("Tanh", {y}), 2);
  Value* loss = builder_.Op("ReduceSum", {builder_.Mul(out, out)}, {{"keepdims", int64_t{0}}});
  graph_.AddOutput(loss, "loss");
  const std::vector<Value*> weights = {graph_.inputs()[1], graph_.inputs()[2]};
  const std::vector<Value*> gradients = Gradients(graph_, registry_, loss, weights);
  for (size_t i = 0; i < gradients.size(); ++i) {
    graph_.AddOutput(gradients[i], "d" + std::to_string(i));
  }
  Change();
  EXPECT_EQ(CountNodes(graph_, "ingot.ResizeGradient"), 1);
}

TEST_F(ChannelsLastTest, PicturesOfOneChannelAreReshaped) {
  Value* x = Input({2, 1, 5, 5});
  graph_.AddOutput(
      builder_.Op("ReduceSum", {Conv(x, 3), builder_.Ints({0, 2, 3})}, {{"keepdims", int64_t{0}}}),
      "y");
  Change();
  EXPECT_EQ(Transposes(), 1) << "weights\n" << ir::Print(graph_);
  EXPECT_EQ(CountNodes(graph_, "Reshape"), 1);
}

TEST_F(ChannelsLastTest, ConcatJoinsTheChannels) {
  Value* x = Input({2, 2, 4, 4});
  Value* both = builder_.Op("Concat", {Conv(x, 3), Conv(x, 2, 1)}, {{"axis", int64_t{1}}});
  graph_.AddOutput(Conv(both, 2), "y");
  Change();
  EXPECT_EQ(CountNodes(graph_, "Concat"), 1);
  EXPECT_LE(Transposes(), 6) << "x twice, three of weights, y\n" << ir::Print(graph_);
}

TEST_F(ChannelsLastTest, ATrainingStepKeepsItsGradients) {
  Value* x = Input({2, 2, 6, 6});
  Value* hidden = builder_.Op("Relu", {Conv(x, 3, 3, 2)});
  Value* y = builder_.Op("Tanh", {Conv(hidden, 4)});
  Value* flat = builder_.Op("Flatten", {y});
  Value* loss = builder_.Op("ReduceSum", {builder_.Mul(flat, flat)}, {{"keepdims", int64_t{0}}});
  graph_.AddOutput(loss, "loss");
  const std::vector<Value*> gradients =
      Gradients(graph_, registry_, loss, {graph_.inputs().begin(), graph_.inputs().end()});
  for (size_t i = 0; i < gradients.size(); ++i) {
    graph_.AddOutput(gradients[i], "gradient_" + std::to_string(i));
  }
  Change();
  EXPECT_EQ(CountNodes(graph_, "ingot.ConvWeightGradient"), 2);
  for (const ir::Node* node : graph_.nodes()) {
    if (node->op().FindAttribute("channels_last") == nullptr) continue;
    EXPECT_EQ(node->GetInt("channels_last"), 1) << node->Describe();
  }
}

TEST_F(ChannelsLastTest, GraphsWithoutSpatialOpsStayAsTheyAre) {
  Value* x = Input({2, 3, 4});
  Value* moved = builder_.Op("Transpose", {x}, {{"perm", Ints{0, 2, 1}}});
  graph_.AddOutput(builder_.Op("Relu", {moved}), "y");
  const std::string before = ir::Print(graph_);
  Change();
  EXPECT_EQ(ir::Print(graph_), before);
}

TEST_F(ChannelsLastTest, RandomChainsKeepTheirResults) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Graph graph("chain_" + std::to_string(seed));
    ir::Builder builder(graph, registry_);
    uint64_t state = seed * 0x9e3779b97f4a7c15u;
    const auto below = [&state](uint64_t n) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return (state >> 33) % n;
    };
    const auto input = [&](const Shape& shape) {
      return graph.AddInput("x" + std::to_string(graph.inputs().size()),
                            Type::Tensor(DType::kF64, shape));
    };
    std::vector<Value*> values = {input({2, 1 + static_cast<int64_t>(below(3)), 4, 5})};
    for (int i = 0; i < 12; ++i) {
      Value* x = values[values.size() - 1 - below(std::min<size_t>(3, values.size()))];
      const int64_t channels = x->type().shape()[1];
      const auto more = static_cast<int64_t>(1 + below(4));
      switch (below(6)) {
        case 0:
        case 1:
          x = builder.Op("Conv", {x, input({more, channels, 3, 3})}, {{"pads", Ints{1, 1, 1, 1}}});
          break;
        case 2:
          x = builder.Op("Relu", {x});
          break;
        case 3:
          x = builder.Mul(x, input({1, channels, 1, 1}));
          break;
        case 4:
          x = builder.Op("Concat", {x, values[0]}, {{"axis", int64_t{1}}});
          break;
        default:
          x = builder.Op("Tanh",
                         {builder.Add(x, builder.Op("ReduceMean", {x, builder.Ints({2, 3})}))});
      }
      values.push_back(x);
    }
    graph.AddOutput(values.back(), "last");
    graph.AddOutput(values[values.size() / 2], "middle");
    ExpectSameResults(
        graph, [this](Graph& g) { ChannelsLast(g, registry_); }, 1e-11);
  }
}

}  // namespace
}  // namespace ingot::passes
