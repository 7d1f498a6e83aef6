// Schedules: the learning rate of a step as a pure function of its number, so that resuming needs
// no stored state. s counts from 0; `base` is the optimizer's learning rate.
//
//   constant     base
//   step         base * factor^floor(s / every)
//   cosine       floor + (base - floor) * (1 + cos(pi * s / steps)) / 2, then floor, where
//                floor = base * final_factor            (Loshchilov & Hutter 2017, one cycle)
//   exponential  base * factor^(s / every)
//   polynomial   floor + (base - floor) * (1 - s / steps)^power, then floor
//   one_cycle    rises like half a cosine from base / start_divisor to base over `rise` of the
//                steps, then falls like one to base / start_divisor / end_divisor (Smith & Topin
//                2019, with PyTorch's two phases)
//   plateau      base * factor^falls: falls whenever a validation metric has not improved for
//                `patience` validations; the number of falls is state, which the trainer keeps
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
struct PolynomialDecay {
  std::optional<int64_t> steps;  // none: what is left of the job after the warm-up
  double power = 1;
  double final_factor = 0;
};
struct OneCycle {
  std::optional<int64_t> steps;
  double rise = 0.3;
  double start_divisor = 25;
  double end_divisor = 1e4;
};
struct Plateau {
  std::string metric = "validation_loss";
  double factor = 0.1;
  int64_t patience = 5;       // validations without an improvement, then it falls
  double minimum_change = 0;  // smaller ones are none
  std::string mode = "auto";
  double final_factor = 0;
};

// The `schedule:` section of a job: at most one of them, and a warm-up.
struct ScheduleOptions {
  int64_t warm_up = 0;  // steps
  std::optional<StepDecay> step;
  std::optional<CosineDecay> cosine;
  std::optional<ExponentialDecay> exponential;
  std::optional<PolynomialDecay> polynomial;
  std::optional<OneCycle> one_cycle;
  std::optional<Plateau> plateau;
};

const OptionTable<ScheduleOptions>& ScheduleTable();
// Reads `constant`, `cosine` and the other names, `cosine: {...}` and maps with warm_up. Throws
// Error(kInvalidInput) at the node's place, also where two schedules are given.
ScheduleOptions ReadSchedule(const ConfigNode& node);

// Immutable; safe from several threads.
class Schedule {
 public:
  // `total_steps` of the job, for those that go to its end where they have no `steps`.
  Schedule(ScheduleOptions options, double base, int64_t total_steps);

  // `falls`: of a plateau, so far.
  double LearningRate(int64_t step, int64_t falls = 0) const;

 private:
  ScheduleOptions options_;
  double Fall(double x, double power) const;
  double Cycle(double x) const;

  double base_;
  int64_t steps_ = 1;  // of what goes to the end
};

}  // namespace ingot::nn
