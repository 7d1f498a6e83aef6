// PipelinedExchange: exchanges whose sums nobody waits for at once. What a step gives is summed in
// the background, on a thread of its own, and given back `staleness` steps later, by which time it
// has usually come: so workers run ahead of the slowest by so many steps, and no further.
//
// The owners of the ranges that GroupExchange sums are a parameter server's shards: each takes the
// gradients of its range from all, and gives their sum to all. Who gets what, and when it counts,
// depends on the steps alone, and so the bits do not depend on how fast anyone is.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/group_exchange.h"
#include "ingot/runtime/exchange.h"

namespace ingot::dist {

// The steps of one round: [first, end) give, and [first + staleness, end + staleness) take.
struct PipelineSteps {
  int64_t first = 0;
  int64_t end = 0;
  int64_t staleness = 1;

  bool gives(int64_t step) const { return step >= first && step < end; }
  bool takes(int64_t step) const { return gives(step - staleness); }
};

class PipelinedExchange : public runtime::Exchange {
 public:
  // `plans`: those of the programs at hand, by the index of their tasks; all of the same size.
  // `exchange` has InnerPlans(plans) and must outlive it; null: this process is alone.
  PipelinedExchange(GroupExchange* exchange, std::vector<ExchangePlan> plans, PipelineSteps steps,
                    int rank);
  ~PipelinedExchange() override;

  // The same plans for memory of its own.
  static std::vector<ExchangePlan> InnerPlans(std::vector<ExchangePlan> plans, int rank);

  // Gives what `step` has summed, and takes what `step - staleness` came to; zeros where there is
  // nothing to take. Says whether this process has met a number that is not finite: it alone, and
  // so at the step that is at fault.
  bool Run(uint32_t index, int64_t step, std::byte* shared, bool not_finite) override;

 private:
  struct Slot {
    uint32_t index = 0;
    int64_t step = -1;
    bool done = false;
    bool not_finite = false;
    std::vector<std::byte> memory;
  };

  Slot& SlotOf(int64_t step) { return slots_[static_cast<size_t>(step) % slots_.size()]; }
  void Give(uint32_t index, int64_t step, const std::byte* shared, bool not_finite);
  void Take(const ExchangePlan& plan, int64_t step, std::byte* shared);
  void Work();
  void Sum(Slot& slot);

  GroupExchange* exchange_;
  const std::vector<ExchangePlan> plans_;
  const std::vector<ExchangePlan> inner_;
  const PipelineSteps steps_;
  const int rank_;
  std::vector<Slot> slots_;  // one more than are on their way at once
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::deque<Slot*> queue_;
  std::exception_ptr failed_;
  bool at_work_ = false;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace ingot::dist
