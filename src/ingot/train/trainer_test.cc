// Train: what a run leaves behind, the same bits however it is run, and going on where it stopped.
#include "ingot/train/trainer.h"

#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file_faults.h"
#include "ingot/base/test_folder.h"
#include "ingot/formats/safetensors.h"
#include "ingot/train/checkpoint_store.h"
#include "ingot/train/trainer_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<formats::NamedTensor> FinalWeights(const std::string& run) {
  return ReadCheckpoint(run + "/checkpoints/final").parameters;
}

TrainRequest Resumed(TrainRequest request) {
  request.mode = RunMode::kResume;
  return request;
}

TEST(Train, LearnsAndWritesEverything) {
  const TestFolder folder;
  const std::string run = folder / "run";
  TrainRequest request =
      SmallRequest("{epochs: 40, log: {tensorboard: true, every_steps: 50}}", run);
  const TrainResult result = Train(request);
  EXPECT_EQ(result.end, RunEnd::kFinished);
  EXPECT_EQ(result.summary.steps, 280);
  EXPECT_EQ(result.summary.epochs, 40);
  EXPECT_EQ(result.summary.parameters, 5 * 12 + 12 + 12 * 3 + 3);
  EXPECT_GT(result.summary.test_accuracy.value(), 0.9);
  EXPECT_GT(result.summary.step_microseconds_median, 0);
  EXPECT_GT(result.summary.process_start_to_first_step_seconds, 0);
  EXPECT_EQ(result.summary.resumed_from_step, 0);
  EXPECT_EQ(BitsOf(FinalWeights(run)), BitsOf(result.parameters));

  const nlohmann::json summary = nlohmann::json::parse(ReadFile(run + "/summary.json"));
  EXPECT_EQ(summary["steps"], 280);
  EXPECT_EQ(summary["test_accuracy"], *result.summary.test_accuracy);
  const std::string records = RecordsOf(run);
  EXPECT_THAT(records, HasSubstr("{\"kind\":\"train\",\"step\":50,\"epoch\":7,"));
  EXPECT_THAT(records, HasSubstr("{\"kind\":\"epoch\",\"step\":280,\"epoch\":40,"));
  EXPECT_THAT(records, HasSubstr("{\"kind\":\"test\",\"step\":280,\"epoch\":40,"));
  bool has_events = false;
  for (const std::string& name : RealFileSystem().List(run)) {
    has_events |= name.starts_with("events.out.tfevents.");
  }
  EXPECT_TRUE(has_events);
  // job.yaml is the job with everything spelled out, and a job itself.
  const Job again = ReadJob(LoadConfig(run + "/job.yaml"));
  EXPECT_EQ(again.epochs, 40);
  EXPECT_EQ(again.logical_shards, std::to_string(result.summary.logical_shards));
  // The final weights are an ordinary safetensors file.
  const auto file = formats::SafetensorsFile::Open(run + "/checkpoints/final/model.safetensors");
  EXPECT_EQ(file.Get("layers.0.weight").shape(), (Shape{5, 12}));
  EXPECT_EQ(file.metadata().at("input"), "f32[5]");
}

TEST(Train, WithoutADirectoryNothingIsWritten) {
  const TrainResult result = Train(SmallRequest("{epochs: 1}"));
  EXPECT_EQ(result.summary.steps, 7);
  EXPECT_EQ(result.parameters.size(), 4u);
}

TEST(Train, TheNumberOfThreadsDoesNotChangeABit) {
  for (const char* shards : {"{logical_shards: 8}", "{logical_shards: auto}"}) {
    std::map<std::string, std::string> expected;
    for (const int threads : {1, 2, 3, 4, 7, 1}) {
      TrainRequest request = SmallRequest(shards);
      request.threads = threads;
      const auto bits = BitsOf(Train(request).parameters);
      if (expected.empty()) expected = bits;
      EXPECT_EQ(bits, expected) << threads << " threads, " << shards;
    }
  }
}

