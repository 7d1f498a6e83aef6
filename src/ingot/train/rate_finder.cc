// The learning-rate finder: see rate_finder.h.
#include "ingot/train/rate_finder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/train/trial.h"

namespace ingot::train {

FoundRate ChooseRate(std::vector<RateTrial> trials) {
  FoundRate found;
  found.trials = std::move(trials);
  if (found.trials.empty()) return found;
  const auto least = std::min_element(
      found.trials.begin(), found.trials.end(),
      [](const RateTrial& a, const RateTrial& b) { return a.smoothed < b.smoothed; });
  found.best = least->learning_rate;
  // The slope over a few trials, since single steps are noisy.
  const auto count = least - found.trials.begin() + 1;
  const std::ptrdiff_t reach = std::max<std::ptrdiff_t>(1, count / 20);
  double steepest = 0;
  for (std::ptrdiff_t i = reach; i + reach < count; ++i) {
    const RateTrial& before = found.trials[static_cast<size_t>(i - reach)];
    const RateTrial& after = found.trials[static_cast<size_t>(i + reach)];
    const double slope = after.smoothed - before.smoothed;
    if (slope >= steepest) continue;
    steepest = slope;
    found.suggested = found.trials[static_cast<size_t>(i)].learning_rate;
  }
  return found;
}

FoundRate FindLearningRate(TrainRequest request, const RateFinderOptions& options) {
  MakeTrial(request, options.steps);
  request.profile.clear();
  const double growth = options.steps > 1 ? std::pow(options.highest / options.lowest,
                                                     1.0 / static_cast<double>(options.steps - 1))
                                          : 1;
  const auto rate_of = [&options, growth](int64_t step) {
    return options.lowest * std::pow(growth, static_cast<double>(step));
  };
  std::vector<RateTrial> trials;
  double average = 0;
  double best = HUGE_VAL;
  bool diverged = false;
  request.learning_rate = rate_of;
  request.on_loss = [&](int64_t step, double loss) {
    average = options.smoothing * average + (1 - options.smoothing) * loss;
    const double weight = 1 - std::pow(options.smoothing, static_cast<double>(step + 1));
    trials.push_back({rate_of(step), loss, average / weight});
    best = std::min(best, trials.back().smoothed);
    diverged = trials.back().smoothed > options.diverged * best;
  };
  request.should_stop = [&diverged] { return diverged; };
  std::string end = "all steps were done";
  try {
    Train(request);
    if (diverged) end = "the loss diverged";
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNumeric) throw;
    end = "the loss or a gradient was no longer finite";
  }
  FoundRate found = ChooseRate(std::move(trials));
  found.end = std::move(end);
  return found;
}

}  // namespace ingot::train
