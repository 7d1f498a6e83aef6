// Learning-rate finder and overfit-one-batch check as text and JSON.
#include "ingot/cli/train_checks.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/train/rate_finder.h"
#include "ingot/train/trial.h"

namespace ingot::cli {
namespace {

constexpr size_t kRows = 20;
constexpr double kLearned = 0.1;  // of the first loss

std::string RateTable(const train::FoundRate& found) {
  std::string text = fmt::format("{:>14}  {:>12}  {:>12}\n", "learning rate", "loss", "smoothed");
  const size_t every = std::max<size_t>(1, found.trials.size() / kRows);
  for (size_t i = 0; i < found.trials.size(); i += every) {
    const train::RateTrial& trial = found.trials[i];
    text += fmt::format("{:>14.3g}  {:>12.5g}  {:>12.5g}\n", trial.learning_rate, trial.loss,
                        trial.smoothed);
  }
  return text;
}

nlohmann::ordered_json ToJson(const train::FoundRate& found) {
  nlohmann::ordered_json trials = nlohmann::ordered_json::array();
  for (const train::RateTrial& trial : found.trials) {
    trials.push_back({{"learning_rate", trial.learning_rate},
                      {"loss", trial.loss},
                      {"smoothed", trial.smoothed}});
  }
  return {{"suggested", found.suggested},
          {"least_loss_at", found.best},
          {"end", found.end},
          {"trials", trials}};
}

}  // namespace

int RunRateFinder(train::TrainRequest request, int64_t steps, bool json, const Streams& streams) {
  train::RateFinderOptions options;
  options.steps = steps;
  const std::string optimizer = request.job.optimizer.name();
  const train::FoundRate found = train::FindLearningRate(std::move(request), options);
  if (json) {
    streams.Out(ToJson(found).dump(2) + "\n");
    return found.suggested > 0 ? kOk : kFailed;
  }
  streams.Out(RateTable(found));
  if (found.suggested <= 0) {
    streams.Out(
        fmt::format("no rate is recommended ({}): the loss never fell by more than it varies "
                    "from step to step.\nMore steps (--check-steps) or a larger batch show "
                    "a smaller fall\n",
                    found.end));
    return kFailed;
  }
  streams.Out(
      fmt::format("the loss falls fastest at {0:.2g} and is least at {1:.2g} ({2}); begin with\n"
                  "  --set optimizer.{3}.learning_rate={0:.2g}\n",
                  found.suggested, found.best, found.end, optimizer));
  return kOk;
}

int RunOverfitCheck(train::TrainRequest request, int64_t steps, bool json, const Streams& streams) {
  train::Job& job = request.job;
  job.data.limit = job.data.batch;
  job.data.validation.reset();
  train::MakeTrial(request, steps);
  double first = std::nan("");
  double last = std::nan("");
  request.on_loss = [&](int64_t step, double loss) {
    if (step == 0) first = loss;
    last = loss;
  };
  train::Train(request);
  const bool learned = last <= kLearned * first;
  if (json) {
    const nlohmann::ordered_json object = {
        {"first_loss", first}, {"last_loss", last}, {"steps", steps}, {"learned", learned}};
    streams.Out(object.dump(2) + "\n");
  } else {
    streams.Out(fmt::format(
        "one batch of {} samples, {} steps: the loss went from {:.4g} to {:.4g}: {}\n",
        job.data.batch, WithThousands(steps), first, last,
        learned ? "the network can learn it"
                : "the network does not learn even that. Look at the learning rate "
                  "(--find-learning-rate), at labels that do not belong to their samples, and at "
                  "what regularises (dropout, weight decay, label smoothing)"));
  }
  return learned ? kOk : kFailed;
}

}  // namespace ingot::cli
