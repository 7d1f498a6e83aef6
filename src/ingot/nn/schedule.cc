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

const OptionTable<PolynomialDecay>& PolynomialTable() {
  static const auto table =
      OptionTable<PolynomialDecay>("polynomial", "falls like a power of what is left")
          .Add("steps", &PolynomialDecay::steps, "how long (default: to the end of the job)",
               AtLeast(1))
          .Add("power", &PolynomialDecay::power, "1: a straight line", MoreThan(0))
          .Add("final_factor", &PolynomialDecay::final_factor, "of the learning rate at the end",
               Between(0, 1));
  return table;
}

const OptionTable<OneCycle>& OneCycleTable() {
  static const auto table =
      OptionTable<OneCycle>("one_cycle", "rises to the learning rate, then falls to almost nothing")
          .Add("steps", &OneCycle::steps, "how long (default: to the end of the job)", AtLeast(1))
          .Add("rise", &OneCycle::rise, "share of the steps in which it rises", Between(0, 1))
          .Add("start_divisor", &OneCycle::start_divisor,
               "it begins at the learning rate divided by this", AtLeast(1))
          .Add("end_divisor", &OneCycle::end_divisor, "it ends at where it began divided by this",
               AtLeast(1));
  return table;
}

const OptionTable<Plateau>& PlateauTable() {
  static const auto table =
      OptionTable<Plateau>("plateau", "falls whenever a validation metric stops improving")
          .Add("metric", &Plateau::metric,
               "what is watched: validation_loss, or validation_ and the name of a metric")
          .Add("factor", &Plateau::factor, "of the learning rate", Between(0, 1))
          .Add("patience", &Plateau::patience, "validations without an improvement", AtLeast(1))
          .Add("minimum_change", &Plateau::minimum_change,
               "changes up to this much are no improvement", AtLeast(0))
          .AddChoice("mode", &Plateau::mode,
                     "whether smaller or larger is better; auto: by the metric",
                     {"auto", "min", "max"})
          .Add("final_factor", &Plateau::final_factor, "of the learning rate: it falls no further",
               Between(0, 1));
  return table;
}

// Schedules that are given.
int CountOf(const ScheduleOptions& options) {
  return int{options.step.has_value()} + int{options.cosine.has_value()} +
         int{options.exponential.has_value()} + int{options.polynomial.has_value()} +
         int{options.one_cycle.has_value()} + int{options.plateau.has_value()};
}

ScheduleOptions NamedSchedule(const ConfigNode& node) {
  ScheduleOptions options;
  const std::string& name = node.scalar();
  if (name == "constant") return options;
  if (name == "cosine") options.cosine.emplace();
  if (name == "exponential") options.exponential.emplace();
  if (name == "polynomial") options.polynomial.emplace();
  if (name == "one_cycle") options.one_cycle.emplace();
  if (name == "plateau") options.plateau.emplace();
  if (CountOf(options) > 0) return options;
  if (name == "step") {
    node.Fail("schedule step needs its option 'every'", "write step: {every: 1000}");
  }
  const std::vector<std::string> names = {"constant",   "cosine",    "exponential", "step",
                                          "polynomial", "one_cycle", "plateau"};
  node.Fail("unknown schedule '" + name + "'", DidYouMean(name, names));
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
                    "a smooth decay")
          .AddTable("polynomial", &ScheduleOptions::polynomial, PolynomialTable(),
                    "a straight line, or a power of it")
          .AddTable("one_cycle", &ScheduleOptions::one_cycle, OneCycleTable(), "up, then down")
          .AddTable("plateau", &ScheduleOptions::plateau, PlateauTable(),
                    "falls when validation no longer improves");
  return table;
}

ScheduleOptions ReadSchedule(const ConfigNode& node) {
  if (node.is_scalar()) return NamedSchedule(node);
  // `schedule: cosine`, and schedule.warm_up set beside it.
  const ConfigNode* name = node.Find(ConfigNode::kShortForm);
  const bool is_named = name != nullptr && name->is_scalar();
  ScheduleOptions options =
      ScheduleTable().Read(is_named ? node.Without(ConfigNode::kShortForm) : node);
  const int given = CountOf(options) + int{is_named};
  if (given > 1) {
    node.Fail(
        "expected one schedule, got " + std::to_string(given),
        "keep one of step, cosine, exponential, polynomial, one_cycle, plateau; warm_up goes with "
        "any of them");
  }
  if (is_named) {
    const int64_t warm_up = options.warm_up;
    options = NamedSchedule(*name);
    options.warm_up = warm_up;
  }
  return options;
}

Schedule::Schedule(ScheduleOptions options, double base, int64_t total_steps)
    : options_(std::move(options)), base_(base) {
  steps_ = std::max<int64_t>(1, total_steps - options_.warm_up);
  if (options_.cosine) steps_ = options_.cosine->steps.value_or(steps_);
  if (options_.polynomial) steps_ = options_.polynomial->steps.value_or(steps_);
  if (options_.one_cycle) steps_ = options_.one_cycle->steps.value_or(steps_);
}

double Schedule::Fall(double x, double power) const {
  const double floor = base_ * options_.polynomial->final_factor;
  return floor + (base_ - floor) * std::pow(1 - x, power);
}

double Schedule::Cycle(double x) const {
  const OneCycle& cycle = *options_.one_cycle;
  const double start = base_ / cycle.start_divisor;
  const double end = start / cycle.end_divisor;
  const auto between = [](double from, double to, double part) {
    return to + (from - to) * (1 + std::cos(std::numbers::pi * part)) / 2;
  };
  if (x < cycle.rise) return between(start, base_, x / cycle.rise);
  return cycle.rise < 1 ? between(base_, end, (x - cycle.rise) / (1 - cycle.rise)) : base_;
}

double Schedule::LearningRate(int64_t step, int64_t falls) const {
  if (step < options_.warm_up) {
    return base_ * static_cast<double>(step + 1) / static_cast<double>(options_.warm_up);
  }
  const int64_t s = step - options_.warm_up;
  const double x = static_cast<double>(std::min(s, steps_)) / static_cast<double>(steps_);
  if (options_.polynomial) return Fall(x, options_.polynomial->power);
  if (options_.one_cycle) return Cycle(x);
  if (options_.plateau) {
    const double factor = std::pow(options_.plateau->factor, static_cast<double>(falls));
    return base_ * std::max(options_.plateau->final_factor, factor);
  }
  if (options_.step) {
    return base_ * std::pow(options_.step->factor, static_cast<double>(s / options_.step->every));
  }
  if (options_.cosine) {
    const double floor = base_ * options_.cosine->final_factor;
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
