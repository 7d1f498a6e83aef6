// Moving averages of the weights, frozen layers, first weights from a file, plateaus.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/base/text.h"
#include "ingot/formats/safetensors.h"
#include "ingot/train/checkpoint.h"
#include "ingot/train/rate_finder.h"
#include "ingot/train/trainer_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

Error ErrorOfRun(const TrainRequest& request) {
  try {
    Train(request);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::kInternal, "none");
}

const Tensor& Find(const std::vector<formats::NamedTensor>& tensors, const std::string& name) {
  for (const formats::NamedTensor& tensor : tensors) {
    if (tensor.name == name) return tensor.tensor;
  }
  throw Error(ErrorCode::kNotFound, name);
}

TEST(AverageTest, IsTheMovingAverageOfTheWeightsAndTheModel) {
  const TestFolder folder;
  // Weights after every step, from runs that end there.
  constexpr double kDecay = 0.75;
  const auto weights = [&](int64_t steps) {
    const TrainResult result =
        Train(SmallRequest("{epochs: 0, steps: " + std::to_string(steps) + ", evaluate: false}"));
    return Find(result.parameters, "layers.0.weight").ToDoubles();
  };
  TrainRequest request = SmallRequest(
      "{epochs: 0, steps: 3, average: 0.75, checkpoint: {every_steps: 1}}", folder / "run");
  const TrainResult result = Train(request);
  nn::ParameterSpec first;
  const TrainingSetup setup = PrepareTraining(request.job, request.setup);
  for (const nn::ParameterSpec& spec : setup.network.parameters) {
    if (spec.name == "layers.0.weight") first = spec;
  }
  std::vector<double> average = nn::InitialValue(first, 0).ToDoubles();
  for (int64_t step = 1; step <= 3; ++step) {
    const std::vector<double> w = weights(step);
    for (size_t i = 0; i < average.size(); ++i) {
      average[i] = kDecay * average[i] + (1 - kDecay) * w[i];
    }
  }
  const std::vector<double> seen = Find(result.parameters, "layers.0.weight").ToDoubles();
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_NEAR(seen[i], average[i], 1e-6) << i;
  // `final` has the average, a step's checkpoint what training goes on with.
  const auto model = formats::SafetensorsFile::Open(folder / "run/checkpoints/final/" + kModelFile);
  EXPECT_EQ(model.Get("layers.0.weight").ToDoubles(), seen);
  const auto step = formats::SafetensorsFile::Open(folder / "run/checkpoints/" + CheckpointName(3) +
                                                   "/" + kModelFile);
  EXPECT_EQ(step.Get("layers.0.weight").ToDoubles(), weights(3));
}

TEST(FreezeTest, FrozenParametersStay) {
  TrainRequest request = SmallRequest("{freeze: ['layers.0.*'], epochs: 1}");
  const TrainingSetup setup = PrepareTraining(request.job, request.setup);
  const TrainResult result = Train(request);
  for (const nn::ParameterSpec& spec : setup.network.parameters) {
    const bool same =
        Find(result.parameters, spec.name).ToDoubles() == nn::InitialValue(spec, 0).ToDoubles();
    EXPECT_EQ(same, spec.name.starts_with("layers.0")) << spec.name;
  }
  // No state is kept for what is not trained.
  for (const nn::StateSpec& state : setup.steps[0].state) {
    EXPECT_FALSE(state.name.starts_with("layers.0")) << state.name;
  }
  EXPECT_THAT(ErrorOfRun(SmallRequest("{freeze: ['layer.0.*']}")).message(),
              HasSubstr("freeze: 'layer.0.*' matches no parameter"));
  EXPECT_THAT(ErrorOfRun(SmallRequest("{freeze: ['*']}")).message(),
              HasSubstr("no parameter is left to be trained"));
  EXPECT_THAT(ErrorOfRun(SmallRequest("{model: {layers: [flatten, softmax]}}")).message(),
              HasSubstr("model: no layer has a parameter to train"));
  // In mixed precision too, where frozen weights have no copy.
  EXPECT_EQ(Train(SmallRequest("{freeze: ['layers.0.*'], epochs: 1, precision: bf16}")).end,
            RunEnd::kFinished);
}

TEST(StartFromTest, RunsBeginWithTheWeightsOfAFile) {
  const TestFolder folder;
  const TrainResult first = Train(SmallRequest("{epochs: 1}", folder / "first"));
  const std::string file = folder / "first/checkpoints/final/model.safetensors";
  const TrainResult same = Train(SmallRequest("{epochs: 1, start_from: '" + file +
                                              "', optimizer: {sgd: {learning_rate: 0}}}"));
  EXPECT_EQ(BitsOf(same.parameters), BitsOf(first.parameters));
  // The last layer begins anew.
  TrainRequest fresh = SmallRequest("{epochs: 1, start_from: {file: '" + file +
                                    "', fresh: ['layers.2.*']}, optimizer: {sgd: {learning_rate: "
                                    "0}}}");
  const TrainResult tuned = Train(fresh);
  EXPECT_EQ(Find(tuned.parameters, "layers.0.weight").ToDoubles(),
            Find(first.parameters, "layers.0.weight").ToDoubles());
  EXPECT_NE(Find(tuned.parameters, "layers.2.weight").ToDoubles(),
            Find(first.parameters, "layers.2.weight").ToDoubles());
  const Error missing = ErrorOfRun(SmallRequest("{start_from: /nowhere/model.safetensors}"));
  EXPECT_EQ(missing.code(), ErrorCode::kNotFound);
}

