// Steps whose workers each update a part of the parameters and hold that part of the optimizer's
// state alone: the bits of one process, for every optimizer and what goes with it, and the bytes
// that each worker holds. The workers are threads.
#include <string>

#include <gtest/gtest.h>

#include "ingot/train/worker_threads_test_util.h"

namespace ingot::train {
namespace {

TEST(ShardedOptimizerTest, EveryOptimizerHasTheBitsOfOneProcess) {
  for (const nn::OptimizerKind& kind : nn::OptimizerKinds()) {
    WorkerCase test;
    test.name = test.optimizer = kind.name;
    ExpectBitsOfOne(test, {2, 3, 4, 7});
  }
}

TEST(ShardedOptimizerTest, WhatGoesWithAnOptimizer) {
  for (const std::string optimizer : {"adamw", "sgd: {momentum: 0.9}", "lamb", "muon"}) {
    std::vector<WorkerCase> cases(7);
    cases[0].clip_norm = 0.05;
    cases[1].average = 0.9;
    cases[2].accumulate = 2;
    cases[3].mixed = DType::kBf16;
    cases[4].mixed = DType::kF16;
    cases[5].accumulate = 2;
    cases[5].clip_norm = 0.05;
    cases[5].average = 0.9;
    cases[6].threads = 3;
    for (size_t i = 0; i < cases.size(); ++i) {
      cases[i].optimizer = optimizer;
      cases[i].name = optimizer + " " + std::to_string(i);
      ExpectBitsOfOne(cases[i], {2, 3});
    }
  }
}

TEST(ShardedOptimizerTest, GradientsThatMeetInSeveralBuckets) {
  for (const std::string optimizer : {"adamw", "lamb", "muon"}) {
    WorkerCase test;
    test.optimizer = test.name = optimizer;
    test.bucket_bytes = 256;
    for (const double clip : {0.0, 0.05}) {
      test.clip_norm = clip;
      for (const int64_t accumulate : {1, 2}) {
        test.accumulate = accumulate;
        ExpectBitsOfOne(test, {2, 3, 7});
      }
    }
  }
}

TEST(ShardedOptimizerTest, GradientsThatMeetInSeveralStages) {
  for (const std::string optimizer : {"adam", "lamb", "lars", "muon"}) {
    WorkerCase test;
    test.optimizer = optimizer;
    test.name = optimizer + " with batch_norm";
    test.layers = "[{dense: 40}, batch_norm, relu, {dense: 24}, batch_norm, relu, {dense: 3}]";
    for (const double clip : {0.0, 0.05}) {
      test.clip_norm = clip;
      for (const uint64_t bucket_bytes : {uint64_t{256}, dist::kBucketBytes}) {
        test.bucket_bytes = bucket_bytes;
        ExpectBitsOfOne(test, {2, 3, 7});
      }
    }
    ExpectBitsOfOne(test, {2, 3, 7}, false);
    test.accumulate = 2;
    test.average = 0.9;
    test.threads = 3;
    ExpectBitsOfOne(test, {2, 3});
    ExpectBitsOfOne(test, {2, 3}, false);
  }
}

// Adam's moments, 8 bytes a parameter, and nothing else is updated in place.
TEST(ShardedOptimizerTest, EachWorkerHoldsItsPartOfTheStateAlone) {
  const WorkerCase test;
  const StepGraph step = BuildWorkerStep(test);
  const StepTestData data(*step.graph, 3, kWorkerSteps);
  uint64_t parameters = 0;
  for (const nn::ParameterSpec& p : step.parameters) {
    parameters += static_cast<uint64_t>(p.shape.size());
  }
  for (const int workers : {2, 4, 7}) {
    const WorkerOutcome whole = RunWorkers(step, data, workers, test, false);
    const WorkerOutcome parts = RunWorkers(step, data, workers, test);
    uint64_t sum = 0;
    for (const uint64_t bytes : whole.state_bytes) EXPECT_EQ(bytes, 8 * parameters);
    for (const uint64_t bytes : parts.state_bytes) {
      // Cuts lie at lines of 64 bytes.
      EXPECT_LE(bytes, 8 * parameters / static_cast<uint64_t>(workers) + 2 * 64);
      sum += bytes;
    }
    EXPECT_EQ(sum, 8 * parameters) << workers;
  }
}

// Gradients go to one worker and weights come from one: no more bytes than where gradients go
// there and back.
TEST(ShardedOptimizerTest, SendsWhatARingSends) {
  for (const std::string optimizer : {"adam", "lamb"}) {
    WorkerCase test;
    test.optimizer = optimizer;
    test.layers = "[{dense: 200}, relu, {dense: 200}, relu, {dense: 3}]";
    const StepGraph step = BuildWorkerStep(test);
    const StepTestData data(*step.graph, 3, kWorkerSteps);
    uint64_t bytes = 0;
    for (const nn::ParameterSpec& p : step.parameters) {
      bytes += static_cast<uint64_t>(p.shape.size()) * sizeof(float);
    }
    for (const int workers : {2, 4, 8}) {
      uint64_t sent = 0;
      for (const uint64_t by : RunWorkers(step, data, workers, test).sent) sent += by;
      const double ring = 2.0 * (workers - 1) * static_cast<double>(bytes) * kWorkerSteps;
      EXPECT_LE(static_cast<double>(sent), 1.05 * ring) << optimizer << ", " << workers;
    }
  }
}

// What one worker finds in its part ends the step on all of them, before a next one begins.
TEST(ShardedOptimizerTest, AllLearnThatOneMetNaN) {
  const WorkerCase test;
  const StepGraph step = BuildWorkerStep(test);
  const StepTestData data(*step.graph, 3, kWorkerSteps);
  for (const int poisoned : {0, 1}) {
    for (const runtime::StepResult& result :
         RunWorkers(step, data, 3, test, true, poisoned).results) {
      EXPECT_TRUE(result.not_finite);
      EXPECT_TRUE(result.state_touched);
      EXPECT_EQ(result.next_step, 0);
    }
  }
}

TEST(OwnershipTest, CutsAnywhereOrBetweenParameters) {
  for (const std::string optimizer : {"adam", "lamb", "lars", "muon"}) {
    WorkerCase test;
    test.optimizer = optimizer;
    const StepGraph step = BuildWorkerStep(test);
    const auto program = compiler::CompileStep(*step.graph, StepTestOps());
    const dist::Ownership ownership = dist::DealUpdates(*program, 3);
    int cut = 0;
    for (const dist::UpdateGroup& group : ownership.groups) {
      int owners = 0;
      int64_t at = 0;
      for (const dist::ElementRange& own : group.own) {
        if (own.size() == 0) continue;
        EXPECT_EQ(own.begin, at);
        at = own.end;
        ++owners;
      }
      EXPECT_EQ(at, group.elements);
      EXPECT_TRUE(!group.whole || owners == 1);
      cut += owners > 1 ? 1 : 0;
    }
    EXPECT_EQ(ownership.groups.size(), 6u);
    if (optimizer == "adam") {
      EXPECT_GT(cut, 0);
    } else if (optimizer != "muon") {
      EXPECT_EQ(cut, 0) << optimizer;
    }
  }
}

}  // namespace
}  // namespace ingot::train
