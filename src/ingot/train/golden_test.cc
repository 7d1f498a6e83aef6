// The step graphs, run by the reference kernels, against training traces and optimizer paths that
// were made with PyTorch (tests/data/golden; its README states the tolerances).
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/train/golden_trace_test_util.h"

namespace ingot::train {
namespace {

class LinearSgd : public testing::TestWithParam<int64_t> {};

TEST_P(LinearSgd, FollowsTheTraceInF64) {
  const formats::SafetensorsFile golden = Golden("linear_sgd");
  const nn::Network network = MakeNetwork("[{dense: 1}]", "mse", {DType::kF64, Shape{5}},
                                          {DType::kF64, Shape{1}}, DType::kF64);
  Trainer trainer(BuildStepGraph(network, Optimizer("sgd: {learning_rate: 0.1}"), 256, GetParam(),
                                 Ops(), DType::kF64));
  trainer.Set("layers.0.weight", Transposed(golden.Get("init.weight")), DType::kF64);
  trainer.Set("layers.0.bias", golden.Get("init.bias"), DType::kF64);
  const std::vector<double> losses = golden.Get("loss").ToDoubles();
  ASSERT_EQ(losses.size(), 100u);
  for (size_t s = 0; s < losses.size(); ++s) {
    const double loss = trainer.Step(golden.Get("x"), golden.Get("y"), 0.1);
    ASSERT_NEAR(loss, losses[s], 1e-9 * losses[s]) << "step " << s;
  }
  ExpectNear(trainer.Get("layers.0.weight").ToDoubles(), golden.Get("final.weight").ToDoubles(),
             1e-9, "weight");
  ExpectNear(trainer.Get("layers.0.bias").ToDoubles(), golden.Get("final.bias").ToDoubles(), 1e-9,
             "bias");
}

INSTANTIATE_TEST_SUITE_P(Shards, LinearSgd, testing::Values(1, 2, 7));

constexpr int64_t kBatch = 128;

// The traces of the MLP by this implementation in `precision`.
std::vector<double> TrainMlp(DType precision, size_t steps, Trainer& trainer) {
  const formats::SafetensorsFile golden = Golden("mlp_adam");
  trainer.Set("layers.0.weight", Transposed(golden.Get("init.0.weight")), precision);
  trainer.Set("layers.0.bias", golden.Get("init.0.bias"), precision);
  trainer.Set("layers.2.weight", Transposed(golden.Get("init.2.weight")), precision);
  trainer.Set("layers.2.bias", golden.Get("init.2.bias"), precision);
  MnistBatches batches(precision, kBatch, Shape{784});
  std::vector<double> losses;
  for (size_t s = 0; s < steps; ++s) {
    batches.Fill(static_cast<int64_t>(s));
    losses.push_back(trainer.Step(batches.x(), batches.y(), 0.001));
  }
  return losses;
}

Trainer MlpTrainer(DType precision, int64_t shards) {
  const nn::Network network =
      MakeNetwork("[{dense: 64}, relu, {dense: 10}]", "softmax_cross_entropy",
                  {precision, Shape{784}}, {DType::kI64, Shape{}, 10}, precision);
  return Trainer(BuildStepGraph(network, Optimizer("adam"), kBatch, shards, Ops(), precision));
}

TEST(GoldenTest, MlpAdamFollowsTheTraceInF64) {
  const formats::SafetensorsFile golden = Golden("mlp_adam");
  Trainer trainer = MlpTrainer(DType::kF64, 8);
  ExpectFollowsF64(golden, TrainMlp(DType::kF64, 100, trainer));
  ExpectNear(trainer.Get("layers.0.weight").ToDoubles(),
             Transposed(golden.Get("final.0.weight")).ToDoubles(), 1e-7, "layers.0.weight");
  ExpectNear(trainer.Get("layers.2.bias").ToDoubles(), golden.Get("final.2.bias").ToDoubles(), 1e-7,
             "layers.2.bias");
}

TEST(GoldenTest, MlpAdamFollowsTheTraceInF32) {
  Trainer trainer = MlpTrainer(DType::kF32, 8);
  ExpectFollowsF32(Golden("mlp_adam"), TrainMlp(DType::kF32, 100, trainer));
}

// The path of an optimizer that minimises 0.5 * sum(a * (w - b)^2) from w0.
class OptimizerPath : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  void Follow(DType dtype, double tolerance) const {
    const formats::SafetensorsFile golden = Golden("optimizers");
    const nn::OptimizerOptions options = Optimizer(GetParam().second);
    nn::ParameterSpec spec;
    spec.name = "w";
    spec.shape = golden.Get("w0").shape();
    spec.dtype = dtype;
    ir::Graph graph;
    ir::Builder builder(graph, Ops());
    const ir::Type type = ir::Type::Tensor(dtype, spec.shape);
    nn::UpdateInputs inputs;
    inputs.spec = &spec;
    inputs.parameter = graph.AddInput("w", type, ir::Role::kParameter);
    inputs.gradient =
        builder.Mul(builder.Constant(golden.Get("a").Cast(dtype)),
                    builder.Sub(inputs.parameter, builder.Constant(golden.Get("b").Cast(dtype))));
    inputs.learning_rate =
        graph.AddInput("learning_rate", ir::Type::Tensor(dtype, Shape{}), ir::Role::kScalar);
    inputs.step = graph.AddInput("step", ir::Type::Tensor(DType::kI64, Shape{}), ir::Role::kScalar);
    std::map<std::string, Tensor> values = {
        {"w", golden.Get("w0").Cast(dtype)},
        {"learning_rate", Tensor::Scalar(options.learning_rate()).Cast(dtype)}};
    for (const nn::StateSpec& state : nn::StateOf(options, spec)) {
      inputs.state.push_back(graph.AddInput(state.name, type, ir::Role::kState));
      values[state.name] = Tensor(dtype, spec.shape);
    }
    const nn::UpdateOutputs outputs = nn::AddUpdate(options, builder, inputs);
    graph.AddOutput(outputs.parameter, "w");
    for (size_t i = 0; i < outputs.state.size(); ++i) {
      graph.AddOutput(outputs.state[i], inputs.state[i]->name());
    }
    const std::vector<double> path =
        golden.Get(std::string("path.") + GetParam().first).ToDoubles();
    const auto size = static_cast<size_t>(spec.shape.size());
    ASSERT_EQ(path.size(), 30 * size);
    for (size_t s = 0; s < 30; ++s) {
      values["step"] = Tensor::Scalar<int64_t>(static_cast<int64_t>(s) + 1);
      for (auto& entry : ops::Interpret(graph, values)) values[entry.first] = entry.second;
      const std::vector<double> w = values["w"].ToDoubles();
      for (size_t i = 0; i < size; ++i) {
        const double expected = path[s * size + i];
        ASSERT_NEAR(w[i], expected, tolerance * std::max(1.0, std::abs(expected)))
            << "step " << s << ", element " << i;
      }
    }
  }
};

TEST_P(OptimizerPath, IsPyTorchsInF64) {
  Follow(DType::kF64, 1e-9);
}

TEST_P(OptimizerPath, IsPyTorchsInF32) {
  Follow(DType::kF32, 2e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, OptimizerPath,
    testing::Values(
        std::pair{"sgd", "sgd: {learning_rate: 0.05}"},
        std::pair{"momentum", "sgd: {learning_rate: 0.02, momentum: 0.9}"},
        std::pair{"nesterov", "sgd: {learning_rate: 0.02, momentum: 0.9, nesterov: true}"},
        std::pair{"adam", "adam: {learning_rate: 0.1}"},
        std::pair{"adam_amsgrad", "adam: {learning_rate: 0.1, amsgrad: true}"},
        std::pair{"adamw", "adamw: {learning_rate: 0.1, weight_decay: 0.1}"},
        std::pair{"nadam", "nadam: {learning_rate: 0.1}"},
        std::pair{"radam", "radam: {learning_rate: 0.1}"},
        std::pair{"adamax", "adamax: {learning_rate: 0.1}"},
        std::pair{"rmsprop", "rmsprop: {learning_rate: 0.05, alpha: 0.9}"},
        std::pair{"rmsprop_centered", "rmsprop: {learning_rate: 0.05, alpha: 0.9, centered: true}"},
        std::pair{"adagrad", "adagrad: {learning_rate: 0.5}"},
        std::pair{"adadelta", "adadelta: {learning_rate: 1, rho: 0.9}"}),
    [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace ingot::train
