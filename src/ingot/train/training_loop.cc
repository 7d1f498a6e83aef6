// The steps of a run: see training_run.h. The engine runs stretches of steps up to the next point
// where something is due: the end of an epoch, a record, a checkpoint. What is due by time, and
// Ctrl-C, ends a stretch early: a stretch may end anywhere without changing the result.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

// The next multiple of `every` above `step`; `otherwise` where every is 0.
int64_t NextMultiple(int64_t step, int64_t every, int64_t otherwise) {
  return every == 0 ? otherwise : (step / every + 1) * every;
}

bool IsMultiple(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

}  // namespace

RunEnd TrainingRun::Loop() {
  clock_.Switch(Phase::kOther);
  begun_at_ = recorded_at_ = saved_at_ = MonotonicSeconds();
  // A checkpoint may stand at the end of an epoch whose validation was interrupted.
  const bool epoch_is_open = step_ > 0 && IsMultiple(step_, setup_.steps_per_epoch());
  if (epoch_is_open && epoch_sums_->weight() > 0 && !EndEpoch()) return RunEnd::kInterrupted;
  while (step_ < setup_.total_steps) {
    if (early_stopping_.active() && early_stopping_.Exhausted()) return RunEnd::kStoppedEarly;
    if (StopIsAgreed() || (request_.should_stop && request_.should_stop())) {
      return RunEnd::kInterrupted;
    }
    SetEpochTitle();
    const runtime::StepResult result = RunSteps(NextBoundary() - step_);
    step_ = result.next_step;
    if (result.not_finite) ReportNotFinite(result.state_touched);
    if (IsMultiple(step_, setup_.steps_per_epoch()) && epoch_sums_->weight() > 0 && !EndEpoch()) {
      return RunEnd::kInterrupted;
    }
    if (RecordIsDue()) RecordInterval();
    if (CheckpointIsDue()) Save(true, false, false);
  }
  if (interval_sums_->weight() > 0 && !IsMultiple(step_, setup_.steps_per_epoch())) {
    RecordInterval();
  }
  const bool exhausted = early_stopping_.active() && early_stopping_.Exhausted();
  return exhausted ? RunEnd::kStoppedEarly : RunEnd::kFinished;
}

int64_t TrainingRun::NextBoundary() const {
  const Job& job = setup_.job;
  const int64_t end = setup_.total_steps;
  return std::min({end, NextMultiple(step_, setup_.steps_per_epoch(), end),
                   NextMultiple(step_, job.checkpoint.every_steps, end),
                   NextMultiple(step_, job.log.every_steps, end)});
}

runtime::StepResult TrainingRun::RunSteps(int64_t count) {
  runtime::StepRequest request;
  request.first_step = step_;
  request.count = count;
  request.program_of_step = [this](int64_t step) { return setup_.ProgramOf(step); };
  request.source = &*timed_source_;
  request.seed = static_cast<uint64_t>(setup_.job.seed);
  request.scalars = [this](int64_t step, std::span<float> scalars) {
    scalars[0] = static_cast<float>(LearningRate(step));
    if (scalars.size() < 3) return;  // as BuildStepGraph orders them
    const int64_t accumulate = setup_.job.accumulate;
    scalars[1] = step % accumulate != 0 ? 1.0f : 0.0f;
    scalars[2] = (step + 1) % accumulate != 0 ? 1.0f : 0.0f;
  };
  request.steps_per_update = setup_.job.accumulate;
  request.on_sums = [this](int64_t step, std::span<const float> sums) {
    timer_.Lap();
    epoch_sums_->Add(sums);
    interval_sums_->Add(sums);
    if (group_) CountSamples(step);
    if (step == first_step_) first_step_seconds_ = SecondsSinceProcessStart();
    step_ = step + 1;
    if (request_.on_loss && sums.size() > 1) request_.on_loss(step, sums[0] / sums[1]);
    ChooseTracing();
  };
  request.should_stop = [this] { return ShouldStop(); };
  if (group_) {
    request.exchange = group_->exchange.get();
    request.broken = &group_->exchange->broken();
  }
  timer_.Start();
  ChooseTracing();
  const PhaseScope phase(clock_, Phase::kSteps);
  return engine_->Run(request);
}

// Between two steps; must not take long.
bool TrainingRun::ShouldStop() {
  if (group_ && Interrupted()) group_->exchange->AskToStop();
  if (StopIsAgreed() || (request_.should_stop && request_.should_stop())) return true;
  if (IsLead() && progress_->Due()) ShowProgress();
  const double now = MonotonicSeconds();
  const Job& job = setup_.job;
  const bool save = writer_ && job.checkpoint.every_seconds > 0 &&
                    now - saved_at_ >= job.checkpoint.every_seconds;
  const bool record = job.log.every_seconds > 0 && now - recorded_at_ >= job.log.every_seconds;
  return save || record;
}

bool TrainingRun::RecordIsDue() const {
  const LogOptions& log = setup_.job.log;
  if (interval_sums_->weight() == 0) return false;
  return IsMultiple(step_, log.every_steps) ||
         (log.every_seconds > 0 && MonotonicSeconds() - recorded_at_ >= log.every_seconds);
}

