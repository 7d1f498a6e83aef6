// The layers of sequences, pictures and tables: shapes, parameters, values and messages.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/nn/network_test_util.h"

namespace ingot::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Spec Tokens(const std::string& layers, int64_t length) {
  return {.layers = layers, .loss = "", .x = {DType::kI64, Shape{length}}};
}

std::string OutputType(const Spec& spec) {
  return Build(spec).output("output")->type().ToString();
}

std::vector<double> Values(const Spec& spec, const Tensor& x) {
  return Evaluate(Build(spec), x, {}).at("output").ToDoubles();
}

std::vector<double> Parameter(const Network& network, size_t index) {
  return InitialValue(network.parameters[index], 1).ToDoubles();
}

TEST(LayersTest, GroupAndInstanceNormsKnowTheSampleAlone) {
  const Spec group = {.layers = "[{group_norm: {groups: 1, epsilon: 3}}]",
                      .loss = "",
                      .x = {DType::kF32, Shape{2, 1, 2}}};
  const Network network = Build(group);
  ASSERT_EQ(network.parameters.size(), 2u);
  EXPECT_EQ(network.parameters[0].name, "layers.0.scale");
  // Mean 5 and variance 1, with epsilon 3 a deviation of 2.
  const Tensor x = Tensor::Of<float>({1, 2, 1, 2}, {4, 6, 6, 4});
  EXPECT_THAT(Values(group, x), ElementsAre(-0.5, 0.5, 0.5, -0.5));
  const Spec instance = {
      .layers = "[{instance_norm: {epsilon: 3}}]", .loss = "", .x = {DType::kF32, Shape{2, 1, 2}}};
  EXPECT_THAT(Values(instance, Tensor::Of<float>({1, 2, 1, 2}, {4, 6, 9, 7})),
              ElementsAre(-0.5, 0.5, 0.5, -0.5));
  const Spec uneven = {
      .layers = "[{group_norm: 3}]", .loss = "", .x = {DType::kF32, Shape{4, 2, 2}}};
  EXPECT_THAT(Thrown(uneven).message(), HasSubstr("4 channels"));
  EXPECT_THAT(Thrown(uneven).message(), HasSubstr("do not divide into 3 groups"));
}

TEST(LayersTest, EmbeddingsAndPositions) {
  const Network network = Build(
      Tokens("[{embedding: {vocabulary: 5, width: 2}, name: tokens}, position_embedding]", 3));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 3, 2]");
  EXPECT_EQ(network.parameters[0].name, "tokens.weight");
  const std::vector<double> table = Parameter(network, 0);
  const std::vector<double> places = Parameter(network, 1);
  const std::vector<double> out =
      Evaluate(network, Tensor::Of<int64_t>({1, 3}, {4, 0, 4}), {}).at("output").ToDoubles();
  const size_t tokens[] = {4, 0, 4};
  for (size_t t = 0; t < 3; ++t) {
    for (size_t c = 0; c < 2; ++c) {
      EXPECT_NEAR(out[2 * t + c], table[2 * tokens[t] + c] + places[2 * t + c], 1e-6);
    }
  }
}

TEST(LayersTest, TiedDenseUsesTheTableOfTheEmbedding) {
  const Network network = Build(
      Tokens("[{embedding: {vocabulary: 5, width: 2}, name: tokens}, tied_dense: tokens]", 1));
  ASSERT_EQ(network.parameters.size(), 1u);
  const std::vector<double> w = Parameter(network, 0);
  const std::vector<double> out =
      Evaluate(network, Tensor::Of<int64_t>({1, 1}, {3}), {}).at("output").ToDoubles();
  ASSERT_EQ(out.size(), 5u);
  for (size_t v = 0; v < 5; ++v) {
    EXPECT_NEAR(out[v], w[6] * w[2 * v] + w[7] * w[2 * v + 1], 1e-6);
  }
  const Error error = Thrown(Tokens("[{embedding: {vocabulary: 5, width: 2}}, tied_dense: t]", 1));
  EXPECT_THAT(error.message(), HasSubstr("no layer before it has a parameter 't.weight'"));
  EXPECT_THAT(error.hint(), HasSubstr("name: t"));
  EXPECT_THAT(Thrown(Tokens("[{embedding: {vocabulary: 5, width: 2}, name: t}, {dense: 3}, "
                            "tied_dense: t]",
                            1))
                  .message(),
              HasSubstr("the input is f32[batch, 1, 3], but 't.weight' is f32[5, 2]"));
}

