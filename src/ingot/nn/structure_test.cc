// Layers of layers: repeat, residual, branch, sequence and named blocks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/nn/network_test_util.h"

namespace ingot::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> ParameterNames(const Network& network) {
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : network.parameters) names.push_back(parameter.name);
  return names;
}

std::vector<double> Output(const Network& network, const Tensor& x) {
  return Evaluate(network, x, Tensor::Of<int64_t>({1}, {0})).at("output").ToDoubles();
}

const Tensor& X() {
  static const Tensor x = Tensor::Of<float>({1, 4}, {1, -2, 3, 4});
  return x;
}

Spec Plain(const std::string& layers) {
  return {.layers = layers, .loss = ""};
}

TEST(StructureTest, NamesAreThePaths) {
  const Network network = Build(
      {.layers = "[{dense: 4}, {repeat: {times: 2, layers: [{dense: {units: 4, bias: false}}]}}, "
                 "{residual: {layers: [relu, {dense: 2}], shortcut: [{dense: 2}]}}, "
                 "{branch: [[{dense: 1}], [{sequence: [{dense: 2}]}]]}]",
       .loss = ""});
  EXPECT_THAT(
      ParameterNames(network),
      ElementsAre("layers.0.weight", "layers.0.bias", "layers.1.0.0.weight", "layers.1.1.0.weight",
                  "layers.2.1.weight", "layers.2.1.bias", "layers.2.shortcut.0.weight",
                  "layers.2.shortcut.0.bias", "layers.3.0.0.weight", "layers.3.0.0.bias",
                  "layers.3.1.0.0.weight", "layers.3.1.0.0.bias"));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 3]");
}

TEST(StructureTest, NamesMayBeGiven) {
  const Network network =
      Build(Plain("[{repeat: {times: 2, layers: [{dense: 4, name: mix}]}, name: blocks}, "
                  "{dense: {units: 2}, name: head}]"));
  EXPECT_THAT(ParameterNames(network),
              ElementsAre("blocks.0.mix.weight", "blocks.0.mix.bias", "blocks.1.mix.weight",
                          "blocks.1.mix.bias", "head.weight", "head.bias"));
  EXPECT_EQ(network.layers.back().name, "head (dense 2)");
  EXPECT_THAT(Thrown(Plain("[{dense: 4, name: 3d}]")).message(),
              HasSubstr("expected a name for the layer's parameters, got '3d'"));
  EXPECT_THAT(Thrown(Plain("[{dense: 4, name: a}, {dense: 4, name: a}]")).message(),
              HasSubstr("there is a layer named 'a' already"));
}

TEST(StructureTest, TheTreeIsSummarised) {
  const Network network =
      Build(Plain("[{repeat: {times: 2, layers: [{dense: 4}, relu]}}, {dense: 3}]"));
  std::vector<std::string> lines;
  for (const LayerSummary& layer : network.layers) {
    lines.push_back(std::to_string(layer.depth) + " " + layer.name + " " +
                    std::to_string(layer.parameters));
  }
  EXPECT_THAT(lines, ElementsAre("0 0 (repeat 2) 40", "1 0.0.0 (dense 4) 20", "1 0.0.1 (relu) 0",
                                 "1 0.1.0 (dense 4) 20", "1 0.1.1 (relu) 0", "0 1 (dense 3) 15"));
  EXPECT_EQ(network.parameter_count(), 55);
  EXPECT_EQ(network.largest_layer_parameters(), 20);
  EXPECT_EQ(network.multiplications(), 55) << "what is in a block counts once";
}

TEST(StructureTest, TheyCompute) {
  EXPECT_EQ(Output(Build(Plain("[{residual: [relu]}]")), X()), (std::vector<double>{2, -2, 6, 8}));
  EXPECT_EQ(Output(Build(Plain("[{residual: {layers: [relu], activation: relu}}]")), X()),
            (std::vector<double>{2, 0, 6, 8}));
  EXPECT_EQ(Output(Build(Plain("[{branch: [[relu], []]}]")), X()),
            (std::vector<double>{1, 0, 3, 4, 1, -2, 3, 4}));
  EXPECT_EQ(Output(Build(Plain("[{branch: {branches: [[], [relu]], join: multiply}}]")), X()),
            (std::vector<double>{1, 0, 9, 16}));
  EXPECT_EQ(Output(Build(Plain("[{repeat: {times: 3, layers: [{residual: []}]}}]")), X()),
            (std::vector<double>{8, -16, 24, 32}));
  EXPECT_EQ(Output(Build(Plain("[{branch: {branches: [[], [], []], join: add}}]")), X()),
            (std::vector<double>{3, -6, 9, 12}));
}