bool TrainingRun::CheckpointIsDue() const {
  const CheckpointOptions& options = setup_.job.checkpoint;
  // The end of the run has one of its own.
  if (!writer_ || step_ == saved_step_ || step_ >= setup_.total_steps) return false;
  return IsMultiple(step_, options.every_steps) ||
         IsMultiple(step_, options.every_epochs * setup_.steps_per_epoch()) ||
         (options.every_seconds > 0 && MonotonicSeconds() - saved_at_ >= options.every_seconds);
}

void TrainingRun::SetEpochTitle() {
  const int64_t spe = setup_.steps_per_epoch();
  const int64_t epochs = (setup_.total_steps + spe - 1) / spe;
  progress_->SetTitle(fmt::format("epoch {}/{}", Epoch() + 1, epochs));
}

void TrainingRun::ShowProgress() {
  Progress::Fields fields;
  for (const auto& [name, value] : epoch_sums_->Means()) {
    fields.emplace_back(name, fmt::format("{:.4f}", value));
  }
  const double seconds = MonotonicSeconds() - begun_at_;
  const int64_t samples =
      setup_.batches->SamplesBefore(step_) - setup_.batches->SamplesBefore(first_step_);
  if (seconds > 0) {
    const auto rate = static_cast<int64_t>(static_cast<double>(samples) / seconds);
    fields.emplace_back("", WithThousands(rate) + " samples/s");
  }
  progress_->Update(step_, fields);
}

// Some steps near the beginning of the run go into the trace, when everything has been used once.
void TrainingRun::ChooseTracing() {
  if (request_.profile.empty()) return;
  constexpr int64_t kWarmUp = 3;
  constexpr int64_t kTraced = 5;
  const int64_t begin =
      std::min(first_step_ + kWarmUp, std::max(first_step_, setup_.total_steps - 1));
  telemetry_->SetTracing(step_ >= begin && step_ < begin + kTraced);
}

void TrainingRun::RecordInterval() {
  const PhaseScope phase(clock_, Phase::kRecords);
  MetricsRecord record{"train", step_, Epoch(), SecondsSinceProcessStart(),
                       interval_sums_->Means()};
  record.values.emplace_back("learning_rate", LearningRate(step_ - 1));
  Record(record);
  interval_sums_->Clear();
  recorded_at_ = MonotonicSeconds();
}

bool TrainingRun::EndEpoch() {
  const int64_t epoch = Epoch();
  Values validation;
  bool is_best = false;
  if (!Validate(epoch, validation, is_best)) return false;
  const PhaseScope phase(clock_, Phase::kRecords);
  const double seconds = SecondsSinceProcessStart();
  const Values training = epoch_sums_->Means();
  Record({"epoch", step_, epoch, seconds, training});
  if (!validation.empty()) Record({"validation", step_, epoch, seconds, validation});
  std::string line = fmt::format("epoch {}", epoch);
  for (const auto& [name, value] : training) line += fmt::format("  {} {:.4f}", name, value);
  for (const auto& [name, value] : validation) {
    line += fmt::format("  validation_{} {:.4f}", name, value);
  }
  if (setup_.mixed.scales_loss()) {
    line +=
        fmt::format("  loss scale {}  skipped steps {}",
                    FormatNumber(engine_->ReadState(kLossScale).data<float>()[0]), SkippedSteps());
  }
  Log(LogLevel::kInfo, line);
  epoch_sums_->Clear();
  if (is_best) Save(false, true, false);
  return true;
}

bool TrainingRun::Validate(int64_t epoch, Values& values, bool& is_best) {
  const int64_t every = setup_.job.validation.every_epochs;
  const bool is_last = step_ >= setup_.total_steps;
  const PhaseScope phase(clock_, Phase::kValidation);
  if (every == 0 || (epoch % every != 0 && !is_last)) return true;
  if (validation_ == nullptr) {
    const auto batches = setup_.data.ValidationBatches(EvaluationBatch(setup_.batches->batch()));
    if (batches == nullptr) return true;
    validation_ = std::make_unique<Evaluator>(NetworkOptionsOf(setup_.job, setup_.data, false),
                                              setup_.registry, *setup_.layers, batches, threads_);
  }
  const std::vector<formats::NamedTensor> parameters = ModelParameters();
  try {
    const std::map<std::string, double> means =
        validation_->Evaluate(parameters, [this] { return !group_ && Interrupted(); });
    values.assign(means.begin(), means.end());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) throw;
    return false;
  }
  for (const auto& [name, value] : values) {
    const std::string metric = "validation_" + name;
    if (best_.active() && best_.metric() == metric) is_best = best_.Update(value, step_);
    if (early_stopping_.active() && early_stopping_.metric() == metric) {
      early_stopping_.Update(value, step_);
    }
    if (plateau_.active() && plateau_.metric() == metric) plateau_.Update(value, step_);
  }
  if (plateau_.active() && plateau_.Exhausted()) {
    plateau_.Forgive();
    ++plateau_falls_;
    Log(LogLevel::kInfo, fmt::format("{} has not improved for {} validations: the learning rate is "
                                     "{} from here on",
                                     plateau_.metric(), setup_.job.schedule.plateau->patience,
                                     FormatNumber(LearningRate(step_))));
  }
  return true;
}

}  // namespace ingot::train