TEST(LayersTest, MatrixFactorisationIsExpressible) {
  const Network network = Build(Tokens(
      "[{branch: {branches: [[{select: 0}, {embedding: {vocabulary: 5, width: 3}}], [{select: 1}, "
      "{embedding: {vocabulary: 7, width: 3}}]], join: multiply}}, reduce]",
      2));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch]");
  const std::vector<double> users = Parameter(network, 0);
  const std::vector<double> items = Parameter(network, 1);
  double dot = 0;
  for (size_t c = 0; c < 3; ++c) dot += users[3 * 4 + c] * items[3 * 6 + c];
  EXPECT_NEAR(
      Evaluate(network, Tensor::Of<int64_t>({1, 2}, {4, 6}), {}).at("output").ToDoubles()[0], dot,
      1e-6);
}

TEST(LayersTest, SelectAndReduce) {
  const Tensor x = Tensor::Of<float>({1, 2, 3}, {1, 2, 3, 4, 5, 9});
  const auto values = [&](const std::string& layers) {
    return Values({.layers = layers, .loss = "", .x = {DType::kF32, Shape{2, 3}}}, x);
  };
  EXPECT_THAT(values("[{select: -1}]"), ElementsAre(4, 5, 9));
  EXPECT_THAT(values("[{select: {index: 1, axis: 2}}]"), ElementsAre(2, 5));
  EXPECT_THAT(values("[reduce]"), ElementsAre(6, 18));
  EXPECT_THAT(values("[{reduce: {by: mean, axis: 1}}]"), ElementsAre(2.5, 3.5, 6));
  EXPECT_THAT(values("[{reduce: max}]"), ElementsAre(3, 9));
  Spec spec{.layers = "[{select: 2}]", .loss = "", .x = {DType::kF32, Shape{2, 3}}};
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("there is no place 2 along axis 1"));
  spec.layers = "[{reduce: {axis: 0}}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("reduce along axis 0 of f32[batch, 2, 3]"));
}

