// ThreadTeam: threads that share the work of kernels, one loop at a time.
//
// A loop is opened by a store and closed by a store; helpers look for one for some microseconds,
// longer while the team is somebody's, and then sleep on a futex, so that an idle team uses no CPU.
// Indices are claimed one by one: a helper
// that the system has stopped holds up no more than the one index it works at.
//
// Each thread begins with a range of its own, the same part of every loop, and then takes from the
// others': kernels that follow each other find in the cache what the same thread wrote.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "ingot/runtime/team.h"

namespace ingot::runtime {

class ThreadTeam final : public Team {
 public:
  // The caller of a loop and threads - 1 helpers. Throws Error(kOutOfMemory) where the system has
  // no more threads.
  explicit ThreadTeam(size_t threads);
  ~ThreadTeam() override;
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  size_t threads() const override { return helpers_.size() + 1; }

  // Several threads may want the team at once: one has it, the others work alone.
  bool TryAcquire() {
    if (helpers_.empty()) return true;
    if (!busy_.try_lock()) return false;
    owned_.store(true, std::memory_order_relaxed);
    return true;
  }
  void Release() {
    if (helpers_.empty()) return;
    owned_.store(false, std::memory_order_relaxed);
    busy_.unlock();
  }

 protected:
  void Run(size_t count, Body body, const void* context) override;

 private:
  void Help(size_t thread);
  void Work(size_t thread);
  size_t RangeBegin(size_t thread) const { return count_ * thread / next_.size(); }
  void WaitForHelpers();
  void Stop();

  // The door of the loop at hand: whether it is open, whether its owner sleeps, helpers inside.
  static constexpr uint32_t kOpen = uint32_t{1} << 31;
  static constexpr uint32_t kOwnerSleeps = uint32_t{1} << 30;
  static constexpr uint32_t kInside = kOwnerSleeps - 1;

  // One line of the cache: where cores are far apart, each that has to be fetched costs a fraction
  // of a microsecond.
  alignas(64) Body body_ = nullptr;  // of the loop at hand, written while the door is shut
  const void* context_ = nullptr;
  size_t count_ = 0;
  std::atomic<uint32_t> door_{0};
  std::atomic<uint32_t> loops_{0};  // opened so far; what helpers wait for
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> owned_{false};  // more loops are likely to come soon

  // Of each thread's range, the next index that nobody has claimed.
  struct alignas(64) Next {
    std::atomic<size_t> index{0};
  };
  alignas(64) std::vector<Next> next_;

  std::exception_ptr error_;
  std::mutex error_mutex_;
  std::mutex busy_;
  std::vector<std::thread> helpers_;
};

}  // namespace ingot::runtime
