// Steps of small jobs on several workers that are threads, for tests: what each holds, sends and
// does in which order, and that the bits are those of one process.
#pragma once

#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/dist/distributed_program.h"
#include "ingot/dist/group_exchange.h"
#include "ingot/dist/local_transport_test_util.h"
#include "ingot/dist/sum_segments.h"
#include "ingot/train/step_program_test_util.h"

namespace ingot::train {

inline constexpr int64_t kWorkerSteps = 4;
inline constexpr float kWorkerRate = 0.05f;

struct WorkerCase {
  std::string name;
  std::string optimizer = "adam";
  double clip_norm = 0;
  double average = 0;
  int64_t accumulate = 1;
  DType mixed = DType::kUndefined;
  std::string layers = "[{dense: 40}, relu, {dense: 24}, relu, {dense: 3}]";
  int threads = 1;
  uint64_t bucket_bytes = dist::kBucketBytes;
};

inline StepGraph BuildWorkerStep(const WorkerCase& test) {
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

// What rank 0 does, in order: "sum NAME" (its shards' part of a gradient), "send".
class WorkerEvents {
 public:
  void Add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    events_.push_back(what);
  }
  const std::vector<std::string>& events() const { return events_; }

 private:
  std::mutex mutex_;
  std::vector<std::string> events_;
};

class RecordingKernel : public runtime::ReduceKernel {
 public:
  RecordingKernel(std::shared_ptr<const runtime::ReduceKernel> inner, std::string name,
                  WorkerEvents& events)
      : inner_(std::move(inner)), name_(std::move(name)), events_(events) {}
  void Run(std::span<const std::span<const runtime::ShardValue>> inputs, int64_t begin, int64_t end,
           std::byte* out, std::byte* scratch) const override {
    inner_->Run(inputs, begin, end, out, scratch);
    events_.Add("sum " + name_);
  }
  size_t scratch_bytes() const override { return inner_->scratch_bytes(); }
  std::string name() const override { return inner_->name(); }

 private:
  std::shared_ptr<const runtime::ReduceKernel> inner_;
  std::string name_;
  WorkerEvents& events_;
};

class RecordingTransport : public dist::LocalTransport {
 public:
  RecordingTransport(std::shared_ptr<dist::LocalWire> wire, int rank, WorkerEvents& events)
      : LocalTransport(std::move(wire), rank), events_(events) {}
  std::unique_ptr<dist::Message> Send(int peer, uint64_t tag, const void* data,
                                      size_t bytes) override {
    events_.Add("send");
    return LocalTransport::Send(peer, tag, data, bytes);
  }

 private:
  WorkerEvents& events_;
};

struct WorkerOutcome {
  std::map<std::string, Tensor> states;  // brought together
  std::vector<std::vector<double>> sums;
  std::vector<uint64_t> state_bytes;  // that each rank holds besides what shards read
  std::vector<uint64_t> sent;
  std::vector<runtime::StepResult> results;
};

// The steps on threads that exchange messages; `exclusive` false: every worker updates everything.
inline WorkerOutcome RunWorkers(const StepGraph& step, const StepTestData& data, int workers,
                                const WorkerCase& test, bool exclusive = true, int poisoned = -1,
                                WorkerEvents* events = nullptr) {
  const auto compiled = compiler::CompileStep(*step.graph, StepTestOps());
  const dist::Ownership ownership = dist::DealUpdates(*compiled, workers, test.bucket_bytes);
  const auto wire = std::make_shared<dist::LocalWire>();
  WorkerOutcome all;
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
      const auto base = std::make_shared<runtime::StepProgram>(*compiled);
      WorkerEvents others;
      WorkerEvents& own_events = events != nullptr && rank == 0 ? *events : others;
      for (size_t i = 0; i < base->units.size(); ++i) {
        runtime::ReduceUnit& unit = base->units[i];
        if (unit.kernel == nullptr) continue;
        unit.kernel =
            std::make_shared<RecordingKernel>(unit.kernel, dist::NameOfSum(*base, i), own_events);
      }
      dist::DistributedOptions options;
      options.rank = rank;
      options.workers = workers;
      options.buckets = &ownership.buckets;
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
      dist::GroupExchange exchange(std::make_unique<RecordingTransport>(wire, rank, own_events),
                                   rank, workers);
      exchange.SetPlans(std::move(plans));
      StepTestOutcome outcome;
      runtime::StepRequest request =
          StepTestRequest(step, compiler::PlanOf(*compiled), data, kWorkerSteps, kWorkerRate,
                          outcome, test.accumulate);
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

inline void ExpectBitsOfOne(const WorkerCase& test, const std::vector<int>& counts,
                            bool exclusive = true) {
  const StepGraph step = BuildWorkerStep(test);
  const StepTestData data(*step.graph, 3, kWorkerSteps);
  const StepTestOutcome alone =
      RunSteps(step, data, kWorkerSteps, kWorkerRate, 1, {}, test.accumulate);
  for (const int workers : counts) {
    const WorkerOutcome outcome = RunWorkers(step, data, workers, test, exclusive);
    const std::string what = test.name + ", " + std::to_string(workers) + " workers";
    EXPECT_EQ(outcome.sums, alone.sums) << what;
    for (const auto& [name, tensor] : alone.states) {
      const Tensor& other = outcome.states.at(name);
      ASSERT_EQ(other.bytes(), tensor.bytes()) << what << ": " << name;
      EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()), 0) << what << ": " << name;
    }
  }
}

}  // namespace ingot::train