TEST(LayersTest, PatchesAreRowsOfThePicture) {
  const Tensor x = Tensor::Of<float>({1, 1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(
      Values({.layers = "[{patchify: 2}]", .loss = "", .x = {DType::kF32, Shape{1, 2, 4}}}, x),
      ElementsAre(1, 2, 5, 6, 3, 4, 7, 8));
  EXPECT_EQ(
      OutputType({.layers = "[{patchify: 2}]", .loss = "", .x = {DType::kF32, Shape{3, 4, 6}}}),
      "f32[batch, 6, 12]");
  EXPECT_THAT(Thrown({.layers = "[{patchify: 3}]", .loss = "", .x = {DType::kF32, Shape{1, 2, 4}}})
                  .message(),
              HasSubstr("whose sides divide by 3, got [batch, 1, 2, 4]"));
}

TEST(LayersTest, Padding) {
  const Tensor x = Tensor::Of<float>({1, 1, 2}, {1, 2});
  EXPECT_THAT(
      Values({.layers = "[{pad: [1, 0, 0, 1]}]", .loss = "", .x = {DType::kF32, Shape{1, 2}}}, x),
      ElementsAre(0, 0, 0, 1, 2, 0));
  EXPECT_THAT(Thrown({.layers = "[{pad: [1, 0, 0]}]", .loss = "", .x = {DType::kF32, Shape{1, 2}}})
                  .message(),
              HasSubstr("pad takes two numbers for each of the last axes"));
}

TEST(LayersTest, FeedForwardAndSwiglu) {
  Spec spec{.layers = "[feed_forward]", .loss = "", .x = {DType::kF32, Shape{3, 6}}};
  Network network = Build(spec);
  EXPECT_EQ(network.parameters[0].shape, (Shape{6, 24}));
  EXPECT_EQ(network.parameters[2].name, "layers.0.down.weight");
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 3, 6]");
  spec.layers = "[swiglu]";
  network = Build(spec);
  EXPECT_EQ(network.parameters[0].shape, (Shape{6, 16}));
  spec = {.layers = "[{swiglu: 1}]", .loss = "", .x = {DType::kF32, Shape{1}}};
  network = Build(spec);
  const double g = Parameter(network, 0)[0], u = Parameter(network, 1)[0],
               d = Parameter(network, 2)[0];
  EXPECT_NEAR(Evaluate(network, Tensor::Of<float>({1, 1}, {2}), {}).at("output").ToDoubles()[0],
              2 * g / (1 + std::exp(-2 * g)) * 2 * u * d, 1e-6);
}

TEST(LayersTest, Norms) {
  const Tensor x = Tensor::Of<float>({1, 4}, {1, 2, 3, 6});
  const std::vector<double> layer = Values({.layers = "[layer_norm]", .loss = ""}, x);
  EXPECT_NEAR(layer[3], 3 / std::sqrt(3.5 + 1e-5), 1e-5);
  const std::vector<double> rms = Values({.layers = "[{rms_norm: {epsilon: 0}}]", .loss = ""}, x);
  EXPECT_NEAR(rms[3], 6 / std::sqrt(12.5), 1e-5);
  EXPECT_EQ(Build({.layers = "[{layer_norm: {bias: false}}]", .loss = ""}).parameters.size(), 1u);
}

TEST(LayersTest, CausalAttentionSeesWhatCameBefore) {
  Spec spec{.layers = "[{attention: {heads: 2, causal: true, rotary: true}}]",
            .loss = "",
            .x = {DType::kF32, Shape{3, 4}}};
  const std::vector<double> a =
      Values(spec, Tensor::Of<float>({1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}));
  const std::vector<double> b =
      Values(spec, Tensor::Of<float>({1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 5, 5}));
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(a[i], b[i]);
  EXPECT_NE(a[8], b[8]);
  spec.layers = "[{attention: 2}]";
  const std::vector<double> c =
      Values(spec, Tensor::Of<float>({1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 5, 5}));
  const std::vector<double> d =
      Values(spec, Tensor::Of<float>({1, 3, 4}, {0, 0, 5, 5, 5, 6, 7, 8, 1, 2, 3, 4}));
  // Without places the order of the others does not count.
  for (size_t i = 4; i < 8; ++i) EXPECT_NEAR(c[i], d[i], 1e-6);
}

TEST(LayersTest, AttentionOfFewerKeysAndItsMessages) {
  Spec spec{.layers = "[{attention: {heads: 4, kv_heads: 2, bias: false}}]",
            .loss = "",
            .x = {DType::kF32, Shape{3, 8}}};
  const Network network = Build(spec);
  EXPECT_EQ(network.parameters[0].name, "layers.0.qkv.weight");
  EXPECT_EQ(network.parameters[0].shape, (Shape{8, 16}));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 3, 8]");
  spec.layers = "[{attention: 3}]";
  EXPECT_THAT(Thrown(spec).message(),
              HasSubstr("a width of 8 in f32[batch, 3, 8] does not divide into 3 heads"));
  // The layers of a block are not in the file: the place is the block's.
  spec.layers = "[{transformer_block: 3}]";
  EXPECT_THAT(Thrown(spec).message(),
              StartsWith("job.yaml:1:10: layers[0]: layer 0.attention (attention 3)"));
  spec.layers = "[{attention: {heads: 4, kv_heads: 3}}]";
  EXPECT_THAT(Thrown(spec).message(), HasSubstr("4 heads are no multiple of 3"));
}

TEST(LayersTest, TransformerBlockIsItsParts) {
  Spec spec{.layers =
                "[{transformer_block: {heads: 2, causal: true, dropout: 0.1, hidden: 10}, "
                "name: block}]",
            .loss = "",
            .x = {DType::kF32, Shape{3, 4}}};
  const Network network = Build(spec);
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : network.parameters) names.push_back(parameter.name);
  EXPECT_THAT(names,
              ElementsAre("block.norm_1.scale", "block.norm_1.bias", "block.attention.qkv.weight",
                          "block.attention.qkv.bias", "block.attention.output.weight",
                          "block.attention.output.bias", "block.norm_2.scale", "block.norm_2.bias",
                          "block.feed_forward.up.weight", "block.feed_forward.up.bias",
                          "block.feed_forward.down.weight", "block.feed_forward.down.bias"));
  const Tensor x = Tensor::Of<float>({1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3});
  // The same by residuals, under the same names.
  Spec parts = spec;
  parts.layers =
      "[{sequence: [{residual: [layer_norm, {attention: {heads: 2, causal: true}}]}, {residual: "
      "[layer_norm, {feed_forward: 10}]}]}]";
  const Network by_hand = Build(parts);
  ASSERT_EQ(by_hand.parameters.size(), network.parameters.size());
  std::map<std::string, Tensor> inputs = {{"x", x}};
  for (size_t i = 0; i < by_hand.parameters.size(); ++i) {
    inputs[by_hand.parameters[i].name] = InitialValue(network.parameters[i], 1);
  }
  EXPECT_EQ(ops::Interpret(*by_hand.graph, inputs).at("output").ToDoubles(),
            Evaluate(network, x, {}).at("output").ToDoubles());
  spec.layers =
      "[{transformer_block: {heads: 2, activation: swiglu, norm: rms_norm, norm_place: "
      "after, bias: false}}]";
  EXPECT_EQ(Build(spec).parameters.size(), 2 + 2 + 3u);
}

