// RunDirectory: what is refused and why, what --overwrite removes, the lock, and metrics.jsonl.
#include "ingot/train/run_directory.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/error.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectoryTest()
      : root_(::testing::TempDir() + "ingot_run_directory_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name() + "_" +
              std::to_string(::getpid())) {
    fs::remove_all(root_);
  }
  ~RunDirectoryTest() override { fs::remove_all(root_); }

  RunDirectory Open(RunMode mode) { return RunDirectory(RealFileSystem(), root_, mode); }
  Error ErrorOf(RunMode mode) {
    try {
      Open(mode);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return Error(ErrorCode::kInternal, "");
  }
  void Put(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(root_ + "/" + name).parent_path());
    std::ofstream(root_ + "/" + name) << text;
  }
  std::string Get(const std::string& name) { return ReadFile(root_ + "/" + name); }

  std::string root_;
};

TEST_F(RunDirectoryTest, ANewOneIsMadeAndAFullOneRefused) {
  {
    RunDirectory run = Open(RunMode::kNew);
    run.WriteJob("seed: 1\n");
    EXPECT_EQ(Get("job.yaml"), "seed: 1\n");
    EXPECT_EQ(run.checkpoints(), root_ + "/checkpoints");
  }
  const Error error = ErrorOf(RunMode::kNew);
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(), "the run directory " + root_ + " is not empty (it holds job.yaml)");
  EXPECT_EQ(error.hint(),
            "go on with the run in it: --resume " + root_ + "; or replace it: --overwrite");
}

TEST_F(RunDirectoryTest, AnEmptyFolderAndATrailingSlashAreFine) {
  fs::create_directories(root_);
  const RunDirectory run(RealFileSystem(), root_ + "/", RunMode::kNew);
  EXPECT_EQ(run.path(), root_);
}

TEST_F(RunDirectoryTest, ARefusedFolderStaysAsItWas) {
  Put("thesis.tex", "do not lose me");
  EXPECT_THAT(ErrorOf(RunMode::kNew).message(), HasSubstr("it holds thesis.tex)"));
  EXPECT_FALSE(fs::exists(root_ + "/.lock"));
}

TEST_F(RunDirectoryTest, OverwriteRemovesARunAndNothingElse) {
  Put("job.yaml", "old");
  Put("metrics.jsonl", "old");
  Put("events.out.tfevents.1.host", "old");
  Put("checkpoints/step-00000001/model.safetensors", "old");
  Put("thesis.tex", "do not lose me");
  const RunDirectory run = Open(RunMode::kOverwrite);
  EXPECT_FALSE(fs::exists(root_ + "/job.yaml"));
  EXPECT_FALSE(fs::exists(root_ + "/metrics.jsonl"));
  EXPECT_FALSE(fs::exists(root_ + "/events.out.tfevents.1.host"));
  EXPECT_FALSE(fs::exists(root_ + "/checkpoints"));
  EXPECT_EQ(Get("thesis.tex"), "do not lose me");
}

TEST_F(RunDirectoryTest, OverwriteRefusesAFolderWithoutARun) {
  Put("job.yaml", "my own");
  Put("log.txt", "my own");
  Put("checkpoints/pretrained.safetensors", "my own");
  const Error error = ErrorOf(RunMode::kOverwrite);
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_THAT(error.message(), HasSubstr(root_ + " is not empty (it holds "));
  EXPECT_THAT(error.hint(), HasSubstr("it holds no run that --overwrite could replace"));
  EXPECT_EQ(ErrorOf(RunMode::kNew).hint(), "choose another folder with --out");
  EXPECT_FALSE(fs::exists(root_ + "/.lock"));
  EXPECT_EQ(Get("job.yaml"), "my own");
  EXPECT_EQ(Get("checkpoints/pretrained.safetensors"), "my own");
}

