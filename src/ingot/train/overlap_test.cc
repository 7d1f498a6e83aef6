// Gradients that are exchanged in the background while others are computed: what goes out before
// what exists, told by the order of events, and the bits of one process.
#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/dist/buckets.h"
#include "ingot/train/worker_threads_test_util.h"

namespace ingot::train {
namespace {

using Events = std::vector<std::string>;

std::ptrdiff_t First(const Events& events, const std::string& what, std::ptrdiff_t from = 0) {
  return std::find(events.begin() + from, events.end(), what) - events.begin();
}

Events EventsOf(const WorkerCase& test, bool exclusive) {
  const StepGraph step = BuildWorkerStep(test);
  const StepTestData data(*step.graph, 3, kWorkerSteps);
  WorkerEvents events;
  RunWorkers(step, data, 2, test, exclusive, -1, &events);
  return events.events();
}

TEST(OverlapTest, TheLastLayersGradientsGoOutBeforeTheFirstOnesExist) {
  for (const bool exclusive : {false, true}) {
    WorkerCase test;
    test.layers = "[{dense: 40}, relu, {dense: 40}, relu, {dense: 40}, relu, {dense: 3}]";
    test.bucket_bytes = 256;
    const Events events = EventsOf(test, exclusive);
    const auto end = static_cast<std::ptrdiff_t>(events.size());
    const std::string what = testing::PrintToString(events);
    // Of the first step: last layers, a message, the layer before, a message, the first layer.
    const auto last = First(events, "sum layers.6.weight");
    const auto sent = First(events, "send");
    const auto middle = First(events, "sum layers.2.weight");
    const auto sent_next = First(events, "send", std::min(middle, end));
    const auto first = First(events, "sum layers.0.weight");
    EXPECT_LT(last, sent) << what;
    EXPECT_LT(sent, middle) << what;
    EXPECT_LT(middle, sent_next) << what;
    EXPECT_LT(sent_next, first) << what;
    EXPECT_LT(first, end) << what;
  }
}

TEST(OverlapTest, SmallModelsExchangeOnce) {
  const WorkerCase test;
  const Events events = EventsOf(test, false);
  const auto first = First(events, "sum layers.0.weight");
  ASSERT_LT(first, static_cast<std::ptrdiff_t>(events.size()));
  EXPECT_LT(first, First(events, "send"));
}

TEST(OverlapTest, HasTheBitsOfOneProcess) {
  WorkerCase test;
  test.bucket_bytes = 256;
  for (const std::string optimizer : {"adam", "lamb", "muon"}) {
    test.optimizer = test.name = optimizer;
    for (const double clip : {0.0, 0.05}) {
      test.clip_norm = clip;
      for (const int threads : {1, 3}) {
        test.threads = threads;
        ExpectBitsOfOne(test, {2, 3, 4, 7}, false);
      }
    }
  }
  test.optimizer = "adam";
  test.layers = "[{dense: 40}, batch_norm, relu, {dense: 24}, batch_norm, relu, {dense: 3}]";
  ExpectBitsOfOne(test, {2, 3, 7}, false);
}

TEST(BucketsTest, HoldTheLastLayersFirst) {
  const WorkerCase test;
  const StepGraph step = BuildWorkerStep(test);
  const auto program = compiler::CompileStep(*step.graph, StepTestOps());
  const dist::Buckets none = dist::MakeBuckets(*program);
  EXPECT_EQ(none.count(), 0u);
  const dist::Buckets buckets = dist::MakeBuckets(*program, 256);
  EXPECT_GE(buckets.count(), 2u);
  EXPECT_LE(buckets.count(), 8u);
  std::vector<int> of_state(program->states.size(), -1);
  for (size_t u = 0; u < program->units.size(); ++u) {
    const int state = dist::StateOfSum(*program, u);
    if (state >= 0 && buckets.of_unit[u] >= 0) {
      of_state[static_cast<size_t>(state)] = buckets.of_unit[u];
    }
  }
  int last = 1000;
  for (const nn::ParameterSpec& parameter : step.parameters) {
    for (size_t i = 0; i < of_state.size(); ++i) {
      if (program->states[i].name != parameter.name || of_state[i] < 0) continue;
      EXPECT_LE(of_state[i], last) << parameter.name;
      last = of_state[i];
    }
  }
}

}  // namespace
}  // namespace ingot::train
