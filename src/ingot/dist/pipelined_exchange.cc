// Exchanges in the background: see pipelined_exchange.h.
#include "ingot/dist/pipelined_exchange.h"

#include <cstring>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::dist {

std::vector<ExchangePlan> PipelinedExchange::InnerPlans(std::vector<ExchangePlan> plans, int rank) {
  for (ExchangePlan& plan : plans) {
    plan.Place(0, rank);
    plan.copies.clear();
  }
  return plans;
}

PipelinedExchange::PipelinedExchange(GroupExchange* exchange, std::vector<ExchangePlan> plans,
                                     PipelineSteps steps, int rank)
    : exchange_(exchange),
      plans_(std::move(plans)),
      inner_(InnerPlans(plans_, rank)),
      steps_(steps),
      rank_(rank),
      slots_(static_cast<size_t>(steps.staleness) + 1) {
  for (const ExchangePlan& plan : plans_) {
    INGOT_ASSERT(plan.bytes == plans_[0].bytes, "all steps of a round sum the same values");
  }
  for (Slot& slot : slots_) slot.memory.resize(ExchangePlan(inner_[0]).Place(0, rank));
  if (exchange_ != nullptr) thread_ = std::thread([this] { Work(); });
}

PipelinedExchange::~PipelinedExchange() {
  bool busy = false;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    busy = !queue_.empty() || at_work_;
  }
  // After an error: the others wait for what will not come.
  if (busy) exchange_->Break("this worker leaves in the middle of a round");
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool PipelinedExchange::Run(uint32_t index, int64_t step, std::byte* shared, bool not_finite) {
  const ExchangePlan& plan = plans_[index];
  if (steps_.gives(step)) Give(index, step, shared, not_finite);
  if (steps_.takes(step)) {
    Take(plan, step - steps_.staleness, shared);
  } else {
    std::memset(shared + plan.reduced, 0, plan.bytes);
  }
  for (const ExchangePlan::Copy& copy : plan.copies) {
    std::memcpy(shared + copy.to, shared + copy.from, copy.bytes);
  }
  return not_finite;
}

void PipelinedExchange::Give(uint32_t index, int64_t step, const std::byte* shared,
                             bool not_finite) {
  const ExchangePlan& plan = plans_[index];
  const ExchangePlan& inner = inner_[index];
  Slot& slot = SlotOf(step);
  std::memcpy(slot.memory.data() + inner.partials, shared + plan.partials,
              static_cast<uint64_t>(plan.subtrees_of(rank_)) * plan.bytes);
  slot.index = index;
  slot.step = step;
  slot.not_finite = not_finite;
  slot.done = false;
  if (exchange_ == nullptr) {
    Sum(slot);
    slot.done = true;
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&slot);
  }
  changed_.notify_all();
}

void PipelinedExchange::Take(const ExchangePlan& plan, int64_t step, std::byte* shared) {
  Slot& slot = SlotOf(step);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return slot.done || failed_ != nullptr; });
    if (!slot.done) std::rethrow_exception(failed_);
  }
  INGOT_ASSERT(slot.step == step, "a slot was used again too early");
  std::memcpy(shared + plan.reduced, slot.memory.data() + inner_[slot.index].reduced, plan.bytes);
}

// The thread: what was given, in its order, which is the same on all workers.
void PipelinedExchange::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Slot& slot = *queue_.front();
    queue_.pop_front();
    at_work_ = true;
    lock.unlock();
    std::exception_ptr failed;
    try {
      Sum(slot);
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
    at_work_ = false;
    slot.done = failed == nullptr;
    failed_ = failed;
    changed_.notify_all();
    if (failed != nullptr) return;
  }
}

void PipelinedExchange::Sum(Slot& slot) {
  if (exchange_ != nullptr) {
    exchange_->Run(slot.index, slot.step, slot.memory.data(), slot.not_finite);
    return;
  }
  const ExchangePlan& plan = inner_[slot.index];
  std::memcpy(slot.memory.data() + plan.reduced, slot.memory.data() + plan.partials, plan.bytes);
}

}  // namespace ingot::dist
