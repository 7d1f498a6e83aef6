// Monitor: see monitor.h.
#include "ingot/train/monitor.h"

#include <cmath>
#include <utility>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/train/metrics.h"

namespace ingot::train {

Monitor::Monitor(std::string metric, const std::string& mode, double minimum_change,
                 int64_t patience)
    : metric_(std::move(metric)), minimum_change_(minimum_change), patience_(patience) {
  if (mode == "auto") {
    larger_is_better_ = LargerIsBetter(metric_);
  } else if (mode == "min" || mode == "max") {
    larger_is_better_ = mode == "max";
  } else {
    const std::vector<std::string> modes = {"auto", "min", "max"};
    throw Error(ErrorCode::kInvalidInput, "unknown mode '" + mode + "' of a monitored metric",
                DidYouMean(mode, modes));
  }
}

bool Monitor::Update(double value, int64_t step) {
  const bool first = state_.metric.empty();
  const double gain = larger_is_better_ ? value - state_.best : state_.best - value;
  if (std::isfinite(value) && (first || gain > minimum_change_)) {
    state_ = {metric_, value, step, 0};
    return true;
  }
  ++state_.waited;
  return false;
}

void Monitor::Restore(const MonitorState& state) {
  if (active() && state.metric == metric_) state_ = state;
}

}  // namespace ingot::train
