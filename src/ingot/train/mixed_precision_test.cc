// Training with products of 16-bit numbers: compiled steps against the interpreter, the same bits
// for any number of threads, loss scaling and skipped steps, runs of the trainer.
#include <cmath>
#include <cstring>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/ops/op_case_runner.h"
#include "ingot/train/step_program_test_util.h"
#include "ingot/train/trainer_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

StepGraph Build(const StepTestNetwork& network, const std::string& optimizer,
                const MixedPrecision& mixed, int64_t accumulate = 1, double clip_norm = 0) {
  nn::OptimizerOptions options = nn::ReadOptimizer(ParseConfig(optimizer, "optimizer"));
  options.clip_norm = clip_norm;
  return BuildStepGraph(BuildStepTestNetwork(network, DType::kF32), options, 12, 3, StepTestOps(),
                        DType::kF32, mixed, accumulate);
}

const StepTestNetwork& Mlp() {
  static const StepTestNetwork network = {"mlp", "[{dense: 16}, relu, {dense: 3}]",
                                          "softmax_cross_entropy", "[accuracy]"};
  return network;
}
const StepTestNetwork& Cnn() {
  static const StepTestNetwork network = {
      "cnn",
      "[{conv: {filters: 4, kernel: 3, bias: false}}, batch_norm, relu, {max_pool: 2}, "
      "{conv: {filters: 3, kernel: 2}}, relu, flatten, {dense: 3}]",
      "softmax_cross_entropy", "[accuracy]", Shape{2, 8, 8}};
  return network;
}
const StepTestNetwork& Transformer() {
  static const StepTestNetwork network = {
      "transformer",
      "[{dense: 8}, {transformer_block: {heads: 2, causal: true}}, {select: 0}, {dense: 3}]",
      "softmax_cross_entropy", "[accuracy]", Shape{5, 6}};
  return network;
}

void ExpectAgreement(const StepTestOutcome& seen, const StepTestOutcome& expected, double tolerance,
                     const std::string& what) {
  ASSERT_EQ(seen.result.next_step, static_cast<int64_t>(expected.sums.size())) << what;
  for (const auto& [name, tensor] : expected.states) {
    EXPECT_EQ(ops::Compare(seen.states.at(name), tensor, tolerance), "") << what << ": " << name;
  }
}

void ExpectSameBits(const StepTestOutcome& a, const StepTestOutcome& b, const std::string& what) {
  EXPECT_EQ(a.sums, b.sums) << what;
  for (const auto& [name, tensor] : a.states) {
    const Tensor& other = b.states.at(name);
    EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()), 0) << what << ": " << name;
  }
}

MixedPrecision Of(DType type, double scale = 1024) {
  MixedPrecision mixed;
  mixed.type = type;
  mixed.loss_scale = scale;
  return mixed;
}

// A rounding that goes the other way, since f32 sums differ in their last bits, moves a factor by
// one part in 256: the tolerance is that of few such factors.
TEST(MixedPrecisionStepTest, AgreesWithTheInterpreter) {
  for (const StepTestNetwork* network : {&Mlp(), &Cnn(), &Transformer()}) {
    for (const DType type : {DType::kBf16, DType::kF16}) {
      for (const double clip : {0.0, 0.1}) {
        const StepGraph step = Build(*network, "sgd: {momentum: 0.9}", Of(type), 1, clip);
        const StepTestData data(*step.graph, network->classes, 3);
        const StepTestOutcome expected = InterpretSteps(step, data, 3, 0.01f);
        const StepTestOutcome seen = RunSteps(step, data, 3, 0.01f, 2);
        ExpectAgreement(seen, expected, 4e-3, network->name + " in " + std::string(Name(type)));
      }
    }
  }
}

