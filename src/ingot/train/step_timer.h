// StepTimer: how long steps take, and how long threads spend on assembling batches.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "ingot/runtime/step_engine.h"
#include "ingot/runtime/telemetry.h"

namespace ingot::train {

// The times of the last 65,536 steps; the median of those. Add does not allocate.
class StepTimer {
 public:
  StepTimer();
  // Before the first step of a run of steps, so that the time between runs does not count.
  void Start();
  // After every step.
  void Lap();
  // Seconds; 0 without a step.
  double Median() const;
  double total_seconds() const { return total_; }

 private:
  std::vector<float> seconds_;  // a ring
  size_t next_ = 0;
  int64_t last_ = 0;
  double total_ = 0;
};

// Passes batches on, and measures those of every 16th step. Thread-safe.
class TimedSource : public runtime::BatchSource {
 public:
  // `source` must outlive it.
  // With `telemetry`, which must outlive it too, every batch is measured there as well.
  explicit TimedSource(const runtime::BatchSource& source, runtime::Telemetry* telemetry = nullptr);
  void Fill(int64_t step, int64_t first_sample, int64_t count,
            std::span<void* const> inputs) const override;
  // Seconds of all threads together, estimated for steps [first, next) from those that were
  // measured; 0 where none was.
  double Seconds(int64_t first, int64_t next) const;

 private:
  const runtime::BatchSource& source_;
  runtime::Telemetry* telemetry_;
  int item_ = 0;
  mutable std::atomic<int64_t> nanoseconds_ = 0;
};

}  // namespace ingot::train
