// One request through the models of an ensemble; steps whose tensors are there run side by side.
#include "ingot/serve/ensemble_scheduler.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "ingot/serve/repository.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

class Run : public std::enable_shared_from_this<Run> {
 public:
  Run(std::shared_ptr<const std::vector<EnsembleStep>> steps, Repository& repository, JobPtr outer)
      : steps_(std::move(steps)),
        repository_(repository),
        outer_(std::move(outer)),
        started_(steps_->size(), false) {
    for (const InferInput& input : outer_->inputs) tensors_[input.name] = input;
  }

  void Continue();
  void StepDone(size_t step, InferJob& job);

 private:
  JobPtr MakeJob(size_t number, Status& status);
  void End();

  const std::shared_ptr<const std::vector<EnsembleStep>> steps_;
  Repository& repository_;
  JobPtr outer_;
  std::mutex mutex_;
  std::map<std::string, InferInput> tensors_;
  std::vector<bool> started_;
  size_t running_ = 0;
  bool ended_ = false;
  Status status_;
  JobTimes times_;
  bool any_time_ = false;
};

class StepJob : public InferJob {
 public:
  StepJob(std::shared_ptr<Run> run, size_t step) : run_(std::move(run)), step_(step) {}
  void Finish() override {
    origin.reset();
    const std::shared_ptr<Run> run = std::move(run_);
    run->StepDone(step_, *this);
  }

 private:
  std::shared_ptr<Run> run_;
  const size_t step_;
};

JobPtr Run::MakeJob(size_t number, Status& status) {
  const EnsembleStep& step = (*steps_)[number];
  auto job = std::make_shared<StepJob>(shared_from_this(), number);
  job->model = repository_.Find(step.model, step.version, status);
  if (job->model == nullptr) {
    // The client knows the ensemble, which is there.
    if (status.code == StatusCode::kNotFound) status = Unavailable(status.message);
    return nullptr;
  }
  for (const auto& [input, tensor] : step.inputs) {
    InferInput given = tensors_.at(tensor);
    given.name = input;
    job->inputs.push_back(std::move(given));
  }
  for (const auto& [output, tensor] : step.outputs) job->wanted.emplace_back().name = output;
  job->origin = outer_;
  job->priority = outer_->priority;
  job->timeout_us = outer_->timeout_us;
  job->sequence = outer_->sequence;
  job->times.received = Clock::now();
  status = job->model->Check(*job);
  return status.ok() ? job : nullptr;
}

void Run::Continue() {
  std::vector<JobPtr> ready;
  bool ends = false;
  {
    const std::scoped_lock lock(mutex_);
    // Steps that finish at the same time come here one behind the other: the first of them ends.
    if (ended_) return;
    if (outer_->IsCancelled()) status_ = {StatusCode::kCancelled, "the request was cancelled"};
    for (size_t i = 0; i < steps_->size() && status_.ok(); ++i) {
      const EnsembleStep& step = (*steps_)[i];
      if (started_[i] || !std::all_of(step.inputs.begin(), step.inputs.end(), [&](const auto& in) {
            return tensors_.contains(in.second);
          })) {
        continue;
      }
      Status status;
      JobPtr job = MakeJob(i, status);
      if (job == nullptr) {
        status_ = status;
        status_.message = "in ensemble '" + outer_->model->name + "', step " + std::to_string(i) +
                          " (model '" + step.model + "'): " + status.message;
        break;
      }
      started_[i] = true;
      ready.push_back(std::move(job));
    }
    if (status_.ok()) {
      running_ += ready.size();
    } else {
      ready.clear();
    }
    ends = ended_ = running_ == 0;
  }
  if (ends) {
    End();
    return;
  }
  for (JobPtr& job : ready) {
    const std::shared_ptr<const ServedModel> model = job->model;
    model->scheduler->Submit(std::move(job));
  }
}

void Run::StepDone(size_t number, InferJob& job) {
  {
    const std::scoped_lock lock(mutex_);
    --running_;
    if (!job.status.ok()) {
      if (status_.ok()) {
        status_ = job.status;
        status_.message = "in ensemble '" + outer_->model->name + "', step " +
                          std::to_string(number) + " (model '" + (*steps_)[number].model +
                          "'): " + job.status.message;
      }
    } else {
      times_.input_ns += job.times.input_ns;
      times_.infer_ns += job.times.infer_ns;
      times_.output_ns += job.times.output_ns;
      if (!any_time_) times_.compute_start = job.times.compute_start;
      any_time_ = true;
      for (const InferOutput& output : job.outputs) {
        InferInput tensor;
        tensor.dtype = output.dtype;
        tensor.dims = MakeDims(output.dims);
        tensor.bytes = output.bytes;
        tensor.owner = output.owner;
        tensors_[(*steps_)[number].outputs.at(output.name)] = std::move(tensor);
      }
    }
  }
  Continue();
}

void Run::End() {
  InferJob& outer = *outer_;
  const Clock::time_point now = Clock::now();
  if (status_.ok()) {
    for (const ServedPort& port : outer.model->outputs) {
      const WantedOutput* wanted = nullptr;
      for (const WantedOutput& one : outer.wanted) {
        if (one.name == port.name) wanted = &one;
      }
      if (wanted == nullptr && !outer.wanted.empty()) continue;
      const auto found = tensors_.find(port.name);
      if (found == tensors_.end()) {
        status_ = {StatusCode::kInternal,
                   "ensemble '" + outer.model->name + "': no step gave '" + port.name + "'"};
        break;
      }
      InferOutput& output = outer.outputs.emplace_back();
      const InferInput& tensor = found->second;
      output.name = port.name;
      output.dtype = tensor.dtype;
      output.dims.assign(tensor.dims.span().begin(), tensor.dims.span().end());
      output.bytes = tensor.bytes;
      output.owner = tensor.owner;
      output.wanted = wanted;
    }
  }
  outer.status = status_;
  times_.received = outer.times.received;
  times_.queued = outer.times.received;
  if (!any_time_) times_.compute_start = now;
  times_.compute_end = now;
  outer.times = times_;
  if (status_.ok()) {
    const JobPtr one[] = {outer_};
    outer.model->statistics.AddBatch(one, outer.rows);
  } else {
    outer.outputs.clear();
    outer.model->statistics.AddFailure(outer, now);
  }
  // What the answer points into lives in the tensors.
  outer.owners.push_back(std::make_shared<std::map<std::string, InferInput>>(std::move(tensors_)));
  const JobPtr job = std::move(outer_);
  job->Finish();
}

}  // namespace

EnsembleScheduler::EnsembleScheduler(std::vector<EnsembleStep> steps, Repository& repository)
    : steps_(std::make_shared<const std::vector<EnsembleStep>>(std::move(steps))),
      repository_(repository) {}

void EnsembleScheduler::Submit(JobPtr job) {
  // Before any step is computed for nothing.
  const std::string missing = repository_.MissingStep(*job->model);
  if (!missing.empty()) {
    Refuse(job, Unavailable("ensemble '" + job->model->name + "' is not ready: " + missing));
    return;
  }
  std::make_shared<Run>(steps_, repository_, std::move(job))->Continue();
}

}  // namespace ingot::serve