void Write(const std::string& path, const std::vector<formats::NamedTensor>& tensors) {
  const std::vector<std::byte> bytes = formats::EncodeSafetensors(tensors);
  WriteFileAtomically(RealFileSystem(), path,
                      {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

TEST(StartWeightsTest, NamesAreMappedAndMatricesTurned) {
  const std::vector<RenameRule> rules = {{"encoder.*.fc*.weight", "blocks.*.dense_*.weight", true},
                                         {"head.*", ""}};
  const Renamed renamed = Rename(rules, "encoder.3.fc12.weight");
  EXPECT_EQ(renamed.name, "blocks.3.dense_12.weight");
  EXPECT_TRUE(renamed.transpose);
  EXPECT_TRUE(Rename(rules, "head.bias").left_out);
  EXPECT_EQ(Rename(rules, "encoder.3.fc.bias").name, "encoder.3.fc.bias");

  const TestFolder folder;
  const std::string path = folder / "torch.safetensors";
  Write(path, {{"fc.weight", Tensor::Of<float>(Shape{2, 3}, {1, 2, 3, 4, 5, 6})},
               {"fc.bias", Tensor::Of<float>(Shape{2}, {7, 8})},
               {"old.bias", Tensor::Of<float>(Shape{1}, {0})}});
  std::vector<nn::ParameterSpec> specs(2);
  specs[0].name = "layers.0.weight";
  specs[0].shape = Shape{3, 2};
  specs[0].layer = "0 (dense 2)";
  specs[1].name = "layers.0.bias";
  specs[1].shape = Shape{2};
  StartOptions options;
  options.file = path;
  options.rename = {{"fc.weight", "layers.0.weight", true}, {"fc.*", "layers.0.*"}};
  const StartWeights start = ReadStartWeights(options, specs);
  EXPECT_EQ(Find(start.tensors, "layers.0.weight").ToDoubles(),
            (std::vector<double>{1, 4, 2, 5, 3, 6}));
  EXPECT_THAT(start.report, HasSubstr("2 parameters begin as in"));
  EXPECT_THAT(start.report, HasSubstr("1 tensors of the file are not used"));

  const auto message = [&](const StartOptions& wrong) {
    try {
      ReadStartWeights(wrong, specs);
    } catch (const Error& error) {
      return error.message() + " | " + error.hint();
    }
    return std::string("no error");
  };
  StartOptions wrong = options;
  wrong.rename[0].transpose = false;
  EXPECT_THAT(message(wrong), HasSubstr("is f32[2, 3], but the parameter 'layers.0.weight' of "
                                        "layer 0 (dense 2) is f32[3, 2]"));
  EXPECT_THAT(message(wrong), HasSubstr("transpose: true"));
  wrong.rename = {};
  EXPECT_THAT(message(wrong), HasSubstr("no tensor for the parameter 'layers.0.weight'"));
  wrong = options;
  wrong.rename.push_back({"fx.*", "x"});
  EXPECT_THAT(message(wrong), HasSubstr("'fx.*' matches no tensor"));
  wrong.rename = {{"*.bias", "layers.0.bias"}};
  EXPECT_THAT(message(wrong), HasSubstr("would both be the parameter 'layers.0.bias'"));
}

TEST(PlateauTest, TheRateFallsWhereValidationDoesNotImproveAndResumes) {
  const TestFolder folder;
  // No change counts as an improvement: it falls after every second validation.
  const std::string job =
      "{epochs: 7, data: {batch: 16, validation: 0.2}, schedule: {plateau: {factor: 0.5, patience: "
      "2, minimum_change: 100}}, checkpoint: {every_epochs: 1}}";
  const TrainResult whole = Train(SmallRequest(job, folder / "whole"));
  // Validations 2 and 3 are without an improvement, then 4 and 5.
  EXPECT_THAT(RecordsOf(folder / "whole"), HasSubstr("\"epoch\""));
  TrainRequest cut = SmallRequest(job, folder / "cut");
  int64_t seen = 0;
  cut.on_loss = [&](int64_t, double) { ++seen; };
  cut.should_stop = [&] { return seen >= 23; };
  EXPECT_EQ(Train(cut).end, RunEnd::kInterrupted);
  TrainRequest again = SmallRequest(job, folder / "cut");
  again.mode = RunMode::kResume;
  const TrainResult resumed = Train(again);
  EXPECT_EQ(resumed.summary.resumed_from_step, 23);
  EXPECT_EQ(BitsOf(resumed.parameters), BitsOf(whole.parameters));
  // Without the falls the weights are others.
  const TrainResult steady = Train(SmallRequest("{epochs: 7, data: {batch: 16, validation: 0.2}}"));
  EXPECT_NE(BitsOf(steady.parameters), BitsOf(whole.parameters));
  EXPECT_THAT(ErrorOfRun(SmallRequest("{schedule: plateau}")).message(),
              HasSubstr("schedule.plateau needs validation"));
}

// The record at the end of the epoch after which it falls is of steps with the rate before.
TEST(PlateauTest, RecordsHaveTheRateThatWasUsed) {
  const TestFolder folder;
  Train(SmallRequest(
      "{epochs: 6, data: {batch: 16, validation: 0.2}, log: {every_steps: 5}, optimizer: {sgd: "
      "{learning_rate: 0.5}}, schedule: {plateau: {factor: 0.5, patience: 2, minimum_change: "
      "100}}}",
      folder / "run"));
  std::vector<double> rates;
  for (const std::string& line : Split(ReadFile(folder / "run/metrics.jsonl"), '\n')) {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object() && json.at("kind") == "train") rates.push_back(json.at("learning_rate"));
  }
  EXPECT_THAT(rates, testing::ElementsAre(0.5, 0.5, 0.5, 0.25, 0.25, 0.125));
}

TEST(ProfileTest, OneThatCannotBeWrittenTakesNoSummaryAway) {
  const TestFolder folder;
  TrainRequest request = SmallRequest("{epochs: 1}", folder / "run");
  request.profile = folder / "absent/profile.json";
  EXPECT_EQ(ErrorOfRun(request).code(), ErrorCode::kIo);
  EXPECT_THAT(ReadFile(folder / "run/summary.json"), HasSubstr("\"steps\""));
}

TEST(RateFinderTest, ChoosesWhereTheLossFallsFastest) {
  std::vector<RateTrial> trials;
  const std::vector<double> losses = {3, 3, 2.95, 2.4, 1.8, 1.6, 1.55, 1.9, 4};
  for (size_t i = 0; i < losses.size(); ++i) {
    trials.push_back({std::pow(10.0, static_cast<double>(i)), losses[i], losses[i]});
  }
  const FoundRate found = ChooseRate(trials, 0);
  EXPECT_EQ(found.suggested, 1e3);
  EXPECT_EQ(found.best, 1e6);
  for (RateTrial& trial : trials) trial.smoothed = trial.learning_rate;
  EXPECT_EQ(ChooseRate(trials, 0).suggested, 0);
  EXPECT_EQ(ChooseRate({}, 0).suggested, 0);
  EXPECT_EQ(ChooseRate({{1e-7, 2, 2}}, 0.9).suggested, 0);
}

// 100 trials of a loss that varies by up to 0.5 from step to step, the first by more, and falls by
// `fall` between rates of 1e-3 and 1e-1.
std::vector<RateTrial> NoisyTrials(double fall, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<RateTrial> trials;
  double average = 0;
  for (int i = 0; i < 100; ++i) {
    const double exponent = -7 + 8.0 * i / 99;
    const double noise = static_cast<double>(random()) / 4294967295.0 - 0.5;
    const double fallen = std::clamp((exponent + 3) / 2, 0.0, 1.0) * fall;
    const double loss = 2 + noise + (i == 0 ? 1 : 0) - fallen;
    average = 0.9 * average + 0.1 * loss;
    trials.push_back({std::pow(10.0, exponent), loss, average / (1 - std::pow(0.9, i + 1))});
  }
  return trials;
}

TEST(RateFinderTest, TakesNoNoiseForAFall) {
  for (const uint32_t seed : {1u, 2u, 3u, 4u, 5u}) {
    const FoundRate found = ChooseRate(NoisyTrials(1.5, seed), 0.9);
    EXPECT_GT(found.suggested, 1e-3) << seed;
    EXPECT_LT(found.suggested, 0.3) << seed;
    EXPECT_EQ(ChooseRate(NoisyTrials(0, seed), 0.9).suggested, 0) << seed;
  }
}

TEST(RateFinderTest, FindsARateThatTrains) {
  RateFinderOptions options;
  options.steps = 80;
  const FoundRate found = FindLearningRate(SmallRequest(), options);
  EXPECT_GT(found.suggested, 1e-5);
  EXPECT_LT(found.suggested, found.best);
  ASSERT_GT(found.trials.size(), 20u);
  EXPECT_NEAR(found.trials[0].learning_rate, 1e-7, 1e-12);
  EXPECT_NEAR(found.trials[0].smoothed, found.trials[0].loss, 1e-6);
}

}  // namespace
}  // namespace ingot::train