TEST(MixedPrecisionStepTest, DiffersFromF32ByRoundingAlone) {
  const StepGraph step = Build(Mlp(), "sgd", Of(DType::kBf16));
  const StepGraph plain = Build(Mlp(), "sgd", {});
  const StepTestData data(*step.graph, 3, 4);
  const StepTestOutcome rounded = RunSteps(step, data, 20, 0.05f, 2);
  const StepTestOutcome exact = RunSteps(plain, data, 20, 0.05f, 2);
  const Tensor& a = rounded.states.at("layers.0.weight");
  const Tensor& b = exact.states.at("layers.0.weight");
  EXPECT_EQ(ops::Compare(a, b, 0.02), "");
  EXPECT_NE(ops::Compare(a, b, 1e-6), "");
  // Master weights have all of their bits; the copy is what they round to.
  const Tensor copy = a.Cast(DType::kBf16).Cast(DType::kF32);
  EXPECT_EQ(ops::Compare(rounded.states.at("layers.0.weight.bf16"), copy, 0), "");
  EXPECT_NE(ops::Compare(a, copy, 1e-6), "");
}

TEST(MixedPrecisionStepTest, ThreadsNeverChangeABit) {
  for (const StepTestNetwork* network : {&Mlp(), &Cnn()}) {
    for (const DType type : {DType::kBf16, DType::kF16}) {
      const StepGraph step = Build(*network, "adam", Of(type), 1, 0.5);
      const StepTestData data(*step.graph, network->classes, 4);
      const StepTestOutcome alone = RunSteps(step, data, 8, 0.01f, 1);
      for (const int threads : {2, 3, 7}) {
        ExpectSameBits(RunSteps(step, data, 8, 0.01f, threads), alone,
                       network->name + " with " + std::to_string(threads) + " threads");
      }
    }
  }
}

TEST(MixedPrecisionStepTest, AStepThatOverflowsChangesNothingButTheScale) {
  // 2^24 times any gradient is beyond 65504.
  const StepGraph step = Build(Mlp(), "adamw: {weight_decay: 0.5}", Of(DType::kF16, 16777216));
  const StepTestData data(*step.graph, 3, 2);
  const std::map<std::string, Tensor> before = InitialStates(step);
  for (const int threads : {1, 2, 3}) {
    const StepTestOutcome seen = RunSteps(step, data, 1, 0.1f, threads);
    EXPECT_FALSE(seen.result.not_finite);
    for (const auto& [name, tensor] : before) {
      if (name.starts_with(kLossScale)) continue;
      EXPECT_EQ(ops::Compare(seen.states.at(name), tensor, 0), "") << name;
    }
    EXPECT_EQ(seen.states.at(kLossScale).ToDoubles()[0], 8388608);
    EXPECT_EQ(seen.states.at(kSkippedSteps).ToDoubles()[0], 1);
  }
  // Then the scale falls until steps are good again.
  const StepTestOutcome later = RunSteps(step, data, 30, 0.1f, 2);
  EXPECT_LT(later.states.at(kSkippedSteps).ToDoubles()[0], 20);
  EXPECT_NE(ops::Compare(later.states.at("layers.0.weight"), before.at("layers.0.weight"), 1e-3),
            "");
}

TEST(AccumulationTest, SeveralStepsAreOneOfTheirBatchesTogether) {
  for (const char* optimizer : {"sgd: {momentum: 0.9}", "adam", "lamb", "muon"}) {
    for (const DType type : {DType::kUndefined, DType::kF16}) {
      const StepGraph step = Build(Mlp(), optimizer, Of(type), 3, 0.5);
      const StepTestData data(*step.graph, 3, 7);
      const StepTestOutcome expected = InterpretSteps(step, data, 7, 0.002f, 3);
      const StepTestOutcome seen = RunSteps(step, data, 7, 0.002f, 2, {}, 3);
      ExpectAgreement(seen, expected, 1e-2, optimizer);
      ExpectSameBits(RunSteps(step, data, 7, 0.002f, 3, {}, 3), seen, optimizer);
      // Two steps of three change nothing.
      const StepTestOutcome two = RunSteps(step, data, 2, 0.002f, 2, {}, 3);
      const Tensor first = InitialStates(step).at("layers.0.weight");
      EXPECT_EQ(ops::Compare(two.states.at("layers.0.weight"), first, 0), "");
      EXPECT_NE(ops::Compare(seen.states.at("layers.0.weight"), first, 1e-4), "");
    }
  }
}

