// Job: defaults, every kind of mistake with its message, the resolved job and what decides weights.
#include "ingot/train/job.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kMinimal[] = "model: {layers: [{dense: 10}]}\n";

Job Read(const std::string& yaml) {
  return ReadJob(ParseConfig(yaml, "job.yaml"));
}

Error ErrorOf(const std::string& yaml) {
  try {
    Read(yaml);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error;
  }
  ADD_FAILURE() << "no error for:\n" << yaml;
  return Error(ErrorCode::kInternal, "");
}

TEST(Job, TheFirstJobHasTheKeysThatProgramsRelyOn) {
  const ConfigNode file = LoadConfig(INGOT_SOURCE_DIR "/examples/mnist/mnist.yaml");
  ConfigNode node = file;
  for (const auto& [path, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"steps", "100"},
           {"data.batch", "32"},
           {"logical_shards", "8"},
           {"optimizer.adam.learning_rate", "0.01"},
           {"precision", "f64"},
           {"evaluate", "false"}}) {
    node.SetPath(path, value);
  }
  const Job job = ReadJob(node);
  EXPECT_EQ(job.steps, 100);
  EXPECT_EQ(job.data.batch, 32);
  EXPECT_EQ(job.logical_shards, "8");
  EXPECT_EQ(job.optimizer.learning_rate(), 0.01);
  EXPECT_EQ(job.precision, "f64");
  EXPECT_FALSE(job.evaluate);
  const Job plain = ReadJob(file);
  EXPECT_EQ(plain.epochs, 10);
  EXPECT_EQ(plain.data.batch, 128);
  EXPECT_EQ(plain.logical_shards, "auto");
  EXPECT_EQ(plain.optimizer.name(), "adam");
  EXPECT_EQ(plain.optimizer.learning_rate(), 0.001);
}

TEST(Job, DefaultsAndShortForms) {
  const Job job = Read(kMinimal);
  EXPECT_EQ(job.epochs, 10);
  EXPECT_EQ(job.optimizer.learning_rate(), 0.001);
  EXPECT_TRUE(job.loss.is_null());
  EXPECT_FALSE(job.early_stopping.has_value());
  const Job brief =
      Read(std::string(kMinimal) + "optimizer: sgd\nschedule: cosine\nlogical_shards: 4\n");
  EXPECT_EQ(brief.optimizer.name(), "sgd");
  EXPECT_TRUE(brief.schedule.cosine.has_value());
  EXPECT_EQ(brief.logical_shards, "4");
}

TEST(Job, MistakesAreNamedAtTheirPlace) {
  const Error unknown = ErrorOf(std::string(kMinimal) + "epochz: 3\n");
  EXPECT_THAT(unknown.message(), HasSubstr("job.yaml:2:"));
  EXPECT_THAT(unknown.message(), HasSubstr("epochz"));
  EXPECT_THAT(unknown.hint(), HasSubstr("epochs"));

  const Error rate =
      ErrorOf(std::string(kMinimal) + "optimizer:\n  adam:\n    learning_rat: 0.1\n");
  EXPECT_THAT(rate.message(), HasSubstr("job.yaml:4:5"));
  EXPECT_THAT(rate.hint(), HasSubstr("learning_rate"));

  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "epochs: many\n").message(), HasSubstr("many"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "epochs: -1\n").message(), HasSubstr("-1"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "data: {batch: 0}\n").message(), HasSubstr("batch"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "precision: f16\n").message(), HasSubstr("f16"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "logical_shards: 0\n").message(),
              HasSubstr("expected 1 or more shards, got 0"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "logical_shards: all\n").message(),
              HasSubstr("expected a number of shards or auto, got 'all'"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "epochs: 0\n").message(),
              HasSubstr("the run would have no end"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "early_stopping: {metric: loss}\n").hint(),
              HasSubstr("'validation_loss'"));
  EXPECT_THAT(ErrorOf(std::string(kMinimal) + "checkpoint: {best: accuracy}\n").message(),
              HasSubstr("expected a validation metric"));
  EXPECT_THAT(ErrorOf("epochs: 3\n").message(), HasSubstr("model"));
  EXPECT_THAT(ErrorOf("- a\n").message(), HasSubstr("expected a job"));
}

