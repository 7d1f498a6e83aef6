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
#include <mutex>

namespace ingot::serve {

class ComputeGate {
 public:
  explicit ComputeGate(int slots) : free_(slots) {}

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
    const std::scoped_lock lock(mutex_);
    if (free_ == 0 || !waiting_.empty()) return false;
    --free_;
    CatchUp(account);
    return true;
  }

  // Waits for a slot.
  void Enter(Account& account) {
    std::unique_lock lock(mutex_);
    CatchUp(account);
    if (free_ > 0 && waiting_.empty()) {
      --free_;
      return;
    }
    Waiter self{&account, false};
    const auto place = waiting_.insert(waiting_.end(), &self);
    Wake();
    changed_.wait(lock, [&] { return self.admitted; });
    waiting_.erase(place);
    Wake();
  }

  void Leave(Account& account, int64_t ns) {
    const std::scoped_lock lock(mutex_);
    account.virtual_ns_ += static_cast<double>(ns) / account.weight_;
    now_ = std::max(now_, account.virtual_ns_ - static_cast<double>(ns) / account.weight_);
    ++free_;
    Wake();
  }

 private:
  struct Waiter {
    Account* account;
    bool admitted;
  };

  // A model that did nothing for a while does not save up turns.
  void CatchUp(Account& account) { account.virtual_ns_ = std::max(account.virtual_ns_, now_); }

  void Wake() {
    while (free_ > 0) {
      Waiter* next = nullptr;
      for (Waiter* waiter : waiting_) {
        if (waiter->admitted) continue;
        if (next == nullptr || waiter->account->virtual_ns_ < next->account->virtual_ns_) {
          next = waiter;
        }
      }
      if (next == nullptr) return;
      next->admitted = true;
      --free_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Waiter*> waiting_;
  int free_;
  double now_ = 0;
};

}  // namespace ingot::serve
