// What the tests of repository and schedulers share: a backend made of C++, and a repository of
// models that it computes: no network, no model files.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/test_folder.h"
#include "ingot/serve/executor.h"
#include "ingot/serve/repository.h"

namespace ingot::serve {

// y = 2 x + state (where there is a state), [batch, 2]; waits while its gate is shut.
struct FakeControl {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = true;
  int may_pass = 0;  // so many batches while it is shut
  std::vector<int64_t> batches;
  std::vector<float> order;
  void Set(bool value) {
    const std::scoped_lock lock(mutex);
    open = value;
    changed.notify_all();
  }
  void LetPass(int batches) {
    const std::scoped_lock lock(mutex);
    may_pass += batches;
    changed.notify_all();
  }
};

class FakeBackend : public Backend {
 public:
  FakeBackend(FakeControl& control, bool stateful) : control_(control) {
    const auto port = [](const char* name, int64_t width) {
      return Port{name, DType::kF32, {-1, width}, {"batch", ""}};
    };
    inputs_ = {port("x", 2)};
    outputs_ = {port("y", 2)};
    if (stateful) {
      inputs_.push_back(port("state", 2));
      outputs_.push_back(port("next", 2));
    }
  }
  const std::vector<Port>& inputs() const override { return inputs_; }
  const std::vector<Port>& outputs() const override { return outputs_; }
  uint64_t memory() const override { return 1000; }
  std::vector<Value> Run(std::span<const Value> inputs, bool) const override {
    const int64_t rows = inputs[0].dims[0];
    std::vector<float> x(static_cast<size_t>(rows) * 2);
    std::memcpy(x.data(), inputs[0].bytes.data(), inputs[0].bytes.size());
    {
      std::unique_lock lock(control_.mutex);
      control_.batches.push_back(rows);
      for (int64_t r = 0; r < rows; ++r) control_.order.push_back(x[static_cast<size_t>(r) * 2]);
      control_.changed.notify_all();
      control_.changed.wait(lock, [&] { return control_.open || control_.may_pass > 0; });
      if (!control_.open) --control_.may_pass;
    }
    if (x[0] == -1) throw Error(ErrorCode::kNumeric, "the fake fails as it is told");
    auto y = std::make_shared<std::vector<float>>(x);
    for (size_t i = 0; i < y->size(); ++i) {
      (*y)[i] *= 2;
      if (inputs.size() > 1) {
        float state;
        std::memcpy(&state, inputs[1].bytes.data() + i * sizeof(float), sizeof state);
        (*y)[i] += state;
      }
    }
    const Value out{DType::kF32, {rows, 2}, std::as_bytes(std::span<const float>(*y)), y};
    return inputs.size() > 1 ? std::vector<Value>{out, out} : std::vector<Value>{out};
  }

 private:
  FakeControl& control_;
  std::vector<Port> inputs_, outputs_;
};

class TestJob : public InferJob {
 public:
  void Finish() override {
    if (leaves_model) model.reset();
    done.set_value();
  }
  bool leaves_model = false;
  std::promise<void> done;
};

// An event loop whose turns the test makes.
class FakeLoop : public Executor {
 public:
  FakeLoop() : Executor(0) { SetCurrent(this); }
  ~FakeLoop() override { SetCurrent(nullptr); }
  void Post(std::function<void()> work) override { work_.push_back(std::move(work)); }
  void Turn() {
    for (const auto& work : std::exchange(work_, {})) work();
  }

 private:
  std::vector<std::function<void()>> work_;
};

class SchedulingTest : public ::testing::Test {
 protected:
  void AddModel(const std::string& name, const std::string& config,
                const std::vector<int>& versions = {1}) {
    for (const int version : versions) {
      std::filesystem::create_directories(folder_.path() + "/" + name + "/" +
                                          std::to_string(version));
    }
    if (!config.empty()) std::ofstream(folder_.path() + "/" + name + "/config.pbtxt") << config;
  }
  Repository& Make(uint64_t memory_budget = 0, int64_t max_queued = 8192) {
    RepositoryOptions options;
    options.folders = {folder_.path()};
    options.memory_budget = memory_budget;
    options.max_queued = max_queued;
    options.changed = [this] { ++changes_; };
    repository_ = std::make_unique<Repository>(
        options,
        [this](const ModelSource& source) {
          if (source.path.find("broken") != std::string::npos) {
            throw Error(ErrorCode::kCorrupt, "the file is damaged");
          }
          return std::make_shared<FakeBackend>(control_,
                                               source.path.find("state") != std::string::npos);
        },
        gate_, log_);
    return *repository_;
  }
  std::shared_ptr<TestJob> Start(const std::string& model, std::vector<float> x,
                                 SequenceFlags sequence = {}, uint64_t priority = 0,
                                 uint64_t timeout_us = 0) {
    auto job = std::make_shared<TestJob>();
    job->model = repository_->Find(model, "", job->status);
    if (job->model == nullptr) {
      job->Finish();
      return job;
    }
    auto data = std::make_shared<std::vector<float>>(std::move(x));
    InferInput& input = job->inputs.emplace_back();
    input.name = job->model->inputs[0].name;
    input.dtype = DType::kF32;
    const int64_t dims[] = {static_cast<int64_t>(data->size() / 2), 2};
    input.dims = MakeDims(dims);
    input.bytes = std::as_bytes(std::span<const float>(*data));
    input.owner = data;
    job->sequence = std::move(sequence);
    job->priority = priority;
    job->timeout_us = timeout_us;
    job->times.received = Clock::now();
    job->status = job->model->Check(*job);
    if (job->status.ok()) {
      job->model->scheduler->Submit(job);
    } else {
      job->Finish();
    }
    return job;
  }
  static std::vector<float> Result(TestJob& job) {
    job.done.get_future().wait();
    EXPECT_TRUE(job.status.ok()) << job.status.message;
    std::vector<float> values;
    if (job.outputs.empty()) return values;
    values.resize(job.outputs[0].bytes.size() / sizeof(float));
    std::memcpy(values.data(), job.outputs[0].bytes.data(), job.outputs[0].bytes.size());
    return values;
  }
  static Status Failure(TestJob& job) {
    job.done.get_future().wait();
    return job.status;
  }
  // Waits until the backend has begun so many batches.
  void WaitForBatches(size_t count) {
    std::unique_lock lock(control_.mutex);
    control_.changed.wait(lock, [&] { return control_.batches.size() >= count; });
  }

  TestFolder folder_;
  FakeControl control_;
  std::atomic<int> changes_ = 0;  // that the repository told of
  ComputeGate gate_{4};
  Logger log_{LogLevel::kError, nullptr};
  std::unique_ptr<Repository> repository_;
};

}  // namespace ingot::serve