TEST(StructureTest, RepeatedLayersDrawTheirOwnNumbers) {
  Spec spec = Plain("[{repeat: {times: 2, layers: [{dropout: 0.5}]}}]");
  spec.training = true;
  const Network network = Build(spec);
  std::vector<int64_t> streams;
  for (const ir::Node* node : network.graph->nodes()) {
    if (node->op_type() == "Dropout") streams.push_back(node->GetInt("stream"));
  }
  ASSERT_EQ(streams.size(), 2u);
  EXPECT_NE(streams[0], streams[1]);
}

TEST(StructureTest, BlocksTakeParameters) {
  const std::string blocks =
      "{wide: [{dense: 6}, relu], pair: {parameters: {first:, then: [relu], units: 2}, layers: "
      "[{dense: $first}, {sequence: $then}, {dense: {units: $units}}]}}";
  Spec spec = Plain("[{block: wide}, {block: {pair: {first: 5}}, name: end}]");
  spec.blocks = blocks;
  const Network network = Build(spec);
  EXPECT_THAT(ParameterNames(network),
              ElementsAre("layers.0.0.weight", "layers.0.0.bias", "end.0.weight", "end.0.bias",
                          "end.2.weight", "end.2.bias"));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 2]");

  // What a run writes down reads back as the same network, without the blocks.
  const Network again = Build(Plain("\n" + network.resolved_layers.ToYaml()));
  EXPECT_EQ(ParameterNames(again), ParameterNames(network));
  EXPECT_EQ(Output(again, X()), Output(network, X()));

  spec.layers = "[{block: pair}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("block 'pair' needs its parameter 'first'"));
  spec.layers = "[{block: {pair: {first: 1, frist: 2}}}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("block 'pair' has no parameter 'frist'"));
  EXPECT_THAT(Thrown(spec).hint(), HasSubstr("first"));
  spec.layers = "[{block: wild}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("unknown block 'wild'"));
  EXPECT_THAT(Thrown(spec).hint(), HasSubstr("wide"));
}

TEST(StructureTest, BadBlocksAreRefusedWhereTheyStand) {
  Spec spec = Plain("[{block: a}]");
  spec.blocks = "{a: [{block: b}], b: [{block: a}]}";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("block 'a' is within itself"));
  spec.blocks = "{a: {layer: []}}";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("job.yaml:2:14"));
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("unknown key 'layer'"));
  spec.blocks = "{a: [{dense: $units}]}";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("block 'a' has no parameter 'units'"));
  spec.blocks = "{a: 5}";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("expected a list of layers"));
  // An option that is out of range is reported where its value stands.
  spec.blocks = "{a: {parameters: {n: 1}, layers: [{dense: $n}]}}";
  spec.layers = "[{block: {a: {n: -5}}}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("job.yaml:1:26"));
  // 10^5 layers from a few lines.
  spec.blocks =
      "{a: [{block: b}, {block: b}, {block: b}, {block: b}, {block: b}, {block: b}], "
      "b: [{repeat: {times: 1000, layers: [{repeat: {times: 1000, layers: [relu]}}]}}]}";
  spec.layers = "[{block: a}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("more than 20000 layers"));
}

TEST(StructureTest, ErrorsNameThePathAndBothShapes) {
  Error error =
      Thrown(Plain("[{dense: 3}, {repeat: {times: 2, layers: [relu, {reshape: [2, 2]}]}}]"));
  EXPECT_THAT(error.message(),
              HasSubstr("layer 1.0.1 (reshape [2, 2]) after layer 1.0.0 (relu), which gives "
                        "f32[batch, 3]: cannot reshape [batch, 3]"));
  EXPECT_THAT(error.message(), HasSubstr("job.yaml:1:57"));
  error = Thrown(Plain("[{residual: [{dense: 3}]}]"));
  EXPECT_THAT(error.message(),
              HasSubstr("layer 0 (residual) after the data, which gives f32[batch, 4]: its layers "
                        "give f32[batch, 3], but the input, which is added, is f32[batch, 4]"));
  EXPECT_THAT(error.hint(), HasSubstr("shortcut"));
  error = Thrown(Plain("[{branch: {branches: [[{dense: 3}], [{dense: 2}]], join: add}}]"));
  EXPECT_THAT(error.message(),
              HasSubstr("branch 0 gives f32[batch, 3], but branch 1 gives f32[batch, 2]"));
  error = Thrown(Plain("[{branch: {branches: [[], []], axis: 0}}]"));
  EXPECT_THAT(error.message(), HasSubstr("concat along axis 0"));
  error = Thrown(Plain("[{residual: [{reshape: [2, 3]}]}]"));
  EXPECT_THAT(error.message(),
              HasSubstr("layer 0.0 (reshape [2, 3]) after the input of layer 0 (residual), which "
                        "gives f32[batch, 4]"));
}

}  // namespace
}  // namespace ingot::nn
