// Networks from layer lists: graphs, shapes, names, and the messages for what does not fit.
#include "ingot/nn/network.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/nn/network_test_util.h"

namespace ingot::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(NetworkTest, HasTheAgreedInputsAndOutputs) {
  const Network network = Build({.layers = "[{dense: {units: 8, activation: relu}}, {dense: 3}]",
                                 .metrics = "[accuracy, top_k: 2]"});
  std::vector<std::string> inputs;
  for (const ir::Value* input : network.graph->inputs()) {
    inputs.push_back(input->name() + " " + input->type().ToString());
  }
  EXPECT_THAT(inputs, ElementsAre("x f32[batch, 4]", "y i64[batch]", "layers.0.weight f32[4, 8]",
                                  "layers.0.bias f32[8]", "layers.1.weight f32[8, 3]",
                                  "layers.1.bias f32[3]"));
  EXPECT_THAT(network.graph->output_names(), ElementsAre("output", "loss", "accuracy", "top_2"));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 3]");
  EXPECT_EQ(network.output("loss")->type().ToString(), "f32[batch]");
  EXPECT_EQ(network.output("top_2")->type().ToString(), "f32[batch]");
  EXPECT_EQ(network.parameter_count(), 4 * 8 + 8 + 8 * 3 + 3);
  EXPECT_EQ(network.largest_layer_parameters(), 40);
  EXPECT_EQ(network.multiplications(), 40 + 27);
  EXPECT_EQ(network.output_kind, OutputKind::kLogits);
  EXPECT_EQ(network.layers[1].name, "1 (dense 3)");
  EXPECT_EQ(network.parameters[2].layer, "1 (dense 3)");
  EXPECT_EQ(network.parameters[2].fans.in, 8);
  EXPECT_THAT(network.resolved_layers.ToYaml(), HasSubstr("kernel_initializer: glorot_uniform"));
}

TEST(NetworkTest, ACloneHasAGraphOfItsOwn) {
  const Network network = Build({.layers = "[{dense: 3}]", .metrics = "[accuracy]"});
  const Network clone = network.Clone();
  network.graph->RemoveOutput(0);
  EXPECT_THAT(clone.graph->output_names(), ElementsAre("output", "loss", "accuracy"));
  EXPECT_THAT(clone.metrics, ElementsAre("accuracy"));
  EXPECT_EQ(clone.parameters[0].name, "layers.0.weight");
  EXPECT_EQ(clone.layers[0].name, network.layers[0].name);
  EXPECT_EQ(clone.loss, network.loss);
  EXPECT_EQ(clone.resolved_layers.ToYaml(), network.resolved_layers.ToYaml());
}

TEST(NetworkTest, LossAndMetricsAreThoseOfTheFormulas) {
  const Network network = Build({.layers = "[{dense: 3}]", .metrics = "[accuracy, {top_k: 2}]"});
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 2, 3, 4, -1, 0, 1, 2});
  const Tensor y = Tensor::Of<int64_t>({2}, {2, 0});
  const auto outputs = Evaluate(network, x, y);
  const std::vector<double> logits = outputs.at("output").ToDoubles();
  for (size_t r = 0; r < 2; ++r) {
    double sum = 0;
    int64_t above = 0;
    const double at = logits[3 * r + (r == 0 ? 2 : 0)];
    for (size_t c = 0; c < 3; ++c) {
      sum += std::exp(logits[3 * r + c]);
      above += logits[3 * r + c] > at ? 1 : 0;
    }
    EXPECT_NEAR(outputs.at("loss").ToDoubles()[r], std::log(sum) - at, 1e-5);
    EXPECT_EQ(outputs.at("accuracy").ToDoubles()[r], above == 0 ? 1 : 0);
    EXPECT_EQ(outputs.at("top_2").ToDoubles()[r], above < 2 ? 1 : 0);
  }
}

