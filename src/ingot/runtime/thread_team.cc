// The protocol of ThreadTeam.
#include "ingot/runtime/thread_team.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include <pthread.h>

#include "ingot/base/error.h"
#include "ingot/runtime/futex.h"

namespace ingot::runtime {
namespace {

// How often a waiting thread looks before it sleeps; a look takes some 30 nanoseconds. To be woken
// takes tens of microseconds, for which the others do its work: so a helper outlasts what a network
// computes on one thread between two loops, and the owner an index of another's. Between two runs,
// a helper waits for about as long as the next request of a client takes that waits for each.
constexpr int kLooksOfOwner = 3000;
constexpr int kLooksWhenOwned = 6000;
constexpr int kLooksOtherwise = 1500;

}  // namespace

ThreadTeam::ThreadTeam(size_t threads) : next_(std::max<size_t>(threads, 1)) {
  try {
    for (size_t t = 1; t < threads; ++t) helpers_.emplace_back([this, t] { Help(t); });
  } catch (const std::system_error& error) {
    const size_t started = helpers_.size();
    Stop();
    throw Error(ErrorCode::kOutOfMemory,
                "cannot start thread " + std::to_string(started + 2) + " of " +
                    std::to_string(threads) + ": " + error.code().message(),
                "use fewer threads, or raise the limit on processes (ulimit -u)");
  }
}

ThreadTeam::~ThreadTeam() {
  Stop();
}

void ThreadTeam::Stop() {
  stopping_.store(true);
  loops_.fetch_add(1);
  FutexWakeAll(loops_);
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadTeam::Run(size_t count, Body body, const void* context) {
  if (helpers_.empty() || count <= 1) {
    for (size_t i = 0; i < count; ++i) body(context, i, 0);
    return;
  }
  body_ = body;
  context_ = context;
  count_ = count;
  for (size_t t = 0; t < next_.size(); ++t) {
    next_[t].index.store(RangeBegin(t), std::memory_order_relaxed);
  }
  door_.fetch_or(kOpen, std::memory_order_release);
  loops_.fetch_add(1);
  if (sleepers_.load() > 0) FutexWakeAll(loops_);
  Work(0);
  WaitForHelpers();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

// Whoever fails lets the others find nothing more to do.
void ThreadTeam::Work(size_t thread) {
  const size_t threads = next_.size();
  try {
    for (size_t i = 0; i < threads; ++i) {
      const size_t owner = (thread + i) % threads;
      const size_t end = RangeBegin(owner + 1);
      std::atomic<size_t>& next = next_[owner].index;
      // A look first: who is done does not take the line away from who still claims.
      while (next.load(std::memory_order_relaxed) < end) {
        const size_t index = next.fetch_add(1, std::memory_order_relaxed);
        if (index < end) body_(context_, index, thread);
      }
    }
  } catch (...) {
    for (Next& next : next_) next.index.store(count_, std::memory_order_relaxed);
    const std::lock_guard<std::mutex> lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadTeam::WaitForHelpers() {
  uint32_t door = door_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  for (int look = 0; (door & kInside) != 0; ++look) {
    if (look < kLooksOfOwner) {
      PauseSpin();
      door = door_.load(std::memory_order_acquire);
      continue;
    }
    door = door_.fetch_or(kOwnerSleeps) | kOwnerSleeps;
    if ((door & kInside) != 0) FutexWait(door_, door, 0);
    door = door_.fetch_and(~kOwnerSleeps, std::memory_order_acq_rel) & ~kOwnerSleeps;
  }
}

void ThreadTeam::Help(size_t thread) {
  ::pthread_setname_np(::pthread_self(), "ingot-team");
  uint32_t seen = 0;
  while (true) {
    for (int look = 0; loops_.load(std::memory_order_acquire) == seen; ++look) {
      const bool owned = owned_.load(std::memory_order_relaxed);
      if (look < (owned ? kLooksWhenOwned : kLooksOtherwise)) {
        PauseSpin();
        continue;
      }
      sleepers_.fetch_add(1);
      FutexWait(loops_, seen, 0);
      sleepers_.fetch_sub(1);
    }
    seen = loops_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    if ((door_.fetch_add(1, std::memory_order_acq_rel) & kOpen) != 0) Work(thread);
    const uint32_t before = door_.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & kOwnerSleeps) != 0 && (before & kInside) == 1) FutexWakeAll(door_);
  }
}

}  // namespace ingot::runtime
