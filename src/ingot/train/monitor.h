// Monitor: follows one validation metric: what was the best value, and how long is that ago.
// Early stopping and the best checkpoint each have one.
#pragma once

#include <cstdint>
#include <string>

namespace ingot::train {

// What of a monitor goes into a checkpoint. The metric's name is part of it, so that a resumed job
// that watches another metric starts its memory anew.
struct MonitorState {
  std::string metric;  // "" while nothing was seen
  double best = 0;
  int64_t best_step = 0;  // number of steps that were done when the best was seen
  int64_t waited = 0;     // validations since then without an improvement

  bool operator==(const MonitorState&) const = default;
};

class Monitor {
 public:
  Monitor() = default;  // watches nothing
  // `mode`: "min", "max", or "auto" (by the metric's name). An improvement is a change for the
  // better by more than `minimum_change` (>= 0). `patience`: that many validations without one
  // exhaust it; 0: never.
  // Throws Error(kInvalidInput) for another mode.
  Monitor(std::string metric, const std::string& mode, double minimum_change, int64_t patience);

  bool active() const { return !metric_.empty(); }
  const std::string& metric() const { return metric_; }

  // A new value after `step` steps; true where it is the best so far. NaN and infinity never are.
  bool Update(double value, int64_t step);
  bool Exhausted() const { return patience_ > 0 && state_.waited >= patience_; }

  // Its patience begins anew.
  void Forgive() { state_.waited = 0; }

  const MonitorState& state() const { return state_; }
  // Ignored where the state is of another metric.
  void Restore(const MonitorState& state);

 private:
  std::string metric_;
  bool larger_is_better_ = false;
  double minimum_change_ = 0;
  int64_t patience_ = 0;
  MonitorState state_;
};

}  // namespace ingot::train