TEST(Train, SeedAndShardsAreTheJob) {
  const auto bits = BitsOf(Train(SmallRequest("{seed: 0}")).parameters);
  EXPECT_NE(BitsOf(Train(SmallRequest("{seed: 1}")).parameters), bits);
}

TEST(Train, ResumingGoesOnBitForBit) {
  const TestFolder folder;
  const TrainResult whole = Train(SmallRequest("{epochs: 4}", folder / "whole"));
  // Stopped in the middle of an epoch, at its end, and resumed past its end.
  for (const char* limit : {"{epochs: 4, steps: 10}", "{epochs: 2}", "{epochs: 4, steps: 1}"}) {
    const std::string run = folder / "run";
    fs::remove_all(run);
    const TrainResult first = Train(SmallRequest(limit, run));
    const TrainResult second = Train(Resumed(SmallRequest("{epochs: 4}", run)));
    EXPECT_EQ(second.summary.resumed_from_step, first.summary.steps);
    EXPECT_EQ(second.summary.steps, 28);
    EXPECT_EQ(BitsOf(second.parameters), BitsOf(whole.parameters)) << limit;
    EXPECT_EQ(second.summary.test_loss, whole.summary.test_loss);
    // The epochs' means are those of an uninterrupted run.
    std::string expected, actual;
    for (const std::string& line : {std::string("\"step\":14"), std::string("\"step\":28")}) {
      for (auto* text : {&expected, &actual}) {
        const std::string records = RecordsOf(text == &expected ? folder / "whole" : run);
        const size_t at = records.find("{\"kind\":\"epoch\"," + line);
        ASSERT_NE(at, std::string::npos) << records;
        *text += records.substr(at, records.find('\n', at) - at);
      }
    }
    EXPECT_EQ(actual, expected);
  }
}

// Checkpoints and records fall on different steps: the sums of an interval go on where they were.
TEST(Train, ResumingWithinAnIntervalGivesTheSameRecords) {
  const char* const job =
      "{epochs: 4, log: {every_steps: 5, every_seconds: 0}, "
      "checkpoint: {every_steps: 3, every_seconds: 0, keep: 20}}";
  const TestFolder folder;
  Train(SmallRequest(job, folder / "whole"));
  const std::string expected = RecordsOf(folder / "whole");
  EXPECT_THAT(expected, HasSubstr("{\"kind\":\"train\",\"step\":15,"));
  for (const int64_t step : {12, 15, 18, 21, 27}) {
    const std::string run = folder / ("run" + std::to_string(step));
    fs::copy(folder / "whole", run, fs::copy_options::recursive);
    for (const std::string& name : RealFileSystem().List(run + "/checkpoints")) {
      if (StepOfCheckpointName(name).value_or(step + 1) <= step) continue;
      fs::remove_all(run + "/checkpoints/" + name);
    }
    EXPECT_EQ(Train(Resumed(SmallRequest(job, run))).summary.resumed_from_step, step);
    EXPECT_EQ(RecordsOf(run), expected) << step;
  }
}

TEST(Train, ResumingAFinishedRunTrainsNoMore) {
  const TestFolder folder;
  const std::string run = folder / "run";
  const TrainResult first = Train(SmallRequest("{epochs: 1}", run));
  const TrainResult again = Train(Resumed(SmallRequest("{epochs: 1}", run)));
  EXPECT_EQ(again.summary.steps, 7);
  EXPECT_EQ(again.summary.resumed_from_step, 7);
  EXPECT_EQ(BitsOf(again.parameters), BitsOf(first.parameters));
  EXPECT_EQ(again.summary.test_accuracy, first.summary.test_accuracy);
}

