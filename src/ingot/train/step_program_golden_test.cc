// Compiled steps, run by the engine on batches as a job reads them, against training traces made
// with PyTorch (tests/data/golden; its README states the tolerances).
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/train/golden_trace_test_util.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr int64_t kBatch = 128;

struct Trace {
  std::vector<double> losses;
  StepTestOutcome outcome;
};

Trace TrainMlp(DType precision, int64_t shards, int threads, int64_t steps) {
  const formats::SafetensorsFile golden = Golden("mlp_adam");
  const StepTestNetwork network = {
      "mlp", "[{dense: 64}, relu, {dense: 10}]", "softmax_cross_entropy", "[]", Shape{784}, Shape{},
      10};
  const StepGraph step =
      BuildStepGraph(BuildStepTestNetwork(network, precision),
                     nn::ReadOptimizer(ParseConfig("adam: {learning_rate: 0.001}", "optimizer")),
                     kBatch, shards, StepTestOps(), precision);
  const auto program = compiler::CompileStep(*step.graph, StepTestOps());
  runtime::StepEngine engine({program}, threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);
  for (const char* layer : {"0", "2"}) {
    const std::string from = std::string("init.") + layer;
    const std::string to = std::string("layers.") + layer;
    engine.WriteState(to + ".weight", Transposed(golden.Get(from + ".weight")).Cast(precision));
    engine.WriteState(to + ".bias", golden.Get(from + ".bias").Cast(precision));
  }
  const auto batches = MnistTraceBatches(precision, kBatch);
  Trace trace;
  engine.Run(
      StepTestRequest(step, compiler::PlanOf(*program), *batches, steps, 0.001f, trace.outcome));
  for (const std::vector<double>& sums : trace.outcome.sums) {
    trace.losses.push_back(sums[0] / sums[1]);
  }
  ReadStates(engine, trace.outcome);
  return trace;
}

class MlpAdam : public testing::TestWithParam<int64_t /*shards*/> {
 protected:
  MlpAdam() : golden_(Golden("mlp_adam")), expected_(golden_.Get("loss").ToDoubles()) {}

  const formats::SafetensorsFile golden_;
  const std::vector<double> expected_;
};

INSTANTIATE_TEST_SUITE_P(Shards, MlpAdam, testing::Values(1, 8));

TEST_P(MlpAdam, FollowsTheTraceInF32) {
  const std::vector<double> expected_f32 = golden_.Get("loss_f32").ToDoubles();
  double distance = 0;
  for (size_t s = 0; s < expected_.size(); ++s) {
    distance = std::max(distance, std::fabs(expected_f32[s] - expected_[s]));
  }
  const Trace trace = TrainMlp(DType::kF32, GetParam(), 2, static_cast<int64_t>(expected_.size()));
  ASSERT_EQ(trace.losses.size(), 100u);
  for (size_t s = 0; s < trace.losses.size(); ++s) {
    ASSERT_NEAR(trace.losses[s], expected_[s], std::max(10 * distance, 1e-5 * expected_[s]))
        << "step " << s;
  }
  // The loss fell, and the weights are where the trace's are.
  EXPECT_LT(trace.losses.back(), 0.5 * trace.losses.front());
  const std::vector<double> weight = trace.outcome.states.at("layers.2.weight").ToDoubles();
  const std::vector<double> final = Transposed(golden_.Get("final.2.weight")).ToDoubles();
  for (size_t i = 0; i < weight.size(); ++i) ASSERT_NEAR(weight[i], final[i], 1e-4) << i;
}

// Sums come out of the engine in f32, which is what bounds the comparison of losses; the weights do
// not, and keep within what the learning rate as f32 costs.
TEST_P(MlpAdam, FollowsTheTraceInF64) {
  const Trace trace = TrainMlp(DType::kF64, GetParam(), 2, static_cast<int64_t>(expected_.size()));
  for (size_t s = 0; s < trace.losses.size(); ++s) {
    ASSERT_NEAR(trace.losses[s], expected_[s], 2e-7 * expected_[s]) << "step " << s;
  }
  const std::vector<double> weight = trace.outcome.states.at("layers.0.weight").ToDoubles();
  const std::vector<double> final = Transposed(golden_.Get("final.0.weight")).ToDoubles();
  for (size_t i = 0; i < weight.size(); ++i) ASSERT_NEAR(weight[i], final[i], 1e-6) << i;
}

// One trace for one job: threads never change a bit of it.
TEST_P(MlpAdam, HasTheSameBitsForEveryNumberOfThreads) {
  const Trace alone = TrainMlp(DType::kF32, GetParam(), 1, 30);
  for (const int threads : {2, 3, 4, 7}) {
    const Trace seen = TrainMlp(DType::kF32, GetParam(), threads, 30);
    EXPECT_EQ(seen.losses, alone.losses) << threads << " threads";
    for (const auto& [name, tensor] : alone.outcome.states) {
      const Tensor& other = seen.outcome.states.at(name);
      EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()), 0)
          << name << " with " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace ingot::train
