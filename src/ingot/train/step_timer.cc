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

TimedSource::TimedSource(const runtime::BatchSource& source, runtime::Telemetry* telemetry)
    : source_(source), telemetry_(telemetry) {
  if (telemetry_ != nullptr) item_ = telemetry_->Register({"batch", "", "data"});
}

void TimedSource::Fill(int64_t step, int64_t first_sample, int64_t count,
                       std::span<void* const> inputs) const {
  const uint64_t begin_tick = telemetry_ != nullptr ? runtime::Telemetry::Now() : 0;
  const bool is_sampled = step % kEvery == 0;
  const int64_t begin = is_sampled ? MonotonicNanoseconds() : 0;
  source_.Fill(step, first_sample, count, inputs);
  if (telemetry_ != nullptr) telemetry_->Add(item_, begin_tick, runtime::Telemetry::Now());
  if (!is_sampled) return;
  nanoseconds_.fetch_add(MonotonicNanoseconds() - begin, std::memory_order_relaxed);
}

double TimedSource::Seconds(int64_t first, int64_t next) const {
  const int64_t measured = (next + kEvery - 1) / kEvery - (first + kEvery - 1) / kEvery;
  if (measured <= 0) return 0;
  return 1e-9 * static_cast<double>(nanoseconds_.load(std::memory_order_relaxed)) *
         static_cast<double>(next - first) / static_cast<double>(measured);
}

}  // namespace ingot::train
