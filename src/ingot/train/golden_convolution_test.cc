// Convolutional networks against training traces made with PyTorch.
#include <numbers>

#include "ingot/train/golden_trace_test_util.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr int64_t kBatch = 32;

double RateOf(int64_t step) {
  constexpr double kSteps = 60;
  return 0.05 * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / kSteps)) / 2;
}

StepGraph BuildStep(DType precision, int64_t shards, const MixedPrecision& mixed = {}) {
  const nn::Network network = MakeNetwork(
      "[{conv: {filters: 8, kernel: 3, padding: 1}}, relu, {max_pool: 2}, {conv: {filters: 16, "
      "kernel: 3, padding: 1}}, relu, {max_pool: 2}, flatten, {dense: 32}, relu, {dense: 10}]",
      "softmax_cross_entropy", {precision, Shape{1, 28, 28}}, {DType::kI64, Shape{}, 10},
      precision);
  return BuildStepGraph(
      network,
      Optimizer("sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 1e-4}"),
      kBatch, shards, Ops(), precision, mixed);
}

std::map<std::string, Tensor> Initial() {
  const formats::SafetensorsFile golden = Golden("cnn_momentum_cosine");
  std::map<std::string, Tensor> values;
  for (const std::string layer : {"0", "3", "7", "9"}) {
    const Tensor weight = golden.Get("init." + layer + ".weight");
    values["layers." + layer + ".weight"] =
        weight.shape().rank() == 2 ? Transposed(weight) : weight;
    values["layers." + layer + ".bias"] = golden.Get("init." + layer + ".bias");
  }
  return values;
}

std::vector<double> TrainCnn(DType precision) {
  Trainer trainer(BuildStep(precision, 2));
  for (const auto& [name, value] : Initial()) trainer.Set(name, value, precision);
  MnistBatches batches(precision, kBatch, Shape{1, 28, 28});
  std::vector<double> losses;
  const int64_t steps = Golden("cnn_momentum_cosine").Get("loss").shape()[0];
  for (int64_t s = 0; s < steps; ++s) {
    batches.Fill(s);
    losses.push_back(trainer.Step(batches.x(), batches.y(), RateOf(s)));
  }
  return losses;
}

std::vector<double> Compiled(int64_t shards, int threads, const MixedPrecision& mixed = {}) {
  const StepGraph step = BuildStep(DType::kF32, shards, mixed);
  const auto program = compiler::CompileStep(*step.graph, Ops());
  runtime::StepEngine engine({program}, threads);
  std::map<std::string, Tensor> states = InitialStates(step);
  for (const auto& [name, value] : Initial()) states[name] = value.Cast(DType::kF32);
  for (const nn::StateSpec& s : step.state) {
    if (!s.copy_of.empty()) states[s.name] = states.at(s.copy_of).Cast(s.copy_to).Cast(s.dtype);
  }
  for (const auto& [name, tensor] : states) engine.WriteState(name, tensor);
  const auto batches = MnistTraceBatches(DType::kF32, kBatch);
  StepTestOutcome outcome;
  const int64_t steps = Golden("cnn_momentum_cosine").Get("loss").shape()[0];
  runtime::StepRequest request =
      StepTestRequest(step, compiler::PlanOf(*program), *batches, steps, 0, outcome);
  request.scalars = [](int64_t s, std::span<float> scalars) {
    scalars[0] = static_cast<float>(RateOf(s));
  };
  engine.Run(request);
  std::vector<double> losses;
  for (const std::vector<double>& sums : outcome.sums) losses.push_back(sums[0] / sums[1]);
  return losses;
}

TEST(GoldenConvolutionTest, CnnMomentumCosineFollowsTheTraceInF64) {
  ExpectFollowsF64(Golden("cnn_momentum_cosine"), TrainCnn(DType::kF64));
}

TEST(GoldenConvolutionTest, CnnMomentumCosineFollowsTheTraceInF32) {
  ExpectFollowsF32(Golden("cnn_momentum_cosine"), TrainCnn(DType::kF32));
}

TEST(GoldenConvolutionTest, CompiledFollowsTheTrace) {
  const std::vector<double> losses = Compiled(2, 2);
  ExpectFollowsF32(Golden("cnn_momentum_cosine"), losses);
  EXPECT_EQ(Compiled(2, 3), losses);
}

// Products of rounded factors end near the trace, but not on it.
TEST(GoldenConvolutionTest, Bf16StaysNearTheTrace) {
  MixedPrecision mixed;
  mixed.type = DType::kBf16;
  const std::vector<double> losses = Compiled(2, 2, mixed);
  const std::vector<double> expected = Golden("cnn_momentum_cosine").Get("loss").ToDoubles();
  double distance = 0;
  for (size_t s = 0; s < losses.size(); ++s) {
    EXPECT_NEAR(losses[s], expected[s], 0.03 + 0.02 * expected[s]) << "step " << s;
    distance = std::max(distance, std::abs(losses[s] - expected[s]));
  }
  EXPECT_GT(distance, 1e-4);
}

}  // namespace
}  // namespace ingot::train
