// Sums of nanoseconds.
#include "ingot/data/stage_times.h"

#include "ingot/base/clock.h"

namespace ingot::data {

namespace {

constexpr int64_t kMeasuredOfSamples = 16;

}  // namespace

StageTimes::StageTimes(std::vector<std::string> names)
    : names_(std::move(names)),
      nanoseconds_(std::make_unique<std::atomic<int64_t>[]>(names_.size())) {}

bool StageTimes::CountSample() {
  return samples_.fetch_add(1, std::memory_order_relaxed) % kMeasuredOfSamples == 0;
}

void StageTimes::Add(std::string_view stage, int64_t nanoseconds) {
  for (size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] != stage) continue;
    nanoseconds_[i].fetch_add(nanoseconds, std::memory_order_relaxed);
    return;
  }
}

std::vector<StageTime> StageTimes::Report() const {
  const int64_t all = samples();
  const int64_t measured = (all + kMeasuredOfSamples - 1) / kMeasuredOfSamples;
  const double scale =
      measured == 0 ? 0 : static_cast<double>(all) / static_cast<double>(measured) * 1e-9;
  std::vector<StageTime> report;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto sum = static_cast<double>(nanoseconds_[i].load(std::memory_order_relaxed));
    report.push_back({names_[i], sum * scale});
  }
  return report;
}

StageLap::StageLap(StageTimes& times) : times_(times), since_(MonotonicNanoseconds()) {}

void StageLap::End(std::string_view stage) {
  const int64_t now = MonotonicNanoseconds();
  times_.Add(stage, now - since_);
  since_ = now;
}

}  // namespace ingot::data