TEST(LayersTest, RecurrentLayers) {
  for (const std::string kind : {"lstm", "gru"}) {
    Spec spec{.layers = "[{" + kind + ": 5}]", .loss = "", .x = {DType::kF32, Shape{3, 4}}};
    EXPECT_EQ(OutputType(spec), "f32[batch, 5]");
    const Network last = Build(spec);
    EXPECT_EQ(last.parameters[0].shape, (Shape{1, kind == "lstm" ? 20 : 15, 4}));
    spec.layers = "[{" + kind + ": {units: 5, return: sequence}}]";
    const Network all = Build(spec);
    EXPECT_EQ(all.output("output")->type().ToString(), "f32[batch, 3, 5]");
    const Tensor x = Tensor::Of<float>({1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3});
    const std::vector<double> states = Evaluate(all, x, {}).at("output").ToDoubles();
    EXPECT_THAT(Evaluate(last, x, {}).at("output").ToDoubles(),
                testing::ElementsAreArray(states.begin() + 10, states.end()));
    spec.layers = "[{" + kind + ": {units: 5, return: sequence, bidirectional: true}}]";
    EXPECT_EQ(OutputType(spec), "f32[batch, 3, 10]");
    spec.training = true;
    EXPECT_EQ(OutputType(spec), "f32[batch, 3, 10]");
    spec.x.shape = Shape{4};
    EXPECT_THAT(Thrown(spec).message(),
                HasSubstr(kind + " takes [batch, length, features], got [batch, 4]"));
  }
}

TEST(LayersTest, OneStepOfAnLstmIsItsFormula) {
  const Network network =
      Build({.layers = "[{lstm: 1}]", .loss = "", .x = {DType::kF32, Shape{1, 1}}});
  const std::vector<double> w = Parameter(network, 0), b = Parameter(network, 2);
  const auto gate = [&](size_t g) { return 0.5 * w[g] + b[g] + b[4 + g]; };
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const double c = sigmoid(gate(0)) * std::tanh(gate(3));
  EXPECT_NEAR(
      Evaluate(network, Tensor::Of<float>({1, 1, 1}, {0.5}), {}).at("output").ToDoubles()[0],
      sigmoid(gate(1)) * std::tanh(c), 1e-6);
}

Spec Pictures(const std::string& layers, const Shape& shape) {
  return {.layers = layers, .loss = "", .x = {DType::kF32, shape}};
}

TEST(LayersTest, ConvolutionShapes) {
  EXPECT_EQ(OutputType(Pictures("[{conv: 8}]", {3, 9, 10})), "f32[batch, 8, 9, 10]");
  EXPECT_EQ(OutputType(Pictures("[{conv: {filters: 8, stride: 2}}]", {3, 9, 10})),
            "f32[batch, 8, 5, 5]");
  EXPECT_EQ(
      OutputType(Pictures("[{conv: {filters: 8, kernel: [3, 5], padding: valid}}]", {3, 9, 10})),
      "f32[batch, 8, 7, 6]");
  EXPECT_EQ(OutputType(
                Pictures("[{conv: {filters: 8, padding: [1, 2, 0, 1], dilation: 2}}]", {3, 9, 10})),
            "f32[batch, 8, 8, 7]");
  EXPECT_EQ(OutputType(Pictures("[{conv: {filters: 4, kernel: 3}}]", {2, 7})), "f32[batch, 4, 7]");
  EXPECT_EQ(OutputType(Pictures("[{conv: 4}]", {2, 3, 4, 5})), "f32[batch, 4, 3, 4, 5]");
  const Network depthwise =
      Build(Pictures("[{conv: {filters: 0, groups: depthwise, bias: false}}]", {6, 5, 5}));
  EXPECT_EQ(depthwise.parameters.size(), 1u);
  EXPECT_EQ(depthwise.parameters[0].shape, (Shape{6, 1, 3, 3}));
  EXPECT_EQ(depthwise.parameters[0].fans.in, 9);
}

