// StageTimes: how long the stages of assembling samples take: reading, each augmentation,
// converting.
//
// One sample in 16 is measured, on whatever thread assembles it; times are scaled up to all. Safe
// from any thread; nothing is allocated but when stages are declared.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::data {

struct StageTime {
  std::string name;    // "read", "colour_jitter", "convert", "mix"
  double seconds = 0;  // of all threads together
};

class StageTimes {
 public:
  explicit StageTimes(std::vector<std::string> names);

  // Counts a sample; whether it is one to be measured.
  bool CountSample();
  void Add(std::string_view stage, int64_t nanoseconds);

  int64_t samples() const { return samples_.load(std::memory_order_relaxed); }
  // All stages in their order, of all samples so far.
  std::vector<StageTime> Report() const;

 private:
  std::vector<std::string> names_;
  std::unique_ptr<std::atomic<int64_t>[]> nanoseconds_;
  std::atomic<int64_t> samples_ = 0;
};

// The stages of one sample, one after another.
class StageLap {
 public:
  explicit StageLap(StageTimes& times);
  // What was done since the lap or the stage before began belongs to `stage`.
  void End(std::string_view stage);

 private:
  StageTimes& times_;
  int64_t since_;
};

}  // namespace ingot::data
