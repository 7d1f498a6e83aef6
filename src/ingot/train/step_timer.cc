// StepTimer: see step_timer.h.
#include "ingot/train/step_timer.h"

#include <algorithm>

#include "ingot/base/clock.h"

namespace ingot::train {
namespace {

constexpr size_t kSteps = 65'536;
constexpr int64_t kEvery = 16;

}  // namespace

StepTimer::StepTimer() {
  seconds_.reserve(kSteps);
}

void StepTimer::Start() {
  last_ = MonotonicNanoseconds();
}

void StepTimer::Lap() {
  const int64_t now = MonotonicNanoseconds();
  const double seconds = 1e-9 * static_cast<double>(now - last_);
  last_ = now;
  total_ += seconds;
  if (seconds_.size() < kSteps) {
    seconds_.push_back(static_cast<float>(seconds));
  } else {
    seconds_[next_++ % kSteps] = static_cast<float>(seconds);
  }
}

double StepTimer::Median() const {
  if (seconds_.empty()) return 0;
  std::vector<float> sorted = seconds_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return static_cast<double>(*middle);
}

void TimedSource::Fill(int64_t step, int64_t first_sample, int64_t count,
                       std::span<void* const> inputs) const {
  if (step % kEvery != 0) return source_.Fill(step, first_sample, count, inputs);
  const int64_t begin = MonotonicNanoseconds();
  source_.Fill(step, first_sample, count, inputs);
  nanoseconds_.fetch_add(MonotonicNanoseconds() - begin, std::memory_order_relaxed);
}

double TimedSource::Seconds(int64_t first, int64_t next) const {
  const int64_t measured = (next + kEvery - 1) / kEvery - (first + kEvery - 1) / kEvery;
  if (measured <= 0) return 0;
  return 1e-9 * static_cast<double>(nanoseconds_.load(std::memory_order_relaxed)) *
         static_cast<double>(next - first) / static_cast<double>(measured);
}

}  // namespace ingot::train
