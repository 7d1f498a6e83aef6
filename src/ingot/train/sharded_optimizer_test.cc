// Steps whose workers each update a part of the parameters and hold that part of the optimizer's
// state alone: the bits of one process, for every optimizer and what goes with it, and the bytes
// that each worker holds. The workers are threads.
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/group_exchange.h"
#include "ingot/dist/local_transport_test_util.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {
namespace {

constexpr int64_t kSteps = 4;
constexpr float kRate = 0.05f;

struct Case {
  std::string name;
  std::string optimizer = "adam";
  double clip_norm = 0;
  double average = 0;
  int64_t accumulate = 1;
  DType mixed = DType::kUndefined;
  std::string layers = "[{dense: 40}, relu, {dense: 24}, relu, {dense: 3}]";
  int threads = 1;
};

StepGraph Build(const Case& test) {
  nn::OptimizerOptions options = nn::ReadOptimizer(ParseConfig(test.optimizer, "optimizer"));
  options.clip_norm = test.clip_norm;
  options.average_decay = test.average;
  MixedPrecision mixed;
  mixed.type = test.mixed;
  mixed.loss_scale = 1024;
  const StepTestNetwork network = {test.name, test.layers, "softmax_cross_entropy", "[accuracy]",
                                   Shape{20}};
  return BuildStepGraph(BuildStepTestNetwork(network, DType::kF32), options, 24, 8, StepTestOps(),
                        DType::kF32, mixed, test.accumulate);
}

struct Outcome {
  std::map<std::string, Tensor> states;  // brought together
  std::vector<std::vector<double>> sums;
  std::vector<uint64_t> state_bytes;  // that each rank holds besides what shards read
  std::vector<uint64_t> sent;
  std::vector<runtime::StepResult> results;
};

// The steps on threads that exchange messages; `exclusive` false: every worker updates everything.
Outcome RunWorkers(const StepGraph& step, const StepTestData& data, int workers, const Case& test,
                   bool exclusive = true, int poisoned = -1) {
  const auto base = compiler::CompileStep(*step.graph, StepTestOps());
  const dist::Ownership ownership = dist::DealUpdates(*base, workers);
  const auto wire = std::make_shared<dist::LocalWire>();
  Outcome all;
  for (const auto& [name, tensor] : InitialStates(step)) {
    all.states.emplace(name, Tensor(tensor.dtype(), tensor.shape()));
  }
  const auto count = static_cast<size_t>(workers);
  all.state_bytes.resize(count);
  all.sent.resize(count);
  all.results.resize(count);
  std::set<std::string> known;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < workers; ++rank) {
    threads.emplace_back([&, rank] {
      dist::DistributedOptions options;
      options.rank = rank;
      options.workers = workers;
      if (exclusive) options.ownership = &ownership;
      dist::ExchangePlans plans;
      const auto program = dist::MakeDistributedProgram(base, options, plans);
      runtime::StepEngine engine({program}, test.threads);
      for (size_t i = 0; i < base->states.size(); ++i) {
        const runtime::StateTensor& part = program->states[i];
        const Tensor whole = InitialStates(step).at(part.name);
        Tensor own(part.dtype, part.shape);
        if (own.bytes() > 0) {
          std::memcpy(own.raw(),
                      whole.raw() + static_cast<size_t>(part.first) * ItemSize(part.dtype),
                      own.bytes());
        }
        if (rank == poisoned && part.name == "layers.0.weight.m") {
          own.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
        }
        engine.WriteState(part.name, own);
      }
      dist::GroupExchange exchange(std::make_unique<dist::LocalTransport>(wire, rank), rank,
                                   workers);
      exchange.SetPlans(std::move(plans));
      StepTestOutcome outcome;
      runtime::StepRequest request = StepTestRequest(step, compiler::PlanOf(*base), data, kSteps,
                                                     kRate, outcome, test.accumulate);
      request.exchange = &exchange;
      const runtime::StepResult result = engine.Run(request);
      const std::lock_guard lock(mutex);
      const auto at = static_cast<size_t>(rank);
      all.results[at] = result;
      all.sent[at] = exchange.bytes_sent();
      if (rank == 0) all.sums = outcome.sums;
      for (const runtime::StateTensor& part : program->states) {
        const Tensor own = engine.ReadState(part.name);
        if (!part.versioned) all.state_bytes[at] += own.bytes();
        if (own.bytes() == 0) continue;
        Tensor& whole = all.states.at(part.name);
        std::byte* to = whole.raw() + static_cast<size_t>(part.first) * ItemSize(part.dtype);
        // What several hold is the same everywhere.
        if (own.bytes() == whole.bytes() && !known.insert(part.name).second) {
          EXPECT_EQ(std::memcmp(to, own.raw(), own.bytes()), 0) << part.name << " on " << rank;
        }
        std::memcpy(to, own.raw(), own.bytes());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return all;
}

void ExpectBitsOfOne(const Case& test, const std::vector<int>& counts) {
  const StepGraph step = Build(test);
  const StepTestData data(*step.graph, 3, kSteps);
  const StepTestOutcome alone = RunSteps(step, data, kSteps, kRate, 1, {}, test.accumulate);
  for (const int workers : counts) {
    const Outcome outcome = RunWorkers(step, data, workers, test);
    const std::string what = test.name + ", " + std::to_string(workers) + " workers";
    EXPECT_EQ(outcome.sums, alone.sums) << what;
    for (const auto& [name, tensor] : alone.states) {
      const Tensor& other = outcome.states.at(name);
      ASSERT_EQ(other.bytes(), tensor.bytes()) << what << ": " << name;
      EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()), 0) << what << ": " << name;
    }
  }
}

TEST(ShardedOptimizerTest, EveryOptimizerHasTheBitsOfOneProcess) {
  for (const nn::OptimizerKind& kind : nn::OptimizerKinds()) {
    Case test;
    test.name = test.optimizer = kind.name;
    ExpectBitsOfOne(test, {2, 3, 4, 7});
  }
}

TEST(ShardedOptimizerTest, WhatGoesWithAnOptimizer) {
  for (const std::string optimizer : {"adamw", "sgd: {momentum: 0.9}", "lamb", "muon"}) {
    std::vector<Case> cases(7);
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

TEST(ShardedOptimizerTest, GradientsThatMeetInSeveralStages) {
  Case test;
  test.name = "batch_norm";
  test.layers = "[{dense: 40}, batch_norm, relu, {dense: 24}, batch_norm, relu, {dense: 3}]";
  for (const double clip : {0.0, 0.05}) {
    test.clip_norm = clip;
    ExpectBitsOfOne(test, {2, 3, 7});
  }
}

// Adam's moments, 8 bytes a parameter, and nothing else is updated in place.
TEST(ShardedOptimizerTest, EachWorkerHoldsItsPartOfTheStateAlone) {
  const Case test;
  const StepGraph step = Build(test);
  const StepTestData data(*step.graph, 3, kSteps);
  uint64_t parameters = 0;
  for (const nn::ParameterSpec& p : step.parameters) {
    parameters += static_cast<uint64_t>(p.shape.size());
  }
  for (const int workers : {2, 4, 7}) {
    const Outcome whole = RunWorkers(step, data, workers, test, false);
    const Outcome parts = RunWorkers(step, data, workers, test);
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
    Case test;
    test.optimizer = optimizer;
    test.layers = "[{dense: 200}, relu, {dense: 200}, relu, {dense: 3}]";
    const StepGraph step = Build(test);
    const StepTestData data(*step.graph, 3, kSteps);
    uint64_t bytes = 0;
    for (const nn::ParameterSpec& p : step.parameters) {
      bytes += static_cast<uint64_t>(p.shape.size()) * sizeof(float);
    }
    for (const int workers : {2, 4, 8}) {
      uint64_t sent = 0;
      for (const uint64_t by : RunWorkers(step, data, workers, test).sent) sent += by;
      const double ring = 2.0 * (workers - 1) * static_cast<double>(bytes) * kSteps;
      EXPECT_LE(static_cast<double>(sent), 1.05 * ring) << optimizer << ", " << workers;
    }
  }
}

// What one worker finds in its part ends the step on all of them, before a next one begins.
TEST(ShardedOptimizerTest, AllLearnThatOneMetNaN) {
  const Case test;
  const StepGraph step = Build(test);
  const StepTestData data(*step.graph, 3, kSteps);
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
    Case test;
    test.optimizer = optimizer;
    const StepGraph step = Build(test);
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
