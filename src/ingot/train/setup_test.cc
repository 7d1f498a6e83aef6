// PrepareTraining: what a job becomes before its first step, and what --explain says.
#include "ingot/train/setup.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/train/trainer_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

TrainingSetup Prepare(const std::string& more) {
  const TrainRequest request = SmallRequest(more);
  return PrepareTraining(request.job, request.setup);
}

TEST(PrepareTraining, StepsAndBatches) {
  const TrainingSetup setup = Prepare("{epochs: 3}");
  EXPECT_EQ(setup.steps_per_epoch(), 7);
  EXPECT_EQ(setup.total_steps, 21);
  ASSERT_EQ(setup.steps.size(), 2u);
  EXPECT_EQ(setup.steps[0].batch, 16);
  EXPECT_EQ(setup.steps[1].batch, 4);
  EXPECT_EQ(setup.ProgramOf(5), 0);
  EXPECT_EQ(setup.ProgramOf(6), 1);
  EXPECT_EQ(setup.ProgramOf(7), 0);
  // A run that ends before the short batch does not compile it.
  EXPECT_EQ(Prepare("{epochs: 3, steps: 6}").steps.size(), 1u);
  EXPECT_EQ(Prepare("{epochs: 3, steps: 6}").total_steps, 6);
  EXPECT_EQ(Prepare("{epochs: 0, steps: 600}").total_steps, 600);
  EXPECT_EQ(Prepare("{epochs: 3, steps: 6}").kernel_digest, setup.kernel_digest);
}

// The data may have to be downloaded first: a typo in the layers need not wait for that.
TEST(PrepareTraining, LayersAreCheckedBeforeTheDataAreFetched) {
  SetupOptions options;
  bool fetched = false;
  options.find_mnist = [&fetched]() -> std::string {
    fetched = true;
    throw Error(ErrorCode::kNotFound, "no data");
  };
  const auto prepare = [&](const std::string& layers) {
    return PrepareTraining(
        ReadJob(ParseConfig("{data: {source: mnist}, model: {layers: " + layers + "}}", "job")),
        options);
  };
  try {
    prepare("[{dens: 10}]");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("dens"));
    EXPECT_FALSE(fetched);
  }
  EXPECT_THROW(prepare("[flatten, {dense: 10}]"), Error);
  EXPECT_TRUE(fetched);
}

TEST(PrepareTraining, ShardsAreAtMostTheBatch) {
  EXPECT_EQ(Prepare("{logical_shards: 5}").logical_shards, 5);
  EXPECT_EQ(Prepare("{logical_shards: 99}").logical_shards, 16);
  EXPECT_GE(Prepare("{logical_shards: auto}").logical_shards, 1);
}

TEST(PrepareTraining, LossAndMetricFollowTheTask) {
  const TrainingSetup setup = Prepare("{}");
  EXPECT_EQ(setup.network.loss, "softmax_cross_entropy");
  EXPECT_THAT(setup.network.metrics, testing::ElementsAre("accuracy"));
  EXPECT_THAT(setup.resolved.ToYaml(), HasSubstr("loss:\n  softmax_cross_entropy:\n"));
}

TEST(PrepareTraining, ExplainNamesLayersParametersAndWork) {
  const std::string text = ExplainTraining(Prepare("{}"));
  EXPECT_THAT(text, HasSubstr("learning_rate: 0.01"));
  EXPECT_THAT(text, HasSubstr("0 (dense 12)"));
  EXPECT_THAT(text, HasSubstr("f32[batch, 12]"));
  EXPECT_THAT(text, HasSubstr("111 parameters"));
  EXPECT_THAT(text, HasSubstr("logical shards"));
  EXPECT_THAT(text, HasSubstr("MFLOP"));
}

TEST(PrepareTraining, LayersThatDoNotFitAreNamed) {
  try {
    Prepare("{model: {layers: [{dense: 12}, {reshape: [5, 5]}]}}");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_THAT(error.message(), HasSubstr("reshape"));
    EXPECT_THAT(error.message(), HasSubstr("12"));
  }
}

// job.yaml in the run directory is read from there, whatever folder a later command begins in.
TEST(PrepareTraining, FilesOfTheCommandLineAreInTheCurrentFolder) {
  TrainRequest request = SmallRequest();
  ConfigNode job = ParseConfig("{data: {source: mnist}}", "jobs/job.yaml");
  job.SetPath("data.source", "{npz: {train: d.npz}}");
  request.job.data.source = *job.Find("data")->Find("source");
  request.job.data.folder.clear();
  EXPECT_EQ(PrepareTraining(request.job, request.setup).job.data.folder,
            std::filesystem::current_path().string());
  // Those of the job file stand beside it.
  request.job.data.source = *ParseConfig("{s: {npz: {train: d.npz}}}", "/jobs/job.yaml").Find("s");
  EXPECT_EQ(PrepareTraining(request.job, request.setup).job.data.folder, "/jobs");
}

}  // namespace
}  // namespace ingot::train
