// Repository and schedulers, around a backend made of C++.
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/serve/model_config.h"
#include "ingot/serve/proto/model_config.pb.h"
#include "ingot/serve/scheduling_fixture.h"

namespace ingot::serve {
namespace {

using ::testing::HasSubstr;

TEST_F(SchedulingTest, DerivesAConfigurationAndComputes) {
  AddModel("m", "");
  Repository& repository = Make();
  repository.LoadAll();
  EXPECT_EQ(Result(*Start("m", {1, 2, 3, 4})), (std::vector<float>{2, 4, 6, 8}));
  Status status;
  const auto model = repository.Find("m", "", status);
  EXPECT_EQ(model->max_batch, 64);
  EXPECT_EQ(model->statistics.Values().inference_count, 2u);
  EXPECT_THAT(ConfigJson(*model->config), HasSubstr("\"max_batch_size\":64"));
}

TEST_F(SchedulingTest, WhatWaitsTogetherIsOneBatch) {
  AddModel("m", "max_batch_size: 4 dynamic_batching {} instance_group { count: 1 }");
  Make().LoadAll();
  control_.Set(false);
  const auto first = Start("m", {1, 1});
  WaitForBatches(1);
  std::vector<std::shared_ptr<TestJob>> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(Start("m", {float(i), 0}));
  control_.Set(true);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Result(*jobs[i])[0], 2.0f * float(i));
  EXPECT_EQ(control_.batches, (std::vector<int64_t>{1, 4, 2}));
}

TEST_F(SchedulingTest, WaitsForCompanyUpToItsDelay) {
  AddModel("m",
           "max_batch_size: 8 dynamic_batching { preferred_batch_size: 2 "
           "max_queue_delay_microseconds: 30000000 }");
  Make().LoadAll();
  const auto a = Start("m", {1, 1});
  const auto b = Start("m", {2, 2});
  EXPECT_EQ(Result(*a)[0], 2);
  EXPECT_EQ(Result(*b)[0], 4);
  EXPECT_EQ(control_.batches, (std::vector<int64_t>{2}));
}

TEST_F(SchedulingTest, PrioritiesGoFirst) {
  AddModel("m",
           "max_batch_size: 1 instance_group { count: 1 } dynamic_batching { priority_levels: 3 "
           "default_priority_level: 2 }");
  Make().LoadAll();
  control_.Set(false);
  const auto first = Start("m", {0, 0});
  WaitForBatches(1);
  const auto low = Start("m", {3, 0}, {}, 3);
  const auto beyond = Start("m", {4, 0}, {}, 99);  // there is no lower one than the third
  const auto middle = Start("m", {2, 0});
  const auto high = Start("m", {1, 0}, {}, 1);
  control_.Set(true);
  Result(*beyond);
  EXPECT_EQ(control_.order, (std::vector<float>{0, 1, 2, 3, 4}));
}

TEST_F(SchedulingTest, FullQueuesLateAndCancelledJobsAreRefused) {
  AddModel("m",
           "max_batch_size: 1 instance_group { count: 1 } dynamic_batching { "
           "default_queue_policy { max_queue_size: 2 allow_timeout_override: true } }");
  Make().LoadAll();
  control_.Set(false);
  const auto first = Start("m", {0, 0});
  WaitForBatches(1);
  const auto late = Start("m", {1, 0}, {}, 0, 1);
  const auto cancelled = Start("m", {2, 0});
  cancelled->cancelled.store(true);
  const Status full = Failure(*Start("m", {3, 0}));
  EXPECT_EQ(full.code, StatusCode::kUnavailable);
  EXPECT_GT(full.retry_after_seconds, 0);
  EXPECT_THAT(full.message, HasSubstr("queue of model 'm' is full"));
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  control_.Set(true);
  EXPECT_THAT(Failure(*late).message, HasSubstr("timeout expired"));
  EXPECT_EQ(Failure(*cancelled).code, StatusCode::kCancelled);
  EXPECT_EQ(control_.order, (std::vector<float>{0}));
}

TEST_F(SchedulingTest, DelayedJobsFillTheQueueToo) {
  AddModel("m",
           "max_batch_size: 1 instance_group { count: 1 } dynamic_batching { default_queue_policy "
           "{ max_queue_size: 2 timeout_action: DELAY default_timeout_microseconds: 1 } }");
  Make().LoadAll();
  control_.Set(false);
  std::vector<std::shared_ptr<TestJob>> jobs = {Start("m", {0, 0})};
  WaitForBatches(1);
  for (const float x : {1.0f, 2.0f}) jobs.push_back(Start("m", {x, 0}));
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  control_.LetPass(1);
  WaitForBatches(2);  // one of them; the other is delayed
  jobs.push_back(Start("m", {3, 0}));
  EXPECT_THAT(Failure(*Start("m", {4, 0})).message, HasSubstr("is full: 2 requests wait"));
  control_.Set(true);
  for (const auto& job : jobs) EXPECT_TRUE(Failure(*job).ok());
}

TEST_F(SchedulingTest, CancelledJobsOfALoopTakeNoTurns) {
  AddModel("m", "");
  Make().LoadAll();
  for (int i = 0; i < 20; ++i) Result(*Start("m", {1, 2}));  // short batches go to the loop
  FakeLoop loop;
  for (int i = 0; i < 20; ++i) {
    const auto cancelled = Start("m", {1, 2});
    cancelled->cancelled.store(true);
    loop.Turn();
    cancelled->done.get_future().wait();
    EXPECT_EQ(cancelled->status.code, StatusCode::kCancelled);
  }
  const auto job = Start("m", {1, 2});
  loop.Turn();
  ASSERT_EQ(job->done.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_TRUE(job->status.ok()) << job->status.message;
}

TEST_F(SchedulingTest, AModelMayGoInItsOwnThread) {
  AddModel("m", "");
  Make().LoadAll();
  control_.Set(false);
  const auto job = Start("m", {1, 2});
  job->leaves_model = true;
  const std::weak_ptr<const Backend> backend = job->model->backend;
  {
    std::unique_lock lock(control_.mutex);
    control_.changed.wait(lock, [&] { return !control_.batches.empty(); });
  }
  EXPECT_TRUE(repository_->Unload("m", false).ok());
  control_.Set(true);
  job->done.get_future().wait();
  for (int i = 0; i < 6000 && !backend.expired(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(backend.expired());
}

TEST_F(SchedulingTest, AFailingBatchFailsItsJobsAlone) {
  AddModel("m", "max_batch_size: 1");
  Make().LoadAll();
  EXPECT_THAT(Failure(*Start("m", {-1, 0})).message, HasSubstr("as it is told"));
  EXPECT_EQ(Result(*Start("m", {1, 0}))[0], 2);
}

TEST_F(SchedulingTest, SequencesKeepTheirState) {
  AddModel("state",
           "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 2 } "
           "output { name: 'y' data_type: TYPE_FP32 dims: 2 } sequence_batching { state { "
           "input_name: 'state' output_name: 'next' data_type: TYPE_FP32 dims: 2 } }");
  Make().LoadAll();
  for (int i = 0; i < 3; ++i) {
    for (const char* id : {"a", "b"}) {
      const float x = id[0] == 'a' ? 1 : 10;
      const auto job =
          Start("state", {x, 0}, {.id = id, .number = 0, .start = i == 0, .end = i == 2});
      EXPECT_EQ(Result(*job)[0], 2 * x * float(i + 1));
      EXPECT_EQ(job->outputs.size(), 1u);
    }
  }
  EXPECT_THAT(Failure(*Start("state", {1, 0}, {.id = "a"})).message, HasSubstr("START"));
}

TEST_F(SchedulingTest, EndedSequencesTakeNothingButANewStart) {
  AddModel("state",
           "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 2 } "
           "output { name: 'y' data_type: TYPE_FP32 dims: 2 } sequence_batching { state { "
           "input_name: 'state' output_name: 'next' data_type: TYPE_FP32 dims: 2 } }");
  Make().LoadAll();
  control_.Set(false);
  const auto last = Start("state", {1, 0}, {.id = "a", .start = true, .end = true});
  WaitForBatches(1);
  EXPECT_THAT(Failure(*Start("state", {2, 0}, {.id = "a"})).message,
              HasSubstr("must specify the START flag"));
  const auto again = Start("state", {3, 0}, {.id = "a", .start = true});
  const auto next = Start("state", {4, 0}, {.id = "a"});
  control_.Set(true);
  EXPECT_EQ(Result(*last)[0], 2);
  EXPECT_EQ(Result(*again)[0], 6);
  EXPECT_EQ(Result(*next)[0], 14);
}

TEST_F(SchedulingTest, IdleSequencesLeaveTheirPlacesToThoseThatWait) {
  AddModel("state",
           "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 2 } "
           "output { name: 'y' data_type: TYPE_FP32 dims: 2 } sequence_batching { oldest { "
           "max_candidate_sequences: 1 } max_sequence_idle_microseconds: 50000 state { "
           "input_name: 'state' output_name: 'next' data_type: TYPE_FP32 dims: 2 } }");
  Make().LoadAll();
  const auto idle = Start("state", {1, 0}, {.id = "a", .start = true});
  EXPECT_EQ(Result(*idle)[0], 2);
  // No other request comes.
  std::vector<std::shared_ptr<TestJob>> waiting;
  for (const char* id : {"b", "c"}) {
    waiting.push_back(Start("state", {2, 0}, {.id = id, .start = true}));
  }
  for (const auto& job : waiting) EXPECT_EQ(Result(*job)[0], 4);
}

TEST_F(SchedulingTest, CancelledRequestsOfSequencesLeaveTheQueue) {
  AddModel("state",
           "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 2 } "
           "output { name: 'y' data_type: TYPE_FP32 dims: 2 } instance_group { count: 1 } "
           "sequence_batching { state { input_name: 'state' output_name: 'next' data_type: "
           "TYPE_FP32 dims: 2 } }");
  Make().LoadAll();
  control_.Set(false);
  const auto busy = Start("state", {1, 0}, {.id = "a", .start = true});
  WaitForBatches(1);
  const auto cancelled = Start("state", {2, 0}, {.id = "b", .start = true});
  cancelled->cancelled.store(true);
  control_.Set(true);
  EXPECT_EQ(Failure(*cancelled).code, StatusCode::kCancelled);
  EXPECT_EQ(Result(*busy)[0], 2);
  EXPECT_EQ(control_.order, (std::vector<float>{1}));
}

TEST_F(SchedulingTest, ControlsHaveTheTypeOfTheirInput) {
  AddModel("state",
           "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 2 } "
           "output { name: 'y' data_type: TYPE_FP32 dims: 2 } sequence_batching { control_input { "
           "name: 'state' control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } } }");
  EXPECT_THAT(Make().Load("state").message,
              HasSubstr("values are of type TYPE_INT32, not of the model's type TYPE_FP32"));
}

TEST_F(SchedulingTest, ReshapedPortsKeepTheirFreeAxes) {
  AddModel("m",
           "input { name: 'x' data_type: TYPE_FP32 dims: [ -1, 1, 2 ] reshape { shape: [ -1, 2 ] } "
           "} output { name: 'y' data_type: TYPE_FP32 dims: [ -1, 2, 1 ] reshape { shape: [ -1, 2 "
           "] } }");
  Make().LoadAll();
  const auto job = std::make_shared<TestJob>();
  job->model = repository_->Find("m", "", job->status);
  ASSERT_NE(job->model, nullptr) << job->status.message;
  const std::vector<float> data = {1, 2, 3, 4, 5, 6};
  const int64_t dims[] = {3, 1, 2};
  InferInput& input = job->inputs.emplace_back();
  input.name = "x";
  input.dtype = DType::kF32;
  input.dims = MakeDims(dims);
  input.bytes = std::as_bytes(std::span<const float>(data));
  job->status = job->model->Check(*job);
  ASSERT_TRUE(job->status.ok()) << job->status.message;
  job->model->scheduler->Submit(job);
  EXPECT_EQ(Result(*job), (std::vector<float>{2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(job->outputs[0].dims, (std::vector<int64_t>{3, 2, 1}));
}

TEST_F(SchedulingTest, ReshapingToOtherElementsIsRefused) {
  for (const char* dims : {"3", "[ 2, 2 ]", "-1", "[ 4294967296, 4294967296 ]"}) {
    AddModel("m", std::string("max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: ") +
                      dims + " reshape { shape: 2 } }");
    EXPECT_THAT(Make().Load("m").message, HasSubstr("input 'x': reshape [2] has not as many"))
        << dims;
  }
}

TEST_F(SchedulingTest, VersionsFollowThePolicy) {
  AddModel("latest", "", {1, 2, 10});
  AddModel("all", "max_batch_size: 4 version_policy { all {} }", {1, 2});
  AddModel("one", "max_batch_size: 4 version_policy { specific { versions: 1 } }", {1, 2});
  Repository& repository = Make();
  repository.LoadAll();
  EXPECT_EQ(repository.Versions("latest"), (std::vector<std::string>{"10"}));
  EXPECT_EQ(repository.Versions("all"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(repository.Versions("one"), (std::vector<std::string>{"1"}));
  Status status;
  EXPECT_EQ(repository.Find("all", "3", status), nullptr);
  EXPECT_EQ(status.code, StatusCode::kNotFound);
  EXPECT_EQ(repository.Find("all", "x", status), nullptr);
  EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
}

TEST_F(SchedulingTest, CanariesGetTheirShare) {
  AddModel("m",
           "max_batch_size: 4 version_policy { all {} } parameters { key: 'canary' value { "
           "string_value: '2:25' } }",
           {1, 2});
  Repository& repository = Make();
  repository.LoadAll();
  Status status;
  int canaries = 0;
  for (int i = 0; i < 100; ++i) canaries += repository.Find("m", "", status)->version == 2;
  EXPECT_EQ(canaries, 25);
}

TEST_F(SchedulingTest, AFailedReloadKeepsWhatServes) {
  AddModel("m", "max_batch_size: 4");
  Repository& repository = Make();
  repository.LoadAll();
  std::ofstream(folder_.path() + "/m/config.pbtxt") << "max_batch_size: 4 input { name: 'z' "
                                                       "data_type: TYPE_FP32 dims: 2 }";
  const Status status = repository.Load("m");
  EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message, HasSubstr("input 'z' is none of the model's, which has 'x'"));
  EXPECT_EQ(Result(*Start("m", {1, 0}))[0], 2);
}

TEST_F(SchedulingTest, BrokenModelsSayWhyAndLeaveTheRest) {
  AddModel("m", "");
  AddModel("broken", "");
  AddModel("empty", "", {});
  std::filesystem::create_directories(folder_.path() + "/empty");
  Repository& repository = Make();
  repository.LoadAll();
  EXPECT_FALSE(repository.AllReady());
  EXPECT_TRUE(repository.Ready("m", ""));
  for (const IndexEntry& entry : repository.Index(false)) {
    if (entry.name == "broken") {
      EXPECT_THAT(entry.reason, HasSubstr("damaged"));
    } else if (entry.name == "empty") {
      EXPECT_THAT(entry.reason, HasSubstr("at least one version"));
    } else {
      EXPECT_EQ(entry.state, "READY");
    }
  }
  for (const char* name : {"../m", "", ".", "a/b", "nothing"}) {
    EXPECT_FALSE(repository.Load(name).ok()) << name;
  }
}

TEST_F(SchedulingTest, IdleModelsMakeRoomAndComeBack) {
  AddModel("a", "");
  AddModel("b", "");
  AddModel("c", "");
  Repository& repository = Make(2500);
  repository.LoadAll();
  EXPECT_LE(repository.Loaded().size(), 3u);
  for (const char* name : {"a", "b", "c", "a"})
    EXPECT_EQ(Result(*Start(name, {1, 0}))[0], 2) << name;
}

TEST_F(SchedulingTest, WrongRequestsNameTheInput) {
  AddModel("m", "");
  Make().LoadAll();
  const auto job = std::make_shared<TestJob>();
  job->model = repository_->Find("m", "", job->status);
  EXPECT_THAT(job->model->Check(*job).message, HasSubstr("input 'x' is missing"));
  InferInput& input = job->inputs.emplace_back();
  input.name = "x";
  input.dtype = DType::kI32;
  EXPECT_THAT(job->model->Check(*job).message, HasSubstr("data-type is 'INT32'"));
  input.dtype = DType::kF32;
  const int64_t wrong[] = {1, 3};
  input.dims = MakeDims(wrong);
  EXPECT_THAT(job->model->Check(*job).message, HasSubstr("unexpected shape [1,3]"));
  const int64_t right[] = {1, 2};
  input.dims = MakeDims(right);
  EXPECT_THAT(job->model->Check(*job).message, HasSubstr("got 0 bytes"));
  const int64_t huge[] = {INT64_MAX, 2};
  input.dims = MakeDims(huge);
  EXPECT_FALSE(job->model->Check(*job).ok());
}

TEST(ModelConfigTest, FaultsHaveAPlace) {
  try {
    ParseConfigText("max_batch_size: 4\ninputt { }");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("line 2"));
  }
  EXPECT_THROW(ParseConfigJson("{\"max_batch_size\": \"x\"}"), Error);
  const ModelConfig config = ParseConfigText(
      "name: 'm' max_batch_size: 4 parameters { key: 'a' value "
      "{ string_value: 'b' } } version_policy { specific { "
      "versions: [1, 2] } }");
  EXPECT_EQ(ConfigParameter(config, "a"), "b");
  EXPECT_THAT(ConfigJson(config), HasSubstr("\"versions\":[1,2]"));
  EXPECT_EQ(ConfigText(ParseConfigText(ConfigText(config))), ConfigText(config));
}

}  // namespace
}  // namespace ingot::serve
