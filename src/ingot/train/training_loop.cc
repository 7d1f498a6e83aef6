// The steps of a run: see training_run.h. The engine runs stretches of steps up to the next point
// where something is due: the end of an epoch, a record, a checkpoint. What is due by time, and
// Ctrl-C, ends a stretch early: a stretch may end anywhere without changing the result.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/dist/pipelined_exchange.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

// The next multiple of `every` above `step`; `otherwise` where every is 0.
int64_t NextMultiple(int64_t step, int64_t every, int64_t otherwise) {
  return every == 0 ? otherwise : (step / every + 1) * every;
}

}  // namespace

RunEnd TrainingRun::Loop() {
  clock_.Switch(Phase::kOther);
  begun_at_ = recorded_at_ = saved_at_ = MonotonicSeconds();
  // A checkpoint may stand at the end of an epoch whose validation was interrupted.
  before_ = setup_.RoundBefore(step_);
  if (step_ > 0) {
    const double rate = LearningRate(step_ - 1);
    if (Passed(setup_.steps_per_epoch()) && epoch_sums_->weight() > 0 && !EndEpoch()) {
      return RunEnd::kInterrupted;
    }
    // The record of an interval comes after that validation.
    const bool interval_is_open = interval_sums_->weight() > 0;
    if (interval_is_open && Passed(setup_.job.log.every_steps)) RecordInterval(rate);
  }
  while (step_ < setup_.total_steps) {
    if (early_stopping_.active() && early_stopping_.Exhausted()) return RunEnd::kStoppedEarly;
    if (StopIsAgreed() || (request_.should_stop && request_.should_stop())) {
      return RunEnd::kInterrupted;
    }
    SetEpochTitle();
    before_ = step_;
    if (rounds_) {
      RunRound();
    } else if (setup_.job.train.is_async()) {
      RunPipeline();
    } else {
      if (IsSpread()) ForgetWhole();
      const runtime::StepResult result = RunSteps(NextBoundary() - step_);
      step_ = result.next_step;
      if (result.not_finite) ReportNotFinite(result.state_touched);
    }
    const double rate = LearningRate(step_ - 1);  // the end of an epoch may change it
    if (Passed(setup_.steps_per_epoch()) && epoch_sums_->weight() > 0 && !EndEpoch()) {
      return RunEnd::kInterrupted;
    }
    if (RecordIsDue()) RecordInterval(rate);
    if (CheckpointIsDue()) {
      if (IsSpread()) {
        GatherState();
        group_->exchange->Gathered();
      }
      if (step_ != saved_step_) Save(true, false, false);
    }
    const bool goes_on = step_ < setup_.total_steps;
    if (goes_on && group_ && group_->exchange->agreed_to_regroup()) LeaveForNewGroup();
  }
  // A run that had no steps to do has told all there is before.
  const bool has_rest = interval_sums_->weight() > 0 && step_ > first_step_;
  if (has_rest && !Passed(setup_.steps_per_epoch())) {
    RecordInterval(LearningRate(step_ - 1));
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

runtime::StepRequest TrainingRun::MakeStepRequest() const {
  runtime::StepRequest request;
  request.source = &*timed_source_;
  request.scalars = [this](int64_t step, std::span<float> scalars) {
    scalars[0] = static_cast<float>(LearningRate(step));
    if (scalars.size() < 3) return;  // as BuildStepGraph orders them
    const int64_t accumulate = setup_.job.accumulate;
    scalars[1] = step % accumulate != 0 ? 1.0f : 0.0f;
    scalars[2] = (step + 1) % accumulate != 0 ? 1.0f : 0.0f;
  };
  request.steps_per_update = setup_.job.accumulate;
  if (group_) request.broken = &group_->exchange->broken();
  return request;
}

runtime::StepResult TrainingRun::RunSteps(int64_t count) {
  runtime::StepRequest request = MakeStepRequest();
  request.first_step = step_;
  request.count = count;
  request.program_of_step = [this](int64_t step) { return setup_.ProgramOf(step); };
  request.seed = setup_.SeedOf(0);
  request.on_sums = [this](int64_t step, std::span<const float> sums) {
    timer_.Lap();
    CountStep(step, sums);
    ChooseTracing();
  };
  request.should_stop = [this] { return ShouldStop(); };
  if (group_) request.exchange = group_->exchange.get();
  timer_.Start();
  ChooseTracing();
  const PhaseScope phase(clock_, Phase::kSteps);
  return engine_->Run(request);
}

// The sums of a step over all its samples are known.
void TrainingRun::CountStep(int64_t step, std::span<const float> sums) {
  epoch_sums_->Add(sums);
  interval_sums_->Add(sums);
  if (group_) CountSamples(step);
  if (step == first_step_ && first_step_seconds_ == 0) {
    first_step_seconds_ = SecondsSinceProcessStart();
  }
  step_ = step + 1;
  if (request_.on_loss && sums.size() > 1) request_.on_loss(step, sums[0] / sums[1]);
}

// A round of steps without an exchange, up to one at its end: see local_rounds.h.
void TrainingRun::RunRound() {
  const PhaseScope phase(clock_, Phase::kSteps);
  const LocalRounds::Outcome outcome = rounds_->Run(
      step_, setup_.RoundEnd(step_),
      [this](int replica, int64_t first, int64_t count, const LocalRounds::OnSums& on_sums) {
        return RunReplica(replica, first, count, on_sums);
      },
      group_ ? group_->exchange.get() : nullptr,
      [this](int64_t step, std::span<const float> sums) { CountStep(step, sums); });
  if (outcome.not_finite_replica < 0) return;
  step_ = outcome.not_finite.next_step;
  ReportNotFinite(outcome.not_finite.state_touched, outcome.not_finite_replica);
}

runtime::StepResult TrainingRun::RunReplica(int replica, int64_t first, int64_t count,
                                            const LocalRounds::OnSums& on_sums) {
  // The replica's part of each batch.
  class PartSource : public runtime::BatchSource {
   public:
    PartSource(const runtime::BatchSource& whole, const TrainingSetup& setup, int replica)
        : whole_(whole), setup_(setup), replica_(replica) {}
    void Fill(int64_t step, int64_t first_sample, int64_t samples,
              std::span<void* const> inputs) const override {
      whole_.Fill(step, setup_.PartOf(step, replica_).first + first_sample, samples, inputs);
    }

   private:
    const runtime::BatchSource& whole_;
    const TrainingSetup& setup_;
    const int replica_;
  };
  const PartSource source(*timed_source_, setup_, replica);
  runtime::StepRequest request = MakeStepRequest();
  request.first_step = first;
  request.count = count;
  request.program_of_step = [&](int64_t step) { return setup_.ProgramOf(step, replica); };
  request.source = &source;
  request.seed = setup_.SeedOf(replica);
  request.on_sums = [&](int64_t step, std::span<const float> sums) {
    timer_.Lap();
    on_sums(step, sums);
    if (step == first_step_) first_step_seconds_ = SecondsSinceProcessStart();
    if (member_) member_->progress().step.store(step + 1);
    if (group_ && Interrupted()) group_->exchange->AskToStop();
    if (IsLead() && progress_->Due()) ShowProgress(step + 1);
  };
  timer_.Start();
  return engine_->Run(request);
}

// A round of steps whose gradients count later, and at its end all of them have: see
// dist/pipelined_exchange.h.
void TrainingRun::RunPipeline() {
  const PhaseScope phase(clock_, Phase::kSteps);
  beginning_.Keep(*engine_);
  dist::PipelineSteps steps{step_, setup_.RoundEnd(step_), 1};
  steps.staleness = std::min(*setup_.job.train.staleness, steps.end - steps.first);
  const auto count = static_cast<size_t>(steps.end - steps.first);
  std::vector<std::vector<float>> sums(count);
  runtime::StepRequest request = MakeStepRequest();
  request.first_step = steps.first;
  request.count = steps.end - steps.first + steps.staleness;
  request.seed = setup_.SeedOf(0);
  request.update_lag = steps.staleness;
  // As PartSteps has them: whole steps, gradients, updates.
  request.program_of_step = [&](int64_t step) {
    const int programs = static_cast<int>(setup_.programs.size());
    if (!steps.gives(step)) return 2 * programs + setup_.ProgramOf(step - steps.staleness);
    return setup_.ProgramOf(step) + (steps.takes(step) ? 0 : programs);
  };
  request.scalars = [&](int64_t step, std::span<float> scalars) {
    const int64_t updated = std::max(steps.first, step - steps.staleness);
    scalars[0] = static_cast<float>(LearningRate(updated));
  };
  request.on_sums = [&](int64_t step, std::span<const float> values) {
    timer_.Lap();
    if (step == first_step_) first_step_seconds_ = SecondsSinceProcessStart();
    if (member_) member_->progress().step.store(std::min(step + 1, steps.end));
    if (group_ && Interrupted()) group_->exchange->AskToStop();
    if (IsLead() && progress_->Due()) ShowProgress(std::min(step + 1, steps.end));
    if (!steps.takes(step)) return;
    const auto at = static_cast<size_t>(step - steps.staleness - steps.first);
    sums[at].assign(values.begin(), values.end());
  };
  timer_.Start();
  runtime::StepResult result;
  try {
    dist::GroupExchange* group = group_ && Workers() > 1 ? group_->exchange.get() : nullptr;
    dist::PipelinedExchange exchange(group, plans_.exchanges, steps, Rank());
    request.exchange = &exchange;
    result = engine_->Run(request);
  } catch (const runtime::ExchangeBroken&) {
    beginning_.Restore(*engine_);
    throw;
  }
  if (result.not_finite) {
    step_ = std::min(result.next_step, steps.end - 1);
    ReportNotFinite(result.state_touched);
  }
  for (size_t i = 0; i < count; ++i) CountStep(steps.first + static_cast<int64_t>(i), sums[i]);
}

// After a number that was not finite.
void TrainingRun::RestoreRound() {
  if (rounds_) {
    rounds_->RestoreBeginning();
  } else {
    beginning_.Restore(*engine_);
  }
  step_ = before_;
}

// Between two steps; must not take long.
bool TrainingRun::ShouldStop() {
  if (group_ && Interrupted()) group_->exchange->AskToStop();
  if (StopIsAgreed() || (request_.should_stop && request_.should_stop())) return true;
  if (IsLead() && progress_->Due()) ShowProgress(step_);
  const bool save = SaveIsDueByTime();
  const bool record = RecordIsDueByTime();
  if (!IsSpread()) return save || record;
  // Checkpoints, and who joins, are a matter of all workers.
  if (save) group_->exchange->AskToGather();
  return record || group_->exchange->agreed_to_gather() || group_->exchange->agreed_to_regroup();
}

bool TrainingRun::RecordIsDue() const {
  const LogOptions& log = setup_.job.log;
  if (interval_sums_->weight() == 0) return false;
  return Passed(log.every_steps) || RecordIsDueByTime();
}

bool TrainingRun::RecordIsDueByTime() const {
  const double every = setup_.job.log.every_seconds;
  return every > 0 && MonotonicSeconds() - recorded_at_ >= every;
}

// Where state is spread the same on every worker: by steps, or where the lead has asked for it.
bool TrainingRun::CheckpointIsDue() const {
  const CheckpointOptions& options = setup_.job.checkpoint;
  if (step_ >= setup_.total_steps) return false;  // the end of the run has one of its own
  if (Passed(options.every_steps)) return true;
  if (Passed(options.every_epochs * setup_.steps_per_epoch())) return true;
  return IsSpread() ? group_->exchange->agreed_to_gather() : SaveIsDueByTime();
}

bool TrainingRun::SaveIsDueByTime() const {
  const double every = setup_.job.checkpoint.every_seconds;
  return writer_ && every > 0 && MonotonicSeconds() - saved_at_ >= every;
}

void TrainingRun::SetEpochTitle() {
  const int64_t spe = setup_.steps_per_epoch();
  const int64_t epochs = (setup_.total_steps + spe - 1) / spe;
  progress_->SetTitle(fmt::format("epoch {}/{}", Epoch() + 1, epochs));
}

void TrainingRun::ShowProgress(int64_t step) {
  Progress::Fields fields;
  for (const auto& [name, value] : epoch_sums_->Means()) {
    fields.emplace_back(name, fmt::format("{:.4f}", value));
  }
  const double seconds = MonotonicSeconds() - begun_at_;
  const int64_t samples =
      setup_.batches->SamplesBefore(step) - setup_.batches->SamplesBefore(first_step_);
  if (seconds > 0) {
    const auto rate = static_cast<int64_t>(static_cast<double>(samples) / seconds);
    fields.emplace_back("", WithThousands(rate) + " samples/s");
  }
  progress_->Update(step, fields);
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

void TrainingRun::RecordInterval(double learning_rate) {
  const PhaseScope phase(clock_, Phase::kRecords);
  MetricsRecord record{"train", step_, Epoch(), SecondsSinceProcessStart(),
                       interval_sums_->Means()};
  record.values.emplace_back("learning_rate", learning_rate);
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
  if (!is_best) return true;
  if (IsSpread()) GatherState();
  Save(false, true, false);
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
  const std::vector<formats::NamedTensor> parameters =
      IsSpread() ? SharedModelParameters() : ModelParameters();
  try {
    const std::map<std::string, double> means =
        Workers() > 1
            ? EvaluateShared(*validation_, parameters)
            : validation_->Evaluate(parameters, [this] { return !group_ && Interrupted(); });
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
