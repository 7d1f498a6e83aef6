// The formulas of the schedules.
#include "ingot/nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::nn {

namespace {

const OptionTable<StepDecay>& StepTable() {
  static const auto table =
      OptionTable<StepDecay>("step", "falls by a factor every so many steps")
          .Add("every", &StepDecay::every, "steps", AtLeast(1))
          .Add("factor", &StepDecay::factor, "of the learning rate", MoreThan(0))
          .Required("every");
  return table;
}

const OptionTable<CosineDecay>& CosineTable() {
  static const auto table = OptionTable<CosineDecay>("cosine", "falls like half a cosine")
                                .Add("steps", &CosineDecay::steps,
                                     "how long (default: to the end of the job)", AtLeast(1))
                                .Add("final_factor", &CosineDecay::final_factor,
                                     "of the learning rate at the end", Between(0, 1));
  return table;
}

const OptionTable<ExponentialDecay>& ExponentialTable() {
  static const auto table =
      OptionTable<ExponentialDecay>("exponential", "falls smoothly by a factor every so many steps")
          .Add("every", &ExponentialDecay::every, "steps", AtLeast(1))
          .Add("factor", &ExponentialDecay::factor, "of the learning rate", MoreThan(0));
  return table;
}

}  // namespace

const OptionTable<ScheduleOptions>& ScheduleTable() {
  static const auto table =
      OptionTable<ScheduleOptions>("schedule", "the learning rate over the steps")
          .Add("warm_up", &ScheduleOptions::warm_up, "steps of linear rise at the begin",
               AtLeast(0))
          .AddTable("step", &ScheduleOptions::step, StepTable(), "stairs")
          .AddTable("cosine", &ScheduleOptions::cosine, CosineTable(), "half a cosine")
          .AddTable("exponential", &ScheduleOptions::exponential, ExponentialTable(),
                    "a smooth decay");
  return table;
}

ScheduleOptions ReadSchedule(const ConfigNode& node) {
  if (node.is_scalar()) {
    ScheduleOptions options;
    if (node.scalar() == "constant") return options;
    if (node.scalar() == "cosine") {
      options.cosine.emplace();
      return options;
    }
    if (node.scalar() == "exponential") {
      options.exponential.emplace();
      return options;
    }
    const std::vector<std::string> names = {"constant", "cosine", "exponential", "step"};
    if (node.scalar() == "step") {
      node.Fail("schedule step needs its option 'every'", "write step: {every: 1000}");
    }
    node.Fail("unknown schedule '" + node.scalar() + "'", DidYouMean(node.scalar(), names));
  }
  ScheduleOptions options = ScheduleTable().Read(node);
  const int given = int{options.step.has_value()} + int{options.cosine.has_value()} +
                    int{options.exponential.has_value()};
  if (given > 1) {
    node.Fail("expected one schedule, got " + std::to_string(given),
              "keep one of step, cosine, exponential; warm_up goes with any of them");
  }
  return options;
}

Schedule::Schedule(ScheduleOptions options, double base, int64_t total_steps)
    : options_(std::move(options)), base_(base) {
  if (options_.cosine) {
    cosine_steps_ =
        options_.cosine->steps.value_or(std::max<int64_t>(1, total_steps - options_.warm_up));
  }
}

double Schedule::LearningRate(int64_t step) const {
  if (step < options_.warm_up) {
    return base_ * static_cast<double>(step + 1) / static_cast<double>(options_.warm_up);
  }
  const int64_t s = step - options_.warm_up;
  if (options_.step) {
    return base_ * std::pow(options_.step->factor, static_cast<double>(s / options_.step->every));
  }
  if (options_.cosine) {
    const double floor = base_ * options_.cosine->final_factor;
    const double x =
        static_cast<double>(std::min(s, cosine_steps_)) / static_cast<double>(cosine_steps_);
    return floor + (base_ - floor) * (1 + std::cos(std::numbers::pi * x)) / 2;
  }
  if (options_.exponential) {
    return base_ *
           std::pow(options_.exponential->factor,
                    static_cast<double>(s) / static_cast<double>(options_.exponential->every));
  }
  return base_;
}

}  // namespace ingot::nn
