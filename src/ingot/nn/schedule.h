// Schedules: the learning rate of a step as a pure function of its number, so that resuming needs
// no stored state. s counts from 0; `base` is the optimizer's learning rate.
//
//   constant     base
//   step         base * factor^floor(s / every)
//   cosine       floor + (base - floor) * (1 + cos(pi * s / steps)) / 2, then floor, where
//                floor = base * final_factor            (Loshchilov & Hutter 2017, one cycle)
//   exponential  base * factor^(s / every)
//   warm_up      rises linearly over the first `warm_up` steps: base * (s + 1) / warm_up; the
//                schedule proper begins after it, at its own step 0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ingot/base/config.h"
#include "ingot/base/options.h"

namespace ingot::nn {

struct StepDecay {
  int64_t every = 0;  // steps
  double factor = 0.1;
};
struct CosineDecay {
  std::optional<int64_t> steps;  // none: what is left of the job after the warm-up
  double final_factor = 0;
};
struct ExponentialDecay {
  int64_t every = 1;  // steps
  double factor = 0.999;
};

// The `schedule:` section of a job: at most one of the three, and a warm-up.
struct ScheduleOptions {
  int64_t warm_up = 0;  // steps
  std::optional<StepDecay> step;
  std::optional<CosineDecay> cosine;
  std::optional<ExponentialDecay> exponential;
};

const OptionTable<ScheduleOptions>& ScheduleTable();
// Reads `constant`, `cosine`, `cosine: {...}` and maps with warm_up. Throws Error(kInvalidInput) at
// the node's place, also where two schedules are given.
ScheduleOptions ReadSchedule(const ConfigNode& node);

// Immutable; safe from several threads.
class Schedule {
 public:
  // `total_steps` of the job, for a cosine without `steps`.
  Schedule(ScheduleOptions options, double base, int64_t total_steps);

  double LearningRate(int64_t step) const;

 private:
  ScheduleOptions options_;
  double base_;
  int64_t cosine_steps_ = 1;
};

}  // namespace ingot::nn