TEST_F(RunDirectoryTest, OverwriteLeavesWhatIsNoCheckpoint) {
  for (const char* name : {"step-00000012", "best", "final", ".tmp-step-00000013", ".replaced-best",
                           ".writer-a", ".former-b"}) {
    Put(std::string("checkpoints/") + name + "/model.safetensors", "old");
  }
  Put("checkpoints/pretrained/model.safetensors", "do not lose me");
  Put("job.yaml", "old");
  Open(RunMode::kOverwrite);
  EXPECT_EQ(RealFileSystem().List(root_ + "/checkpoints"), std::vector<std::string>{"pretrained"});
  EXPECT_FALSE(fs::exists(root_ + "/job.yaml"));
}

TEST_F(RunDirectoryTest, AnAbortedStartMayBeOverwritten) {
  for (const char* name : {"pids", "rendezvous/token", "job.yaml.tmp-17-0"}) Put(name, "old");
  Open(RunMode::kOverwrite);
  EXPECT_EQ(RealFileSystem().List(root_), std::vector<std::string>{".lock"});
}

TEST_F(RunDirectoryTest, AStartThatNeverCameToItsJobIsNoRun) {
  for (const char* name : {"pids", "rendezvous/token", "job.yaml.tmp-17-0"}) Put(name, "old");
  Open(RunMode::kNew);
  EXPECT_EQ(RealFileSystem().List(root_), std::vector<std::string>{".lock"});
  Put("thesis.tmp-1", "do not lose me");
  EXPECT_THAT(ErrorOf(RunMode::kNew).message(), HasSubstr("it holds thesis.tmp-1)"));
}

TEST_F(RunDirectoryTest, ResumeNeedsARun) {
  EXPECT_EQ(ErrorOf(RunMode::kResume).message(), "the run directory " + root_ + " does not exist");
  Put("something", "");
  EXPECT_EQ(ErrorOf(RunMode::kResume).message(),
            root_ + " is no run directory: it holds no job.yaml");
  Put("job.yaml", "");
  Open(RunMode::kResume);
}

TEST_F(RunDirectoryTest, TwoRunsDoNotShareAFolder) {
  RunDirectory run = Open(RunMode::kNew);
  run.WriteJob("");
  EXPECT_EQ(ErrorOf(RunMode::kResume).message(),
            "the run directory " + root_ + " is in use by another run");
  EXPECT_EQ(ErrorOf(RunMode::kOverwrite).message(),
            "the run directory " + root_ + " is in use by another run");
  EXPECT_TRUE(fs::exists(root_ + "/job.yaml"));
}

TEST_F(RunDirectoryTest, TheLockOfADeadProcessIsFree) {
  fs::create_directories(root_);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunDirectory run = Open(RunMode::kNew);
    ::_exit(0);  // without destructors, as kill -9 would end it
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(fs::exists(root_ + "/.lock"));
  Open(RunMode::kNew);
}

TEST_F(RunDirectoryTest, AnUnwritablePlaceIsNamed) {
  Put("file", "");
  try {
    RunDirectory(RealFileSystem(), root_ + "/file/run", RunMode::kNew);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr(root_ + "/file/run"));
  }
}

