// LocalRounds: rounds of steps in which replicas of the model train apart, each on its part of
// every batch, and then become one again (train.sync local_sgd and diloco).
//
// The mean of the replicas is summed along a fixed tree over them, whoever computed which: what
// comes out depends on the number of replicas, and not on that of the processes, nor on which of
// them were lost on the way. A round that is broken off has changed nothing.
//
// Averaged are the parameters' changes, weighted with the samples, and the optimizer's state. Then
//   local_sgd   new = old + change
//   diloco      m = momentum * m - change
//               new = old - rate * (momentum * m - change), or old - rate * m without Nesterov
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/group_exchange.h"
#include "ingot/formats/bytes.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/train/engine_snapshot.h"
#include "ingot/train/setup.h"

namespace ingot::train {

class LocalRounds {
 public:
  using OnSums = std::function<void(int64_t step, std::span<const float> sums)>;
  // Runs `count` steps of a replica from `first` on in the engine.
  using RunSteps = std::function<runtime::StepResult(int replica, int64_t first, int64_t count,
                                                     const OnSums& on_sums)>;
  struct Outcome {
    // The replica and step where a number was not finite: the engine holds that replica. -1: none.
    int not_finite_replica = -1;
    runtime::StepResult not_finite;
  };

  // Both must outlive it.
  LocalRounds(const TrainingSetup& setup, runtime::StepEngine& engine);

  // From now on this process is `rank` of `size`; for GroupExchange::SetPlans.
  dist::ExchangePlan Join(int rank, int size);

  // The round of steps [first, end). The engine holds the state at its beginning, and afterwards
  // that at its end; where ExchangeBroken is thrown, again that at its beginning. `exchange` null:
  // there is but this process. `on_sums`: of each step over all replicas, at the end.
  Outcome Run(int64_t first, int64_t end, const RunSteps& run, dist::GroupExchange* exchange,
              const OnSums& on_sums);
  // Back to the beginning of the round, after a number that was not finite.
  void RestoreBeginning() { beginning_.Restore(engine_); }

  // The outer optimizer's state: for checkpoints, and for those who join.
  std::vector<formats::NamedTensor> State() const;
  // Throws Error(kInvalidInput) where a tensor is missing.
  void SetState(std::span<const formats::NamedTensor> tensors);

 private:
  enum class Kind { kTrained, kStatistic, kState };
  struct Entry {
    std::string name;
    Kind kind = Kind::kTrained;
    size_t segment = 0;
    DType dtype = DType::kF32;
    Shape shape;
    Tensor momentum;  // of diloco's parameters
  };

  void AddEntry(const std::string& name, Kind kind, const Shape& shape, DType dtype);
  dist::Codec CodecOfEntry(const Entry& entry) const;
  bool Finished(int replica) const { return finished_.count(replica) > 0; }
  runtime::StepResult RunReplica(int replica, int64_t first, int64_t end, const RunSteps& run,
                                 std::vector<std::byte>& contribution);
  void Contribute(double weight, std::vector<std::byte>& contribution) const;
  double WeightOf(int replica, int64_t first, int64_t end) const;
  void SumTree(dist::ShardRange replicas, std::byte* sum) const;
  void Apply();
  void DeriveCopies();

  const TrainingSetup& setup_;
  runtime::StepEngine& engine_;
  dist::ExchangePlan plan_;  // of the group
  dist::ShardRange own_;     // replicas
  std::vector<Entry> entries_;
  EngineSnapshot beginning_;  // of the round
  size_t sums_segment_ = 0;
  size_t sums_ = 0;                                 // of one step
  std::vector<std::byte> memory_;                   // what the plan places
  int64_t round_ = -1;                              // the first step of the round at hand
  std::map<int, std::vector<std::byte>> finished_;  // contributions to that, by replica
};

}  // namespace ingot::train