TEST(LayersTest, AConvolutionIsItsSums) {
  const Network network =
      Build(Pictures("[{conv: {filters: 1, kernel: 2, padding: [0, 1, 0, 0]}}]", {1, 2, 2}));
  const std::vector<double> w = Parameter(network, 0);
  const std::vector<double> y =
      Evaluate(network, Tensor::Of<float>({1, 1, 2, 2}, {1, 2, 3, 4}), {}).at("output").ToDoubles();
  ASSERT_EQ(y.size(), 2u);
  EXPECT_NEAR(y[0], w[0] + 2 * w[1] + 3 * w[2] + 4 * w[3], 1e-6);
  EXPECT_NEAR(y[1], 3 * w[0] + 4 * w[1], 1e-6);
}

TEST(LayersTest, TransposedConvolutionShapes) {
  const auto type = [](const std::string& options) {
    return OutputType(Pictures("[{conv_transpose: " + options + "}]", {6, 4, 5}));
  };
  EXPECT_EQ(type("8"), "f32[batch, 8, 4, 5]");
  EXPECT_EQ(type("{filters: 8, stride: 2}"), "f32[batch, 8, 8, 10]");
  EXPECT_EQ(type("{filters: 8, kernel: 2, stride: 3}"), "f32[batch, 8, 12, 15]");
  EXPECT_EQ(type("{filters: 8, kernel: [4, 3], stride: [2, 1]}"), "f32[batch, 8, 8, 5]");
  EXPECT_EQ(type("{filters: 8, stride: 2, padding: valid}"), "f32[batch, 8, 9, 11]");
  EXPECT_EQ(type("{filters: 8, stride: 2, padding: 1, output_padding: 1}"), "f32[batch, 8, 8, 10]");
  EXPECT_EQ(type("{filters: 8, padding: [1, 0, 2, 0], dilation: 2}"), "f32[batch, 8, 7, 7]");
  EXPECT_EQ(OutputType(Pictures("[{conv_transpose: {filters: 4, stride: 2}}]", {2, 7})),
            "f32[batch, 4, 14]");
  const Network grouped =
      Build(Pictures("[{conv_transpose: {filters: 4, groups: 2, bias: false}}]", {6, 4, 5}));
  ASSERT_EQ(grouped.parameters.size(), 1u);
  EXPECT_EQ(grouped.parameters[0].shape, (Shape{6, 2, 3, 3}));
}

TEST(LayersTest, ATransposedConvolutionPutsItsFiltersSideBySide) {
  const Network network =
      Build(Pictures("[{conv_transpose: {filters: 1, kernel: 2, stride: 2}}]", {1, 1, 2}));
  const std::vector<double> w = Parameter(network, 0);
  const std::vector<double> y =
      Evaluate(network, Tensor::Of<float>({1, 1, 1, 2}, {1, 2}), {}).at("output").ToDoubles();
  ASSERT_EQ(y.size(), 8u);
  const double expected[] = {w[0], w[1], 2 * w[0], 2 * w[1], w[2], w[3], 2 * w[2], 2 * w[3]};
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(y[i], expected[i], 1e-6) << i;
}

TEST(LayersTest, Resizing) {
  const Tensor x = Tensor::Of<float>({1, 1, 1, 2}, {1, 3});
  const auto values = [&](const std::string& options) {
    return Values(Pictures("[{resize: " + options + "}]", {1, 1, 2}), x);
  };
  EXPECT_THAT(values("2"), ElementsAre(1, 1, 3, 3, 1, 1, 3, 3));
  EXPECT_THAT(values("[1, 1.5]"), ElementsAre(1, 1, 3));
  EXPECT_THAT(values("{size: [1, 4], mode: linear}"), ElementsAre(1, 1.5, 2.5, 3));
  EXPECT_THAT(values("{size: [1, 3], mode: linear, coordinates: align_corners}"),
              ElementsAre(1, 2, 3));
  EXPECT_THAT(values("{size: [1, 1], mode: linear, antialias: true}"), ElementsAre(2));
  EXPECT_EQ(OutputType(Pictures("[{resize: {scale: [2, 0.5], mode: cubic}}]", {3, 9, 10})),
            "f32[batch, 3, 18, 5]");
  EXPECT_EQ(OutputType(Pictures("[{resize: {size: [6]}}]", {3, 9, 10})), "f32[batch, 3, 6, 6]");
}