TEST(Train, AnExampleGoesOnFromItsResolvedJobAlone) {
  const TestFolder folder;
  const std::string run = folder / "run";
  TrainRequest request;
  request.job = ReadJob(LoadConfig(INGOT_SOURCE_DIR "/examples/tabular/tabular.yaml"));
  request.threads = 2;
  request.out = folder / "whole";
  const TrainResult whole = Train(request);
  request.job.steps = 20;
  request.job.schedule.cosine->steps = whole.summary.steps;
  request.out = run;
  Train(request);
  // job.yaml finds the CSV files that stand beside the original job.
  TrainRequest resumed;
  resumed.job = ReadJob(LoadConfig(run + "/job.yaml"));
  resumed.job.steps = 40;
  resumed.out = run;
  resumed.mode = RunMode::kResume;
  resumed.threads = 1;
  const TrainResult result = Train(resumed);
  EXPECT_EQ(result.summary.resumed_from_step, 20);
  EXPECT_EQ(result.summary.steps, 40);
  EXPECT_TRUE(result.summary.test_accuracy.has_value());
}

TEST(Train, KilledAtAnyMomentAndResumedGivesTheSameBits) {
  const char* const job = "{epochs: 40, checkpoint: {every_steps: 3, keep: 2}}";
  const auto expected = BitsOf(Train(SmallRequest(job)).parameters);
  std::mt19937 random(12345);
  int killed = 0;
  for (int round = 0; round < 12; ++round) {
    const TestFolder folder;
    const std::string run = folder / "run";
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        Train(SmallRequest(job, run));
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::usleep(random() % 60'000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) ++killed;
    const bool began = fs::exists(run + "/job.yaml");
    TrainRequest request = SmallRequest(job, run);
    request.mode = began ? RunMode::kResume : RunMode::kOverwrite;
    EXPECT_EQ(BitsOf(Train(request).parameters), expected) << "round " << round;
    for (const std::string& name : RealFileSystem().List(run + "/checkpoints")) {
      EXPECT_NE(name[0], '.') << name;
    }
  }
  RecordProperty("killed", killed);
}

TEST(Train, CtrlCFinishesTheStepAndTheRunGoesOnLater) {
  const auto expected = BitsOf(Train(SmallRequest("{epochs: 5}")).parameters);
  for (const int signal : {SIGINT, SIGTERM}) {
    const TestFolder folder;
    const std::string run = folder / "run";
    std::atomic<int> reads = 0;
    const TrainResult first = Train(SmallRequest("{epochs: 5}", run, [&](int64_t) {
      if (reads.fetch_add(1) == 700) ::raise(signal);
    }));
    EXPECT_EQ(first.end, RunEnd::kInterrupted);
    EXPECT_GT(first.summary.steps, 0);
    EXPECT_LT(first.summary.steps, 35);
    EXPECT_EQ(first.summary.status, "interrupted");
    EXPECT_FALSE(first.summary.test_accuracy.has_value());
    EXPECT_THAT(first.advice, HasSubstr("go on with: ingot train --resume " + run));
    EXPECT_FALSE(fs::exists(run + "/checkpoints/final"));
    const TrainResult second = Train(Resumed(SmallRequest("{epochs: 5}", run)));
    EXPECT_EQ(second.end, RunEnd::kFinished);
    EXPECT_EQ(BitsOf(second.parameters), expected);
  }
}

TEST(Train, ADamagedCheckpointIsPassedOver) {
  const TestFolder folder;
  const std::string run = folder / "run";
  const char* const job = "{epochs: 3, checkpoint: {every_steps: 5}}";
  const TrainResult whole = Train(SmallRequest(job, run));
  std::ofstream(run + "/checkpoints/step-00000021/model.safetensors", std::ios::app) << "x";
  Logger logger(LogLevel::kInfo, nullptr);
  TrainRequest request = Resumed(SmallRequest(job, run));
  request.logger = &logger;
  const TrainResult again = Train(request);
  EXPECT_EQ(again.summary.resumed_from_step, 20);
  EXPECT_EQ(BitsOf(again.parameters), BitsOf(whole.parameters));
  const std::string log = ReadFile(run + "/log.txt");
  EXPECT_THAT(log, HasSubstr("resuming from " + run + "/checkpoints/step-00000020 (step 20)"));
  EXPECT_THAT(log, HasSubstr("passed over a damaged checkpoint: " + run +
                             "/checkpoints/step-00000021/model.safetensors is damaged"));
}

TEST(Train, AnotherJobOrOtherDataAreRefused) {
  const TestFolder folder;
  const std::string run = folder / "run";
  Train(SmallRequest("{epochs: 1}", run));
  try {
    Train(Resumed(SmallRequest("{epochs: 2, optimizer: {adam: {learning_rate: 0.02}}}", run)));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(error.message(), "the job no longer fits the run in " + run +
                                   ": optimizer.adam.learning_rate was 0.01, is 0.02");
  }
  TrainRequest other = Resumed(SmallRequest("{epochs: 2}", run));
  auto source = std::make_shared<PointSource>(100);
  source->bad_record = 3;
  source->bad_value = 0.125f;
  other.setup.data = PointData(other.job, source);
  try {
    Train(other);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_THAT(error.message(), HasSubstr("the training data are not those"));
  }
  try {
    Train(SmallRequest("{epochs: 2}", run));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("is not empty"));
  }
}