TEST(NetworkTest, OneHotLabelsGiveTheSameAsClassNumbers) {
  const Spec spec{.layers = "[{dense: 3}]", .metrics = "[accuracy]"};
  Spec one_hot = spec;
  one_hot.y = {DType::kF32, Shape{3}};
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 2, 3, 4, -1, 0, 1, 2});
  const auto a = Evaluate(Build(spec), x, Tensor::Of<int64_t>({2}, {2, 0}));
  const auto b = Evaluate(Build(one_hot), x, Tensor::Of<float>({2, 3}, {0, 0, 1, 1, 0, 0}));
  EXPECT_EQ(a.at("accuracy").ToDoubles(), b.at("accuracy").ToDoubles());
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(a.at("loss").ToDoubles()[i], b.at("loss").ToDoubles()[i], 1e-6);
  }
}

TEST(NetworkTest, ClassWeightsMultiplyTheLoss) {
  const Spec plain{.layers = "[{dense: 3}]"};
  Spec weighted = plain;
  weighted.class_weights = {1, 5, 0.25};
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 2, 3, 4, -1, 0, 1, 2});
  const Tensor y = Tensor::Of<int64_t>({2}, {2, 1});
  const std::vector<double> a = Evaluate(Build(plain), x, y).at("loss").ToDoubles();
  const std::vector<double> b = Evaluate(Build(weighted), x, y).at("loss").ToDoubles();
  EXPECT_NEAR(b[0], 0.25 * a[0], 1e-6);
  EXPECT_NEAR(b[1], 5 * a[1], 1e-5);
  // Mixed labels have the mean of the weights.
  Spec mixed = plain;
  mixed.y = {DType::kF32, Shape{3}};
  const Tensor shares = Tensor::Of<float>({2, 3}, {0.5, 0.5, 0, 0, 0, 1});
  const std::vector<double> c = Evaluate(Build(mixed), x, shares).at("loss").ToDoubles();
  mixed.class_weights = weighted.class_weights;
  const std::vector<double> d = Evaluate(Build(mixed), x, shares).at("loss").ToDoubles();
  EXPECT_NEAR(d[0], 3 * c[0], 1e-5);
  EXPECT_NEAR(d[1], 0.25 * c[1], 1e-6);
  weighted.loss = "mse";
  weighted.y = {DType::kF32, Shape{1}};
  weighted.layers = "[{dense: 1}]";
  EXPECT_THAT(Thrown(weighted).message(), HasSubstr("class weights are for one class"));
}

TEST(NetworkTest, LastColumnsAreEmbedded) {
  const Spec spec{.layers = "[{embed_columns: {columns: 2, width: 3, vocabulary: 6}}]",
                  .loss = "",
                  .x = {DType::kF32, Shape{3}, 6}};
  const Network network = Build(spec);
  EXPECT_EQ(network.parameters[0].shape, (Shape{6, 3}));
  EXPECT_EQ(network.output("output")->type().ToString(), "f32[batch, 7]");
  const std::vector<double> table = InitialValue(network.parameters[0], 1).ToDoubles();
  const std::vector<double> row =
      Evaluate(network, Tensor::Of<float>({1, 3}, {0.5, 4, 1}), {}).at("output").ToDoubles();
  std::vector<double> expected = {0.5};
  expected.insert(expected.end(), table.begin() + 12, table.begin() + 15);
  expected.insert(expected.end(), table.begin() + 3, table.begin() + 6);
  EXPECT_EQ(row, expected);
  Spec narrow = spec;
  narrow.layers = "[{embed_columns: {columns: 4, vocabulary: 6}}]";
  EXPECT_THAT(Thrown(narrow).message(), HasSubstr("rows [batch, n] of at least 4 columns"));
}

TEST(NetworkTest, AFinalSoftmaxIsPartOfTheLoss) {
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 2, 3, 4, -1, 0, 1, 2});
  const Tensor y = Tensor::Of<int64_t>({2}, {2, 0});
  const Network logits = Build({.layers = "[{dense: 3}]"});
  const Network probabilities = Build({.layers = "[{dense: {units: 3, activation: softmax}}]"});
  EXPECT_EQ(probabilities.output_kind, OutputKind::kProbabilities);
  const auto a = Evaluate(logits, x, y);
  const auto b = Evaluate(probabilities, x, y);
  EXPECT_EQ(a.at("loss").ToDoubles(), b.at("loss").ToDoubles());
  const std::vector<double> p = b.at("output").ToDoubles();
  EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-6);
}

