// ComputeGate: lets at most so many batches compute at once, and shares the turns between models in
// proportion to their weights.
//
// Each model has a virtual time that moves by what its batches took, divided by its weight; of
// those that wait, the model furthest behind goes first (weighted fair queueing).
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

namespace ingot::serve {

class ComputeGate {
 public:
  explicit ComputeGate(int slots) : state_(std::make_shared<State>(slots)) {}

  // A model's account; outlives its turns.
  class Account {
   public:
    explicit Account(double weight) : weight_(weight > 0 ? weight : 1) {}

   private:
    friend class ComputeGate;
    const double weight_;
    double virtual_ns_ = 0;
  };

  // Takes a slot if one is free and nobody waits.
  bool TryEnter(Account& account) {
    const std::scoped_lock lock(state_->mutex);
    if (state_->free == 0 || !state_->waiting.empty()) return false;
    --state_->free;
    state_->CatchUp(account);
    return true;
  }

  // Waits for a slot.
  void Enter(Account& account) {
    State& state = *state_;
    std::unique_lock lock(state.mutex);
    state.CatchUp(account);
    if (state.free > 0 && state.waiting.empty()) {
      --state.free;
      return;
    }
    Waiter self{&account, false};
    const auto place = state.waiting.insert(state.waiting.end(), &self);
    state.Wake();
    state.changed.wait(lock, [&] { return self.admitted; });
    state.waiting.erase(place);
    state.Wake();
  }

  void Leave(Account& account, int64_t ns) {
    State& state = *state_;
    const std::scoped_lock lock(state.mutex);
    account.virtual_ns_ += static_cast<double>(ns) / account.weight_;
    state.now =
        std::max(state.now, account.virtual_ns_ - static_cast<double>(ns) / account.weight_);
    ++state.free;
    state.Wake();
  }

 private:
  struct Waiter {
    Account* account;
    bool admitted;
  };

  struct State {
    explicit State(int slots) : free(slots) {}

    // A model that did nothing for a while does not save up turns.
    void CatchUp(Account& account) const {
      account.virtual_ns_ = std::max(account.virtual_ns_, now);
    }

    void Wake() {
      while (free > 0) {
        Waiter* next = nullptr;
        for (Waiter* waiter : waiting) {
          if (waiter->admitted) continue;
          if (next == nullptr || waiter->account->virtual_ns_ < next->account->virtual_ns_) {
            next = waiter;
          }
        }
        if (next == nullptr) return;
        next->admitted = true;
        --free;
        changed.notify_all();
      }
    }

    std::mutex mutex;
    std::condition_variable changed;
    std::list<Waiter*> waiting;
    int free;
    double now = 0;
  };

  // Copies are the same gate: a thread that computes may outlive who made it by a moment.
  std::shared_ptr<State> state_;
};

}  // namespace ingot::serve