TEST_F(RunDirectoryTest, MetricsAreAppendedAndTruncated) {
  {
    RunDirectory run = Open(RunMode::kNew);
    run.WriteJob("");
    run.AppendMetrics({"train", 10, 0, 0.5, {{"loss", 0.25}}});
    run.AppendMetrics({"validation", 10, 0, 0.6, {{"validation_loss", 0.1 + 0.2}}});
    run.AppendMetrics({"train", 20, 1, 0.7, {{"loss", std::numeric_limits<double>::quiet_NaN()}}});
  }
  const std::string first =
      "{\"kind\":\"train\",\"step\":10,\"epoch\":0,\"seconds\":0.5,\"loss\":0.25}\n";
  EXPECT_THAT(Get("metrics.jsonl"), HasSubstr(first));
  EXPECT_THAT(Get("metrics.jsonl"), HasSubstr("\"loss\":null"));
  EXPECT_THAT(Get("metrics.jsonl"), HasSubstr("\"validation_loss\":0.30000000000000004"));
  {
    std::ofstream(root_ + "/metrics.jsonl", std::ios::app) << "{\"kind\":\"train\",\"st";
    RunDirectory run = Open(RunMode::kResume);
    run.TruncateMetrics(19);
    run.AppendMetrics({"train", 15, 1, 0.1, {}});
    EXPECT_THAT(Get("metrics.jsonl"), HasSubstr(first));
    EXPECT_THAT(
        Get("metrics.jsonl"),
        testing::EndsWith("\n{\"kind\":\"train\",\"step\":15,\"epoch\":1,\"seconds\":0.1}\n"));
    EXPECT_THAT(Get("metrics.jsonl"), testing::Not(HasSubstr("\"step\":20")));
  }
  RunDirectory run = Open(RunMode::kResume);
  run.TruncateMetrics(0);
  EXPECT_EQ(Get("metrics.jsonl"), "");
}

TEST_F(RunDirectoryTest, WhatTheWriterBeforeStillWritesGoesNowhere) {
  RunDirectory before = Open(RunMode::kShared);
  before.TakeOverMetrics(0, false);
  before.AppendMetrics({"train", 10, 0, 0.1, {}});
  before.AppendMetrics({"train", 20, 1, 0.2, {}});
  RunDirectory after = Open(RunMode::kShared);
  after.TakeOverMetrics(10, false);
  before.AppendMetrics({"train", 30, 1, 0.3, {}});
  after.AppendMetrics({"train", 20, 1, 0.4, {}});
  EXPECT_EQ(Get("metrics.jsonl"),
            "{\"kind\":\"train\",\"step\":10,\"epoch\":0,\"seconds\":0.1}\n"
            "{\"kind\":\"train\",\"step\":20,\"epoch\":1,\"seconds\":0.4}\n");
}

TEST_F(RunDirectoryTest, AnEpochThatIsOpenHasItsRecordsYetToCome) {
  RunDirectory before = Open(RunMode::kShared);
  before.TakeOverMetrics(0, false);
  before.AppendMetrics({"train", 10, 1, 0.1, {}});
  const std::string train = Get("metrics.jsonl");
  before.AppendMetrics({"epoch", 10, 1, 0.1, {}});
  before.AppendMetrics({"validation", 10, 1, 0.1, {}});
  const std::string all = Get("metrics.jsonl");
  RunDirectory closed = Open(RunMode::kShared);
  closed.TakeOverMetrics(10, false);
  EXPECT_EQ(Get("metrics.jsonl"), all);
  RunDirectory open = Open(RunMode::kShared);
  open.TakeOverMetrics(10, true);
  EXPECT_EQ(Get("metrics.jsonl"), train);
}

TEST_F(RunDirectoryTest, SummaryHasTheKeysThatProgramsRelyOn) {
  RunDirectory run = Open(RunMode::kNew);
  Summary summary;
  summary.steps = 4690;
  summary.test_accuracy = 0.975;
  summary.test_metrics["test_top_5"] = 0.999;
  run.WriteSummary(summary);
  const nlohmann::json json = nlohmann::json::parse(Get("summary.json"));
  for (const char* key : {"test_accuracy", "wall_seconds", "steps", "step_microseconds_median",
                          "logical_shards", "parameters", "peak_memory_bytes", "resumed_from_step",
                          "test_loss", "seed", "threads", "epochs", "checkpoint_stall_seconds",
                          "data_wait_seconds", "process_start_to_first_step_seconds"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json["steps"], 4690);
  EXPECT_EQ(json["test_accuracy"], 0.975);
  EXPECT_EQ(json["test_top_5"], 0.999);
  EXPECT_TRUE(json["test_loss"].is_null());
  EXPECT_EQ(json["resumed_from_step"], 0);
}

}  // namespace
}  // namespace ingot::train