TEST(Train, AFullDiskEndsTheRunAndTheLastCheckpointStays) {
  const TestFolder folder;
  const std::string run = folder / "run";
  const char* const job = "{epochs: 3, checkpoint: {every_steps: 5}}";
  const auto expected = BitsOf(Train(SmallRequest(job)).parameters);
  FaultyFileSystem faulty(RealFileSystem(), {.kind = Fault::Kind::kWrite,
                                             .at = 20,
                                             .error_number = ENOSPC,
                                             .crash = true,
                                             .cut_short = true});
  TrainRequest request = SmallRequest(job, run);
  request.file_system = &faulty;
  try {
    Train(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_EQ(ExitStatus(error.code()), 1);
    EXPECT_THAT(error.message(), HasSubstr("No space left on device"));
  }
  const CheckpointStore store(RealFileSystem(), run + "/checkpoints", 3);
  EXPECT_TRUE(store.LoadNewest().skipped.empty());
  EXPECT_EQ(BitsOf(Train(Resumed(SmallRequest(job, run))).parameters), expected);
}

TEST(Train, ASampleThatIsNotFiniteIsNamed) {
  const TestFolder folder;
  TrainRequest request =
      SmallRequest("{epochs: 3, data: {batch: 16, shuffle: false}, checkpoint: {every_steps: 2}}",
                   folder / "run");
  auto source = std::make_shared<PointSource>(100);
  source->bad_record = 85;  // in the sixth batch
  source->bad_value = std::nanf("");
  request.setup.data = PointData(request.job, source);
  try {
    Train(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    EXPECT_EQ(ExitStatus(error.code()), 1);
    EXPECT_EQ(error.message(),
              "training became numerically unstable at step 6 (epoch 1): the first value that is "
              "not finite is NaN in input 'x', for sample 85 of the training data (point 85)");
    EXPECT_THAT(error.hint(), HasSubstr("the last good checkpoint is " + (folder / "run") +
                                        "/checkpoints/step-00000005"));
  }
  EXPECT_EQ(CheckpointStore(RealFileSystem(), folder / "run/checkpoints", 3)
                .LoadNewest()
                .checkpoint.manifest.step,
            5);
}

TEST(Train, AGradientThatIsNotFiniteSpoilsNoCheckpoint) {
  const TestFolder folder;
  // The second sample's loss is 1e20, its weight gradient 2e10 * 1e30.
  WriteFileAtomically(RealFileSystem(), folder / "data.csv", "a,b,y\n0,1,1\n1e30,1,1e10\n0,2,3\n");
  TrainRequest request;
  request.job = ReadJob(ParseConfig(
      "{epochs: 1, data: {source: {csv: {train: '" + (folder / "data.csv") +
          "'}}, batch: 1, shuffle: false}, model: {layers: [dense: {units: 1, kernel_initializer: "
          "zeros}]}, optimizer: {adam: {learning_rate: 0.01}}, evaluate: false, "
          "checkpoint: {every_steps: 1}}",
      "job.yaml"));
  request.out = folder / "run";
  request.threads = 2;
  try {
    Train(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    EXPECT_THAT(error.message(), HasSubstr("numerically unstable at step 2"));
    EXPECT_THAT(error.message(), HasSubstr("layer 0 (dense 1)"));
    EXPECT_THAT(error.hint(), HasSubstr("step-00000001"));
  }
  // What a clean run of one step leaves, to the bit.
  TrainRequest clean = request;
  clean.job.steps = 1;
  clean.out = folder / "clean";
  Train(clean);
  for (const char* const file : {"/model.safetensors", "/optimizer.safetensors"}) {
    const std::string checkpoint = std::string("/checkpoints/step-00000001") + file;
    EXPECT_EQ(ReadFile(request.out + checkpoint), ReadFile(clean.out + checkpoint)) << file;
  }
}

TEST(Train, AnExplosionIsTracedToItsLayer) {
  TrainRequest request = SmallRequest("{optimizer: {sgd: {learning_rate: 1e+30}}}");
  try {
    Train(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    EXPECT_THAT(error.message(), HasSubstr("numerically unstable at step "));
    EXPECT_THAT(error.message(), HasSubstr("the first value that is not finite is "));
    EXPECT_THAT(error.message(), HasSubstr("layer "));
    EXPECT_THAT(error.hint(), HasSubstr("lower optimizer.sgd.learning_rate (it is 1e+30)"));
  }
}

TEST(Train, ValidationChoosesTheBestAndStopsEarly) {
  const TestFolder folder;
  const std::string run = folder / "run";
  const char* const job =
      "{epochs: 200, data: {batch: 16, validation: 0.2}, optimizer: {adam: {learning_rate: 0.1}}, "
      "early_stopping: {patience: 3}, checkpoint: {best: validation_accuracy}}";
  const TrainResult result = Train(SmallRequest(job, run));
  EXPECT_EQ(result.end, RunEnd::kStoppedEarly);
  EXPECT_LT(result.summary.epochs, 200);
  EXPECT_EQ(result.summary.status, "stopped early");
  EXPECT_EQ(result.summary.best_metric, "validation_accuracy");
  const Checkpoint best = ReadCheckpoint(run + "/checkpoints/best");
  EXPECT_EQ(best.manifest.step, result.summary.best_step);
  EXPECT_EQ(best.manifest.best.best, result.summary.best_value);
  EXPECT_THAT(RecordsOf(run), HasSubstr("{\"kind\":\"validation\",\"step\":5,\"epoch\":1,"));
  // What early stopping has seen survives a resume: it stops again, at once.
  const TrainResult again = Train(Resumed(SmallRequest(job, run)));
  EXPECT_EQ(again.end, RunEnd::kStoppedEarly);
  EXPECT_EQ(again.summary.steps, result.summary.steps);
}

TEST(Train, MonitorsNeedValidation) {
  const auto message = [](const char* more) {
    try {
      Train(SmallRequest(more));
    } catch (const Error& error) {
      return error.message() + " | " + error.hint();
    }
    return std::string("no error");
  };
  EXPECT_THAT(message("{early_stopping: {patience: 1}}"),
              HasSubstr("early_stopping needs validation, and the job has none | keep a share"));
  EXPECT_THAT(message("{data: {batch: 16, validation: 0.2}, checkpoint: {best: "
                      "validation_acuracy}}"),
              HasSubstr("did you mean 'validation_accuracy'?"));
}

TEST(Train, ABatchLargerThanTheDataIsRefused) {
  TrainRequest request = SmallRequest("{data: {batch: 101}}");
  try {
    Train(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_THAT(error.message(), HasSubstr("101"));
    EXPECT_THAT(error.message(), HasSubstr("100"));
  }
}

TEST(Train, DoublePrecision) {
  const TrainResult result = Train(SmallRequest("{precision: f64, epochs: 2}"));
  EXPECT_EQ(result.parameters[0].tensor.dtype(), DType::kF64);
  EXPECT_TRUE(std::isfinite(result.summary.test_loss.value()));
}

}  // namespace
}  // namespace ingot::train