TEST(NetworkTest, RegressionMatchesColumns) {
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 2, 3, 4, -1, 0, 1, 2});
  for (const InputSpec& y : {InputSpec{DType::kF32, Shape{1}}, InputSpec{DType::kF64, Shape{}},
                             InputSpec{DType::kI64, Shape{}}}) {
    const Network network =
        Build({.layers = "[{dense: 1}]", .loss = "mse", .metrics = "[mae, rmse]", .y = y});
    EXPECT_EQ(network.output_kind, OutputKind::kValues);
    const Shape shape = y.shape.rank() == 1 ? Shape{2, 1} : Shape{2};
    const auto outputs = Evaluate(network, x, Tensor::Of<float>(shape, {3, -1}).Cast(y.dtype));
    const std::vector<double> out = outputs.at("output").ToDoubles();
    EXPECT_NEAR(outputs.at("loss").ToDoubles()[0], (out[0] - 3) * (out[0] - 3), 1e-5);
    EXPECT_NEAR(outputs.at("mae").ToDoubles()[1], std::abs(out[1] + 1), 1e-6);
    EXPECT_NEAR(outputs.at("rmse").ToDoubles()[1], (out[1] + 1) * (out[1] + 1), 1e-5);
  }
}

TEST(NetworkTest, BinaryClassificationFromOneLogit) {
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 2, 3, 4, -1, -3, -1, -2});
  for (const std::string& layers :
       {std::string("[{dense: 1}]"), std::string("[{dense: 1}, sigmoid]")}) {
    const Network network = Build({.layers = layers,
                                   .loss = "binary_cross_entropy",
                                   .metrics = "[accuracy]",
                                   .y = {DType::kI64, Shape{}, 2}});
    const auto outputs = Evaluate(network, x, Tensor::Of<int64_t>({2}, {1, 1}));
    const bool probabilities = layers != "[{dense: 1}]";
    EXPECT_EQ(network.output_kind,
              probabilities ? OutputKind::kProbabilities : OutputKind::kLogits);
    for (size_t i = 0; i < 2; ++i) {
      const double out = outputs.at("output").ToDoubles()[i];
      const double p = probabilities ? out : 1 / (1 + std::exp(-out));
      EXPECT_NEAR(outputs.at("loss").ToDoubles()[i], -std::log(p), 1e-5);
      EXPECT_EQ(outputs.at("accuracy").ToDoubles()[i], p > 0.5 ? 1 : 0);
    }
  }
}

TEST(NetworkTest, DropoutIsActiveOnlyInTraining) {
  Spec spec{.layers = "[{dropout: 0.5}]", .loss = ""};
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 1, 1, 1, 1, 1, 1, 1});
  const Network evaluation = Build(spec);
  EXPECT_EQ(evaluation.graph->FindInput("random_key"), nullptr);
  EXPECT_EQ(evaluation.graph->FindInput("y"), nullptr);
  EXPECT_EQ(Evaluate(evaluation, x, {}).at("output").ToDoubles(), x.ToDoubles());
  spec.training = true;
  const Network training = Build(spec);
  ASSERT_NE(training.graph->FindInput("random_key"), nullptr);
  const std::vector<double> a = Evaluate(training, x, {}, 1).at("output").ToDoubles();
  EXPECT_EQ(a, Evaluate(training, x, {}, 1).at("output").ToDoubles());
  EXPECT_NE(a, Evaluate(training, x, {}, 2).at("output").ToDoubles());
  for (const double v : a) EXPECT_TRUE(v == 0 || v == 2) << v;
}

TEST(NetworkTest, BytesAreCastAndImagesFlattened) {
  const Network network = Build({.layers = "[flatten, {dense: 3}, {reshape: [3, 1]}]",
                                 .loss = "",
                                 .x = {DType::kU8, Shape{2, 2}}});
  const auto outputs = Evaluate(network, Tensor::Of<uint8_t>({1, 2, 2}, {1, 2, 3, 4}), {});
  EXPECT_EQ(outputs.at("output").shape(), (Shape{1, 3, 1}));
}

