// The learning-rate finder: see rate_finder.h.
#include "ingot/train/rate_finder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/train/trial.h"

namespace ingot::train {

namespace {

// Of the average's deviations: a curve of noise alone falls further in one of 100 runs.
constexpr double kLeastFall = 6;

// Deviation of the loss from step to step about its curve. The median of the differences, since
// where the curve falls or rises fast they are not noise.
double NoiseOf(const std::vector<RateTrial>& trials, size_t count) {
  std::vector<double> differences;
  for (size_t i = 1; i < count; ++i) {
    differences.push_back(std::abs(trials[i].loss - trials[i - 1].loss));
  }
  if (differences.empty()) return 0;
  const auto middle = differences.begin() + static_cast<std::ptrdiff_t>(differences.size() / 2);
  std::nth_element(differences.begin(), middle, differences.end());
  constexpr double kMedianOfNormal = 0.6745;
  return *middle / (kMedianOfNormal * std::sqrt(2.0));
}

}  // namespace

FoundRate ChooseRate(std::vector<RateTrial> trials, double smoothing) {
  FoundRate found;
  found.trials = std::move(trials);
  const std::vector<RateTrial>& curve = found.trials;
  if (curve.empty()) return found;
  // The average is one of few losses at first, and moves with each of them.
  const auto skipped =
      std::min(static_cast<size_t>(std::lround(1 / (1 - smoothing))), curve.size() / 4);
  const auto least = std::min_element(
      curve.begin() + static_cast<std::ptrdiff_t>(skipped), curve.end(),
      [](const RateTrial& a, const RateTrial& b) { return a.smoothed < b.smoothed; });
  found.best = least->learning_rate;
  const auto count = static_cast<size_t>(least - curve.begin()) + 1;
  const double deviation =
      NoiseOf(curve, count) * std::sqrt((1 - smoothing) / (1 + smoothing));  // of the average
  if (curve[skipped].smoothed - least->smoothed < kLeastFall * deviation) return found;
  // The slope over a few trials, since single steps are noisy.
  const size_t reach = std::max<size_t>(1, count / 20);
  double steepest = 0;
  for (size_t i = skipped + reach; i + reach < count; ++i) {
    const double slope = curve[i + reach].smoothed - curve[i - reach].smoothed;
    if (slope >= steepest) continue;
    steepest = slope;
    found.suggested = curve[i].learning_rate;
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
  FoundRate found = ChooseRate(std::move(trials), options.smoothing);
  found.end = std::move(end);
  return found;
}

}  // namespace ingot::train
