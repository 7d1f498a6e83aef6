// Activations that are computed again: the same bits in less memory, and what is said where even
// that does not fit.
#include "ingot/train/memory_plan.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/passes/recompute_activations.h"
#include "ingot/train/step_program_test_util.h"
#include "ingot/train/trainer_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

// Wide activations, small weights, dropout, attention.
const StepTestNetwork& Deep() {
  static const StepTestNetwork network = {"deep",
                                          "[{dense: 16}, {repeat: {times: 6, layers: "
                                          "[{transformer_block: {heads: 2, dropout: 0.1}}]}}, "
                                          "{select: 0}, {dense: 3}]",
                                          "softmax_cross_entropy", "[accuracy]", Shape{48, 6}};
  return network;
}

StepTestOutcome RunIn(const StepGraph& step, const StepTestData& data, int segments, int threads) {
  compiler::CompileOptions options;
  options.recompute_segments = segments;
  options.keep_weight_gradients_inside = true;
  return RunSteps(step, data, 3, 0.01f, threads, options);
}

TEST(RecomputeTest, TheSameBitsInLessMemory) {
  const StepGraph step =
      BuildStepGraph(BuildStepTestNetwork(Deep(), DType::kF32),
                     nn::ReadOptimizer(ParseConfig("adam", "optimizer")), 8, 2, StepTestOps());
  const StepTestData data(*step.graph, 3, 3);
  const StepTestOutcome kept = RunIn(step, data, 0, 2);
  uint64_t last = UINT64_MAX;
  for (const int segments : {2, 4}) {
    for (const int threads : {1, 3}) {
      const StepTestOutcome again = RunIn(step, data, segments, threads);
      EXPECT_EQ(again.sums, kept.sums) << segments;
      for (const auto& [name, tensor] : kept.states) {
        EXPECT_EQ(std::memcmp(again.states.at(name).raw(), tensor.raw(), tensor.bytes()), 0)
            << name << " in " << segments << " segments";
      }
    }
    compiler::CompileOptions options;
    options.recompute_segments = segments;
    const auto program = compiler::CompileStep(*step.graph, StepTestOps(), options);
    const uint64_t arena = compiler::PlanOf(*program).arena_bytes;
    EXPECT_LT(arena, last) << segments;
    last = arena;
  }
  compiler::CompileOptions plain;
  plain.keep_weight_gradients_inside = true;
  const auto program = compiler::CompileStep(*step.graph, StepTestOps(), plain);
  EXPECT_LT(last, 0.7 * static_cast<double>(compiler::PlanOf(*program).arena_bytes));
}

TEST(MemoryPlanTest, TakesTheFirstWayThatFitsOrSaysWhatWould) {
  const nn::Network network = BuildStepTestNetwork(Deep(), DType::kF32);
  const nn::OptimizerOptions adam = nn::ReadOptimizer(ParseConfig("adam", "optimizer"));
  const auto build = [&](int64_t batch) {
    return BuildStepGraph(network, adam, batch, 2, StepTestOps());
  };
  const StepGraph step = build(32);
  const auto compile = [&](const compiler::CompileOptions& options) {
    return std::vector{compiler::CompileStep(*step.graph, StepTestOps(), options)};
  };
  const auto smaller = [&](int64_t batch) {
    compiler::CompileOptions options;
    options.recompute_segments = 8;
    const StepGraph half = build(batch);
    return compiler::EngineBytes({compiler::CompileStep(*half.graph, StepTestOps(), options)}, 2);
  };
  const auto plan = [&](uint64_t limit) {
    return PlanWithin(limit, {}, BytesOfProcess(2), compile, 32, smaller);
  };
  const MemoryPlanChoice free = plan(0);
  EXPECT_EQ(free.recompute_segments, 0);
  EXPECT_EQ(plan(free.bytes).recompute_segments, 0);
  const MemoryPlanChoice tight = plan(free.bytes / 2);
  EXPECT_GT(tight.recompute_segments, 1);
  EXPECT_LE(tight.bytes, free.bytes / 2);
  try {
    plan(free.bytes / 20);
    FAIL() << "it cannot fit";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.message(), HasSubstr("a step needs"));
    EXPECT_THAT(error.hint(), HasSubstr("memory_limit: "));
  }
}

// Adam's moments.
TEST(MemoryPlanTest, AWorkerHoldsItsPartOfTheOptimizersState) {
  const StepTestNetwork wide = {"wide", "[{dense: 1024}, relu, {dense: 1024}, relu, {dense: 3}]",
                                "softmax_cross_entropy", "[accuracy]", Shape{1024}};
  const StepGraph step =
      BuildStepGraph(BuildStepTestNetwork(wide, DType::kF32),
                     nn::ReadOptimizer(ParseConfig("adam", "optimizer")), 8, 8, StepTestOps());
  uint64_t parameters = 0;
  for (const nn::ParameterSpec& p : step.parameters) {
    parameters += static_cast<uint64_t>(p.shape.size());
  }
  const std::vector programs = {compiler::CompileStep(*step.graph, StepTestOps(), {})};
  for (const int workers : {2, 4, 8}) {
    const uint64_t whole = BytesOfWorker(workers, false)(programs);
    const uint64_t part = BytesOfWorker(workers, true)(programs);
    // But for what is rounded up to huge pages.
    const double saved = 8.0 * static_cast<double>(parameters) * (workers - 1) / workers;
    EXPECT_NEAR(static_cast<double>(whole - part), saved, 0.3 * saved) << workers;
  }
}

TEST(MemoryPlanTest, AmountsOfMemory) {
  try {
    SmallJob("{memory_limit: a lot}");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("expected an amount of memory such as 512MiB"));
  }
}

}  // namespace
}  // namespace ingot::train
