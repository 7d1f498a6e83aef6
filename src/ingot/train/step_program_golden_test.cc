// Compiled steps, run by the engine on batches as a job reads them, against training traces made
// with PyTorch (tests/data/golden; its README states the tolerances).
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/data/batches.h"
#include "ingot/data/idx_source.h"
#include "ingot/formats/safetensors.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr int64_t kBatch = 128;

// PyTorch keeps a Linear's weight as [out, in].
Tensor Transposed(const Tensor& w) {
  const int64_t rows = w.shape()[0];
  const int64_t columns = w.shape()[1];
  const std::vector<double> from = w.ToDoubles();
  std::vector<double> to(from.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
    }
  }
  return Tensor::Of<double>(Shape{columns, rows}, std::span<const double>(to));
}

// The samples of the trace, batch by batch: in the order of the file, again and again.
std::unique_ptr<data::Batches> TraceBatches(DType precision) {
  const data::IdxFiles files = data::FindIdxFiles(INGOT_SOURCE_DIR "/tests/data/mnist", "train");
  auto source = std::make_shared<data::IdxSource>(files.images, files.labels, 10);
  data::Conversion x(source->fields()[0]);
  x.Normalise(255, {}, {});
  x.Flatten();
  x.Cast(precision);
  data::Conversion y(source->fields()[1]);
  y.Cast(DType::kI64);
  data::BatchOptions options;
  options.batch = kBatch;
  options.shuffle = false;
  options.wrap = true;
  return std::make_unique<data::Batches>(source, data::Selection::All(source->size()),
                                         std::vector<data::Conversion>{x, y}, options);
}

struct Trace {
  std::vector<double> losses;
  StepTestOutcome outcome;
};

Trace TrainMlp(DType precision, int64_t shards, int threads, int64_t steps) {
  const formats::SafetensorsFile golden =
      formats::SafetensorsFile::Open(INGOT_SOURCE_DIR "/tests/data/golden/mlp_adam.safetensors");
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
  const auto batches = TraceBatches(precision);
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
  MlpAdam()
      : golden_(formats::SafetensorsFile::Open(INGOT_SOURCE_DIR
                                               "/tests/data/golden/mlp_adam.safetensors")),
        expected_(golden_.Get("loss").ToDoubles()) {}

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
