// What a client may ask of the server, and the memory that requests in flight share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ingot::serve {

struct NetLimits {
  size_t header_bytes = 32 << 10;
  uint64_t body_bytes = 256ULL << 20;
  // Bodies of all requests in flight together; and so much again for answers that their clients
  // have not taken yet, so that slow readers do not take the memory that requests need.
  int64_t memory_bytes = 1LL << 30;
  int connections = 10'000;  // of the whole server
  int streams = 256;         // at once on one HTTP/2 connection
  int header_seconds = 10;   // from the first byte of a head to its end
  int idle_seconds = 120;    // between requests
  int body_seconds = 30;     // without a byte
  int write_seconds = 30;    // in which the client takes nothing
  // A body, or an answer over HTTP/1, that moves more slowly than this over its whole time is cut
  // off; an answer over HTTP/2 only where it stands still.
  uint64_t least_bytes_per_second = 512;

  // Whether so many bytes in so many seconds are too few.
  bool TooSlow(int64_t seconds, uint64_t bytes) const {
    return seconds > body_seconds &&
           bytes / static_cast<uint64_t>(seconds) < least_bytes_per_second;
  }
};

// Safe for use by several threads.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes) : left_(bytes) {}
  bool TryTake(int64_t bytes) {
    if (left_.fetch_sub(bytes, std::memory_order_relaxed) >= bytes) return true;
    left_.fetch_add(bytes, std::memory_order_relaxed);
    return false;
  }
  void Give(int64_t bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }
  int64_t left() const { return left_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> left_;
};

// A body's share of the budget, given back with this.
class MemoryShare {
 public:
  explicit MemoryShare(MemoryBudget& budget) : budget_(budget) {}
  ~MemoryShare() { Clear(); }
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  // Makes the share at least so large.
  bool Grow(int64_t bytes) {
    if (bytes <= taken_) return true;
    // In steps, so that a body in small pieces asks rarely.
    const int64_t step = bytes - taken_ < kStep ? kStep : bytes - taken_;
    if (!budget_.TryTake(step)) return false;
    taken_ += step;
    return true;
  }
  void Clear() {
    if (taken_ > 0) budget_.Give(taken_);
    taken_ = 0;
  }

 private:
  static constexpr int64_t kStep = 16 << 10;
  MemoryBudget& budget_;
  int64_t taken_ = 0;
};

}  // namespace ingot::serve