TEST(LayersTest, Pooling) {
  const Tensor x = Tensor::Of<float>({1, 1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(Values(Pictures("[max_pool]", {1, 2, 4}), x), ElementsAre(6, 8));
  EXPECT_THAT(Values(Pictures("[average_pool]", {1, 2, 4}), x), ElementsAre(3.5, 5.5));
  EXPECT_THAT(Values(Pictures("[global_average_pool]", {1, 2, 4}), x), ElementsAre(4.5));
  EXPECT_THAT(Values(Pictures("[{max_pool: {size: [1, 2], stride: 1}}]", {1, 2, 4}), x),
              ElementsAre(2, 3, 4, 6, 7, 8));
  EXPECT_EQ(OutputType(Pictures("[{max_pool: {size: 3, stride: 2, padding: 1}}]", {4, 9, 10})),
            "f32[batch, 4, 5, 5]");
}

TEST(LayersTest, PicturesThatDoNotFitAreExplained) {
  EXPECT_THAT(Thrown(Pictures("[{conv: 8}]", {9})).message(),
              HasSubstr("conv takes pictures [batch, channels, height, width]"));
  EXPECT_THAT(Thrown(Pictures("[{conv: {filters: 8, kernel: [3, 3, 3]}}]", {3, 9, 10})).message(),
              HasSubstr("expected a number for each of the 2 axes, got a list of 3"));
  EXPECT_THAT(Thrown(Pictures("[{conv: {filters: 8, groups: 2}}]", {3, 9, 10})).message(),
              HasSubstr("3 channels and 8 filters do not divide into 2 groups"));
  EXPECT_THAT(Thrown(Pictures("[{conv: {filters: 8, padding: full}}]", {3, 9, 10})).message(),
              HasSubstr("expected same, valid or numbers, got 'full'"));
  EXPECT_THAT(Thrown(Pictures("[{conv: {filters: 8, stride: 0}}]", {3, 9, 10})).message(),
              HasSubstr("expected a number >= 1, got 0"));
  const auto thrown = [](const std::string& layer, const Shape& shape = {3, 9, 10}) {
    return Thrown(Pictures("[{average_pool: 1}, {" + layer + "}]", shape)).message();
  };
  EXPECT_THAT(thrown("conv_transpose: {filters: 8, groups: 2}"),
              HasSubstr("layer 1 (conv_transpose 8 3) after layer 0 (average_pool 1), which gives "
                        "f32[batch, 3, 9, 10]: 3 channels and 8 filters do not divide"));
  EXPECT_THAT(thrown("conv_transpose: {filters: 8, padding: 6}"),
              HasSubstr("the padding leaves nothing of axis 2: its extent would be -1"));
  EXPECT_THAT(thrown("conv_transpose: {filters: 8, padding: 1, output_padding: 1}"),
              HasSubstr("expected less than the stride 1, got '1'"));
  EXPECT_THAT(thrown("conv_transpose: {filters: 8, stride: 2, output_padding: 1}"),
              HasSubstr("the padding 'same' sets output_padding by itself"));
  EXPECT_THAT(
      thrown("resize: 0.1"),
      HasSubstr("layer 1 (resize * 0.1 nearest) after layer 0 (average_pool 1), which gives "
                "f32[batch, 3, 9, 10]: axis 2 has 9 elements, which the scale 0.1 makes "
                "none"));
  EXPECT_THAT(thrown("resize: {size: [4, 4, 4]}"),
              HasSubstr("resize has 3 numbers for the 2 axes behind the channels"));
  EXPECT_THAT(thrown("resize: {mode: linear}"), HasSubstr("a scale or a size, got neither"));
  EXPECT_THAT(thrown("resize: {scale: 2, size: [4]}"), HasSubstr("a scale or a size, got both"));
  EXPECT_THAT(thrown("resize: -1"), HasSubstr("expected a number > 0, got -1"));
  EXPECT_THAT(Thrown(Pictures("[{resize: 2}]", {9})).message(),
              HasSubstr("resize takes pictures [batch, channels, height, width]"));
}

TEST(LayersTest, PReluHasASlopeForEachChannel) {
  const Network network =
      Build({.layers = "[prelu]", .loss = "", .x = {DType::kF32, Shape{3, 2, 2}}});
  EXPECT_EQ(network.parameters[0].shape, (Shape{3, 1, 1}));
  EXPECT_EQ(Build({.layers = "[prelu]", .loss = ""}).parameters[0].shape, (Shape{4}));
  EXPECT_EQ(Build({.layers = "[{prelu: {shared: true}}]", .loss = ""}).parameters[0].shape,
            (Shape{1}));
}

}  // namespace
}  // namespace ingot::nn