// The gradient of the mean over both batches, whatever the cut.
TEST(AccumulationTest, MatchesALargerBatch) {
  const nn::Network network = BuildStepTestNetwork(Mlp(), DType::kF32);
  const nn::OptimizerOptions sgd = nn::ReadOptimizer(ParseConfig("sgd", "optimizer"));
  const StepGraph small = BuildStepGraph(network, sgd, 6, 2, StepTestOps(), DType::kF32, {}, 2);
  const StepGraph large = BuildStepGraph(network, sgd, 12, 4, StepTestOps());
  // The same samples: a large batch is two small ones.
  class Halves : public runtime::BatchSource {
   public:
    explicit Halves(const StepTestData& whole) : whole_(whole) {}
    void Fill(int64_t step, int64_t first, int64_t count,
              std::span<void* const> inputs) const override {
      whole_.Fill(step / 2, first + step % 2 * 6, count, inputs);
    }

   private:
    const StepTestData& whole_;
  };
  const StepTestData data(*large.graph, 3, 5);
  const StepTestOutcome expected = RunSteps(large, data, 5, 0.1f, 2);
  const auto program = compiler::CompileStep(*small.graph, StepTestOps());
  runtime::StepEngine engine({program}, 2);
  for (const auto& [name, tensor] : InitialStates(small)) engine.WriteState(name, tensor);
  StepTestOutcome seen;
  const Halves halves(data);
  engine.Run(StepTestRequest(small, compiler::PlanOf(*program), halves, 10, 0.1f, seen, 2));
  ReadStates(engine, seen);
  for (const nn::ParameterSpec& p : small.parameters) {
    EXPECT_EQ(ops::Compare(seen.states.at(p.name), expected.states.at(p.name), 1e-5), "") << p.name;
  }
}

TEST(MixedPrecisionRunTest, Bf16EndsWhereF32Does) {
  const TrainResult f32 = Train(SmallRequest("{epochs: 20}"));
  for (const char* precision : {"bf16", "fp16"}) {
    const TrainResult mixed =
        Train(SmallRequest("{epochs: 20, precision: " + std::string(precision) + "}"));
    EXPECT_NEAR(*mixed.summary.test_loss, *f32.summary.test_loss, 0.05) << precision;
    EXPECT_EQ(mixed.summary.precision, precision);
    for (const formats::NamedTensor& tensor : mixed.parameters) {
      EXPECT_EQ(tensor.tensor.dtype(), DType::kF32);
    }
  }
}

TEST(MixedPrecisionRunTest, ResumesExactlyAndCountsSkippedSteps) {
  const TestFolder folder;
  const std::string job =
      "{precision: fp16, mixed_precision: {loss_scale: 16777216, growth_interval: 5}, "
      "checkpoint: {every_steps: 4}, average: 0.9, accumulate: 2, epochs: 2}";
  const TrainResult whole = Train(SmallRequest(job, folder / "whole"));
  EXPECT_GT(*whole.summary.skipped_steps, 0);
  TrainRequest cut = SmallRequest(job, folder / "cut");
  int64_t seen = 0;
  cut.on_loss = [&](int64_t, double) { ++seen; };
  cut.should_stop = [&] { return seen >= 5; };
  EXPECT_EQ(Train(cut).end, RunEnd::kInterrupted);
  TrainRequest again = SmallRequest(job, folder / "cut");
  again.mode = RunMode::kResume;
  const TrainResult resumed = Train(again);
  EXPECT_EQ(resumed.summary.resumed_from_step, 5);
  EXPECT_EQ(BitsOf(resumed.parameters), BitsOf(whole.parameters));
  EXPECT_EQ(resumed.summary.skipped_steps, whole.summary.skipped_steps);
  EXPECT_THAT(ReadFile(folder / "whole/summary.json"), HasSubstr("\"skipped_steps\""));
}

TEST(MixedPrecisionRunTest, LayersThatStayF32MustExist) {
  TrainRequest request =
      SmallRequest("{precision: bf16, mixed_precision: {keep_f32: ['2']}, epochs: 1}");
  EXPECT_EQ(Train(request).end, RunEnd::kFinished);
  request = SmallRequest("{precision: bf16, mixed_precision: {keep_f32: [head]}, epochs: 1}");
  try {
    Train(request);
    FAIL() << "there is no layer head";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("no layer's path matches 'head'"));
  }
}

}  // namespace
}  // namespace ingot::train