TEST(Job, TheResolvedJobReadsBackAsTheSame) {
  const Job job = Read(std::string(kMinimal) +
                       "schedule: {cosine: {}, warm_up: 10}\nearly_stopping: {patience: 2}\n"
                       "optimizer: {adamw: {learning_rate: 0.003}}\n");
  const ConfigNode resolved = ResolvedJob(job, {nullptr, 16, 110});
  const Job again = ReadJob(ParseConfig(resolved.ToYaml(), "job.yaml"));
  EXPECT_EQ(again.logical_shards, "16");
  EXPECT_EQ(again.schedule.cosine->steps, 100);
  EXPECT_EQ(again.early_stopping->patience, 2);
  EXPECT_EQ(again.optimizer.name(), "adamw");
  EXPECT_EQ(again.optimizer.learning_rate(), 0.003);
  // Also when the job goes on for longer.
  const ConfigNode longer = ResolvedJob(again, {nullptr, 16, 1000});
  EXPECT_EQ(JobDigest(longer), JobDigest(resolved));
  EXPECT_THAT(DecidingDifferences(resolved, longer), IsEmpty());
}

TEST(Job, SchedulesThatGoToTheEndKeepTheirSteps) {
  for (const char* name : {"cosine", "polynomial", "one_cycle"}) {
    const Job job = Read(std::string(kMinimal) + "schedule: {" + name + ": {}, warm_up: 10}\n");
    const ConfigNode resolved = ResolvedJob(job, {nullptr, 16, 110});
    const Job again = ReadJob(ParseConfig(resolved.ToYaml(), "job.yaml"));
    const ConfigNode longer = ResolvedJob(again, {nullptr, 16, 1000});
    EXPECT_THAT(longer.ToYaml(), HasSubstr("steps: 100\n")) << name;
    EXPECT_EQ(JobDigest(longer), JobDigest(resolved)) << name;
    // The rates of the job as it was given, and of the one that goes on.
    const nn::Schedule before(job.schedule, 0.1, 110);
    const nn::Schedule after(again.schedule, 0.1, 1000);
    for (const int64_t step : {0, 9, 10, 60, 109}) {
      EXPECT_EQ(after.LearningRate(step), before.LearningRate(step)) << name << " " << step;
    }
  }
}

TEST(Job, TheDigestIsOfWhatDecidesTheWeights) {
  const auto resolved = [](const std::string& more) {
    return ResolvedJob(Read(std::string(kMinimal) + more), {nullptr, 8, 100});
  };
  const std::string digest = JobDigest(resolved(""));
  for (const char* same :
       {"epochs: 20\n", "steps: 7\n", "evaluate: false\n", "metrics: [accuracy]\n",
        "checkpoint: {keep: 9}\n", "log: {every_steps: 5}\n", "data: {folder: /elsewhere}\n",
        "data: {prefetch: off}\n", "logical_shards: 8\n"}) {
    EXPECT_EQ(JobDigest(resolved(same)), digest) << same;
  }
  for (const char* other : {"seed: 1\n", "data: {batch: 33}\n", "precision: f64\n", "loss: mse\n",
                            "optimizer: {adam: {beta1: 0.8}}\n", "schedule: {warm_up: 3}\n",
                            "data: {validation: 0.1}\n"}) {
    EXPECT_NE(JobDigest(resolved(other)), digest) << other;
  }
  EXPECT_THAT(DecidingDifferences(resolved(""), resolved("seed: 3\nepochs: 4\n")),
              ElementsAre("seed was 0, is 3"));
  EXPECT_THAT(DecidingDifferences(resolved(""), resolved("optimizer: sgd\n")),
              testing::Contains(HasSubstr("optimizer.sgd.learning_rate was absent, is 0.01")));
}

}  // namespace
}  // namespace ingot::train
