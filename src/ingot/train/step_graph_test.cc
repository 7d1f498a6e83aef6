// Step graphs: their inputs, outputs and nodes, and what they compute against the plain formulas.
#include "ingot/train/step_graph.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/config.h"
#include "ingot/base/error.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::train {
namespace {

using testing::ElementsAre;

const ir::OpRegistry& Ops() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

nn::Network Build(const std::string& layers, bool training = true) {
  nn::NetworkOptions options;
  options.model.layers = ParseConfig(layers, "job.yaml");
  options.loss = ConfigNode::Scalar("softmax_cross_entropy");
  options.metrics = ParseConfig("[accuracy]", "job.yaml");
  options.x = {DType::kF32, Shape{4}};
  options.y = {DType::kI64, Shape{}, 3};
  options.training = training;
  return nn::BuildNetwork(options, Ops());
}

nn::OptimizerOptions Optimizer(const std::string& yaml) {
  return nn::ReadOptimizer(ParseConfig(yaml, "job.yaml"));
}

std::map<std::string, Tensor> Inputs(const StepGraph& step) {
  std::map<std::string, Tensor> inputs;
  Tensor x(DType::kF32, Shape{step.batch, 4});
  Tensor y(DType::kI64, Shape{step.batch});
  for (size_t i = 0; i < x.data<float>().size(); ++i) {
    x.data<float>()[i] = static_cast<float>(i * 7 % 13) / 13;
  }
  for (size_t i = 0; i < y.data<int64_t>().size(); ++i) {
    y.data<int64_t>()[i] = static_cast<int64_t>(i % 3);
  }
  for (const ir::Value* input : step.graph->inputs()) {
    if (input->name() == "x") inputs["x"] = x;
    if (input->name() == "y") inputs["y"] = y;
    if (input->name() == "learning_rate") inputs["learning_rate"] = Tensor::Scalar(1.0f);
    if (input->name() == "step") inputs["step"] = Tensor::Scalar<int64_t>(1);
    if (input->name() == "random_key") {
      inputs["random_key"] = Tensor::Of<int64_t>({3}, {5, 0, 0});
    }
  }
  for (const nn::ParameterSpec& p : step.parameters) inputs[p.name] = nn::InitialValue(p, 1);
  for (const nn::StateSpec& s : step.state) inputs[s.name] = Tensor(s.dtype, s.shape);
  return inputs;
}

std::vector<std::string> InputNames(const ir::Graph& graph, ir::Role role) {
  std::vector<std::string> names;
  for (const ir::Value* input : graph.inputs()) {
    if (input->role() == role) names.push_back(input->name());
  }
  return names;
}

TEST(StepGraphTest, HasTheAgreedInputsOutputsAndAliases) {
  const StepGraph step = BuildStepGraph(Build("[{dense: 3}]"), Optimizer("adam"), 12, 4, Ops());
  EXPECT_THAT(InputNames(*step.graph, ir::Role::kData), ElementsAre("x", "y"));
  EXPECT_THAT(InputNames(*step.graph, ir::Role::kParameter),
              ElementsAre("layers.0.weight", "layers.0.bias"));
  EXPECT_THAT(
      InputNames(*step.graph, ir::Role::kState),
      ElementsAre("layers.0.weight.m", "layers.0.weight.v", "layers.0.bias.m", "layers.0.bias.v"));
  EXPECT_THAT(InputNames(*step.graph, ir::Role::kScalar), ElementsAre("learning_rate", "step"));
  EXPECT_EQ(step.graph->FindInput("x")->type().ToString(), "f32[12, 4]");
  EXPECT_THAT(
      step.graph->output_names(),
      ElementsAre("layers.0.weight", "layers.0.weight.m", "layers.0.weight.v", "layers.0.bias",
                  "layers.0.bias.m", "layers.0.bias.v", "loss_sum", "weight_sum", "accuracy_sum"));
  EXPECT_THAT(step.sums, ElementsAre("loss_sum", "weight_sum", "accuracy_sum"));
  EXPECT_TRUE(step.rows.empty());
  ASSERT_EQ(step.graph->aliases().size(), 6u);
  for (const auto& [output, input] : step.graph->aliases()) {
    EXPECT_EQ(step.graph->output_names()[output], input->name());
    EXPECT_EQ(step.graph->outputs()[output]->type(), input->type());
  }
  for (const ir::Value* output : step.graph->outputs()) EXPECT_TRUE(output->type().is_static());
}

// Everything but rounding is the same however the batch is cut.
TEST(StepGraphTest, ShardsDoNotChangeWhatIsComputed) {
  const nn::Network network = Build("[{dense: 8}, relu, {dense: 3}]");
  const StepGraph whole = BuildStepGraph(network, Optimizer("sgd"), 13, 1, Ops());
  const auto expected = ops::Interpret(*whole.graph, Inputs(whole));
  EXPECT_EQ(expected.at("weight_sum").ToDoubles(), (std::vector<double>{13}));
  for (const int64_t shards : {2, 5, 13, 100}) {
    const StepGraph step = BuildStepGraph(network, Optimizer("sgd"), 13, shards, Ops());
    EXPECT_EQ(step.shards, std::min<int64_t>(shards, 13));
    const auto outputs = ops::Interpret(*step.graph, Inputs(step));
    ASSERT_EQ(outputs.size(), expected.size());
    for (const auto& [name, tensor] : expected) {
      const std::vector<double> a = tensor.ToDoubles();
      const std::vector<double> b = outputs.at(name).ToDoubles();
      for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << name;
    }
  }
}

// The sharded step gives each sample the random numbers of its place in the batch.
TEST(StepGraphTest, DropoutDoesNotDependOnTheShards) {
  const nn::Network network = Build("[{dense: 8}, {dropout: 0.5}, {dense: 3}]");
  std::vector<double> losses;
  for (const int64_t shards : {1, 4}) {
    const StepGraph step = BuildStepGraph(network, Optimizer("sgd"), 12, shards, Ops());
    EXPECT_THAT(InputNames(*step.graph, ir::Role::kScalar),
                ElementsAre("random_key", "learning_rate"));
    losses.push_back(ops::Interpret(*step.graph, Inputs(step)).at("loss_sum").ToDoubles()[0]);
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-5);
}

TEST(StepGraphTest, EvaluationGivesSumsAndRows) {
  const nn::Network network = Build("[{dense: {units: 3, activation: softmax}}]", false);
  const StepGraph sums = BuildEvaluationGraph(network, 12, 3, Ops());
  EXPECT_THAT(sums.graph->output_names(), ElementsAre("loss_sum", "weight_sum", "accuracy_sum"));
  EXPECT_TRUE(sums.graph->aliases().empty());
  const StepGraph both =
      BuildEvaluationGraph(network, 12, 3, Ops(), EvaluationOutputs::kSumsAndRows);
  EXPECT_THAT(both.rows, ElementsAre("output"));
  const StepGraph rows = BuildEvaluationGraph(network, 12, 3, Ops(), EvaluationOutputs::kRows);
  EXPECT_THAT(rows.graph->output_names(), ElementsAre("output"));
  EXPECT_THAT(InputNames(*rows.graph, ir::Role::kData), ElementsAre("x"));
  EXPECT_EQ(rows.graph->outputs()[0]->type().ToString(), "f32[12, 3]");
  const auto a = ops::Interpret(*both.graph, Inputs(both));
  EXPECT_EQ(a.at("output").ToDoubles(),
            ops::Interpret(*rows.graph, Inputs(rows)).at("output").ToDoubles());
  EXPECT_EQ(a.at("loss_sum").ToDoubles(),
            ops::Interpret(*sums.graph, Inputs(sums)).at("loss_sum").ToDoubles());
  EXPECT_EQ(a.at("weight_sum").ToDoubles(), (std::vector<double>{12}));
}

TEST(StepGraphTest, SaysWhatIsWrong) {
  const nn::Network network = Build("[{dense: 3}]");
  const auto message = [&](int64_t batch, int64_t shards, DType precision) -> std::string {
    try {
      BuildStepGraph(network, Optimizer("adam"), batch, shards, Ops(), precision);
    } catch (const Error& error) {
      return error.message();
    }
    return "nothing was thrown";
  };
  EXPECT_EQ(message(0, 1, DType::kF32), "a step of 0 samples in 1 shards");
  EXPECT_EQ(message(8, 0, DType::kF32), "a step of 8 samples in 0 shards");
  EXPECT_EQ(message(8, 2, DType::kF64),
            "the network was built in f32, but the step is to run in f64");
}

}  // namespace
}  // namespace ingot::train
