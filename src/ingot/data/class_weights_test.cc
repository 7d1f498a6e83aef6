// Weights of classes and weighted sampling.
#include "ingot/data/class_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/data/data_options.h"

namespace ingot::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kNames = {"cat", "dog", "owl"};
const std::vector<int64_t> kLabels = {0, 0, 0, 1, 1, 2};

std::vector<double> Read(const std::string& yaml) {
  return ReadClassWeights(ParseConfig(yaml, "job.yaml"), "auto", kNames, 3, kLabels);
}

std::string Message(const std::string& yaml) {
  return ErrorOf([&] { Read(yaml); }).message();
}

TEST(ClassWeightsTest, AutoMakesClassesCountTheSame) {
  EXPECT_THAT(Read("auto"), ElementsAre(6.0 / 9, 1, 2));
}

TEST(ClassWeightsTest, GivenByNumberOrByName) {
  EXPECT_THAT(Read("[1, 2.5, 0]"), ElementsAre(1, 2.5, 0));
  EXPECT_THAT(Read("{owl: 4}"), ElementsAre(1, 1, 4));
}

TEST(ClassWeightsTest, FaultsAreNamed) {
  EXPECT_THAT(Message("[1, 2]"), HasSubstr("2 weights for 3 classes"));
  EXPECT_THAT(Message("{owls: 4}"), HasSubstr("there is no class 'owls'"));
  EXPECT_THAT(Message("[1, -2, 1]"), HasSubstr("-2"));
  EXPECT_THAT(Message("[0, 0, 0]"), HasSubstr("every class has weight 0"));
  EXPECT_THAT(Message("much"), HasSubstr("expected auto, a list of weights"));
  const auto read = [] {
    ReadClassWeights(ParseConfig("auto", "job.yaml"), "auto", kNames, 3, {0, 1});
  };
  EXPECT_THAT(ErrorOf(read).message(), HasSubstr("class 'owl' has no sample"));
}

TEST(WeightedSamplerTest, DrawsByWeightAndKey) {
  const WeightedSampler sampler({1, 0, 3}, 7);
  std::vector<int> counts(3);
  for (int64_t i = 0; i < 4000; ++i) ++counts[static_cast<size_t>(sampler.Draw(2, i))];
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[2], 3000, 150);
  EXPECT_EQ(sampler.Draw(2, 5), WeightedSampler({1, 0, 3}, 7).Draw(2, 5));
}

TEST(WeightedSamplerTest, FaultsAreNamedWithTheirPlace) {
  const auto message = [](const std::string& sampling) {
    return ErrorOf([&] {
             OpenData(DataTable().Read(ParseConfig(
                          "{batch: 1, limit: 1, source: {synthetic: {shape: [2], classes: 3, "
                          "samples: 3}}, sampling: " +
                              sampling + "}",
                          "job.yaml")),
                      5);
           })
        .message();
  };
  EXPECT_THAT(message("balanced"),
              AllOf(HasSubstr("job.yaml:1:"), HasSubstr("has no sample in the training data")));
  EXPECT_THAT(message("auto"), HasSubstr("expected balanced, a list of weights"));
}

TEST(WeightedSamplerTest, ABalancedEpochOfAJob) {
  const DataSets sets = OpenData(
      DataTable().Read(ParseConfig("{batch: 100, source: {synthetic: {shape: [2], classes: 3, "
                                   "samples: 3000}}, limit: 2500, sampling: [0, 1, 3], "
                                   "class_weights: auto}",
                                   "job.yaml")),
      5);
  ASSERT_NE(sets.sampler, nullptr);
  EXPECT_EQ(sets.class_weights.size(), 3u);
  const auto batches = sets.TrainingBatches(5);
  std::vector<int> counts(3);
  std::vector<float> x(200);
  std::vector<int64_t> y(100);
  for (int64_t step = 0; step < batches->StepsPerEpoch(); ++step) {
    batches->Fill(step, 0, 100, std::vector<void*>{x.data(), y.data()});
    for (const int64_t label : y) ++counts[static_cast<size_t>(label)];
  }
  EXPECT_EQ(counts[0], 0);
  EXPECT_NEAR(static_cast<double>(counts[2]) / counts[1], 3, 0.6);
}

}  // namespace
}  // namespace ingot::data