TEST(NetworkTest, EveryActivationComputes) {
  const Tensor x = Tensor::Of<float>({1, 2}, {-0.5f, 2});
  const std::map<std::string, std::function<double(double)>> formulas = {
      {"relu", [](double v) { return std::max(v, 0.0); }},
      {"sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); }},
      {"tanh", [](double v) { return std::tanh(v); }},
      {"gelu", [](double v) { return v * 0.5 * std::erfc(-v / std::sqrt(2.0)); }},
      {"gelu_tanh",
       [](double v) {
         return v * 0.5 *
                (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
       }},
      {"swish", [](double v) { return v / (1 + std::exp(-v)); }},
      {"hard_swish", [](double v) { return v * std::clamp(v / 6 + 0.5, 0.0, 1.0); }},
      {"mish", [](double v) { return v * std::tanh(std::log1p(std::exp(v))); }},
      {"softplus", [](double v) { return std::log1p(std::exp(v)); }},
      {"prelu: 0.3", [](double v) { return v > 0 ? v : 0.3 * v; }},
      {"leaky_relu: {alpha: 0.3}", [](double v) { return v > 0 ? v : 0.3 * v; }},
      {"elu: 2", [](double v) { return v > 0 ? v : 2 * std::expm1(v); }},
      {"softmax", [](double v) { return std::exp(v) / (std::exp(-0.5) + std::exp(2.0)); }},
      {"log_softmax", [](double v) { return v - std::log(std::exp(-0.5) + std::exp(2.0)); }},
  };
  for (const auto& [yaml, formula] : formulas) {
    const Network network =
        Build({.layers = "[{" + (yaml.find(':') == yaml.npos ? yaml + ": {}" : yaml) + "}]",
               .loss = "",
               .x = {DType::kF32, Shape{2}}});
    const std::vector<double> out = Evaluate(network, x, {}).at("output").ToDoubles();
    EXPECT_NEAR(out[0], formula(-0.5), 1e-6) << yaml;
    EXPECT_NEAR(out[1], formula(2), 1e-6) << yaml;
  }
}

TEST(NetworkTest, ShapesThatDoNotFitNameBothLayersAndShapes) {
  Error error = Thrown({.layers = "[{dense: 64}, {reshape: [7, 8]}]"});
  EXPECT_THAT(error.message(),
              HasSubstr("layer 1 (reshape [7, 8]) after layer 0 (dense 64), which gives f32[batch, "
                        "64]: cannot reshape [batch, 64] to [batch, ...] of [7, 8]: a sample has "
                        "64 elements, not 56"));
  EXPECT_THAT(error.message(), HasSubstr("job.yaml:1"));
  error = Thrown({.layers = "[{dense: 3}]", .x = {DType::kF32, Shape{28, 28}}});
  EXPECT_THAT(error.message(),
              HasSubstr("loss after layer 0 (dense 3), which gives f32[batch, 28, 3]: "
                        "softmax_cross_entropy takes class numbers [batch, 28] for an output "
                        "[batch, 28, 3], but the labels are i64[batch]"));
  EXPECT_EQ(error.hint(), "put '- flatten' before the last dense layer");
  error = Thrown({.layers = "[{dense: 3}]", .x = {DType::kF32, Shape{}}});
  EXPECT_THAT(error.message(), HasSubstr("dense takes [batch, ..., features], got [batch]"));
}

TEST(NetworkTest, OutputsThatDoNotFitLossOrMetric) {
  Error error = Thrown({.layers = "[{dense: 2}]", .loss = "mse", .y = {DType::kF32, Shape{3}}});
  EXPECT_THAT(error.message(),
              HasSubstr("loss after layer 0 (dense 2), which gives f32[batch, 2]: mse compares "
                        "elements, but the output is [batch, 2] and the target 'y' is [batch, 3]"));
  error = Thrown({.layers = "[{dense: 2}]"});
  EXPECT_THAT(error.message(), HasSubstr("layer 0 (dense 2) gives f32[batch, 2], but the labels "
                                         "have 3 classes"));
  error = Thrown({.layers = "[{dense: 3}]", .y = {DType::kF64, Shape{1}}});
  EXPECT_THAT(error.message(), HasSubstr("but the labels are f64[batch, 1]"));
  EXPECT_THAT(error.hint(), HasSubstr("label_type: class"));
  error = Thrown({.layers = "[{dense: 4}, {reshape: [2, 2]}]",
                  .loss = "mse",
                  .metrics = "[accuracy]",
                  .y = {DType::kF32, Shape{2, 2}}});
  EXPECT_THAT(error.message(),
              HasSubstr("metric after layer 1 (reshape [2, 2]): accuracy takes scores [batch, "
                        "classes] and class numbers or one-hot labels, but the output is [batch, "
                        "2, 2] and the target 'y' is [batch, 2, 2]"));
}

TEST(NetworkTest, NamesTheNearest) {
  Error error = Thrown({.layers = "[{dens: 3}]"});
  EXPECT_THAT(error.message(), HasSubstr("unknown layer 'dens'"));
  EXPECT_THAT(error.message(), HasSubstr("job.yaml:1:10"));
  EXPECT_THAT(error.hint(), HasSubstr("dense"));
  error = Thrown({.layers = "[{dense: {unit: 3}}]"});
  EXPECT_THAT(error.message(), HasSubstr("unit"));
  EXPECT_THAT(error.hint(), HasSubstr("units"));
  error = Thrown({.layers = "[{dense: 3}]", .loss = "softmax_crossentropy"});
  EXPECT_THAT(error.message(), HasSubstr("unknown loss 'softmax_crossentropy'"));
  error = Thrown({.layers = "[{dense: 3}]", .metrics = "[acuracy]"});
  EXPECT_THAT(error.message(), HasSubstr("unknown metric 'acuracy'"));
  EXPECT_THAT(error.hint(), HasSubstr("accuracy"));
  error = Thrown({.layers = "[{dense: 3}]", .metrics = "[accuracy, accuracy]"});
  EXPECT_THAT(error.message(), HasSubstr("metric 'accuracy' is there twice"));
}

TEST(NetworkTest, RefusesNonsense) {
  EXPECT_THAT(Thrown({.layers = "[]"}).message(), HasSubstr("expected a list of layers"));
  EXPECT_THAT(Thrown({.layers = "[{dense: 0}]"}).message(),
              HasSubstr("layers[0].dense: expected a number >= 1, got 0"));
  EXPECT_THAT(Thrown({.layers = "[{dense: {}}]"}).message(), HasSubstr("units"));
  EXPECT_THAT(Thrown({.layers = "[{dropout: 1}]"}).message(),
              HasSubstr("layers[0].dropout: expected a number from 0 to 0.999999, got 1"));
  EXPECT_THAT(Thrown({.layers = "[{dense: 3, relu: {}}]"}).message(),
              HasSubstr("expected the name of a layer, got a map of 2 entries"));
  EXPECT_THAT(Thrown({.layers = "[{dense: {units: 3, kernel_initializer: glorot}}]"}).message(),
              HasSubstr("unknown initializer 'glorot'"));
}

TEST(NetworkTest, AProgramCanAddALayer) {
  struct ScaleOptions {
    double by = 2;
  };
  static const auto table = OptionTable<ScaleOptions>("scale", "x times a number")
                                .Add("by", &ScaleOptions::by, "the number")
                                .Shorthand("by");
  LayerRegistry layers = StandardLayers();
  layers.Add(DefineLayer<ScaleOptions>(
      table, [](const ScaleOptions&) { return std::string("scale"); },
      [](const ScaleOptions& options, LayerContext& context, ir::Value* x) {
        return context.builder().MulScalar(x, options.by);
      }));
  EXPECT_THROW(layers.Add(*layers.Find("scale")), Error);
  NetworkOptions options;
  options.model.layers = ParseConfig("[{scale: 3}]", "job.yaml");
  options.x = {DType::kF32, Shape{2}};
  const Network network = BuildNetwork(options, Ops(), layers);
  EXPECT_EQ(Evaluate(network, Tensor::Of<float>({1, 2}, {1, 2}), {}).at("output").ToDoubles(),
            (std::vector<double>{3, 6}));
}

}  // namespace
}  // namespace ingot::nn
