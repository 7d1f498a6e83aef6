// The learning-rate finder (Smith 2017, "Cyclical learning rates"): a short run in which the rate
// grows from step to step. Where the loss falls fastest is a good rate to begin with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/train/trainer.h"

namespace ingot::train {

struct RateFinderOptions {
  double lowest = 1e-7;
  double highest = 10;
  int64_t steps = 100;
  double smoothing = 0.9;  // share of the average loss that is kept in each step
  double diverged = 4;     // the run ends where the average is so many times its best
};

struct RateTrial {
  double learning_rate = 0;
  double loss = 0;      // of the step
  double smoothed = 0;  // its moving average, corrected for its beginning
};

struct FoundRate {
  std::vector<RateTrial> trials;
  double suggested = 0;  // where the average falls fastest; 0: it fell no more than noise does
  double best = 0;       // where the average is least: rates near it are too large
  std::string end;       // why the run ended: "all steps were done", "the loss diverged", ...
};

// The rates go up in equal factors. Nothing is written; schedule, validation and test evaluation of
// the request's job do not count. Throws as Train does, but where the loss is not finite: the run
// ends there.
FoundRate FindLearningRate(TrainRequest request, const RateFinderOptions& options = {});

// Where the average falls fastest, over the trials before its least value but for the first
// 1 / (1 - smoothing), whose average is one of few losses. `smoothing` as in the options. Exposed
// for tests.
FoundRate ChooseRate(std::vector<RateTrial> trials, double smoothing);

}  // namespace ingot::train
