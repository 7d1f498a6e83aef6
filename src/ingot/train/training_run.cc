// What comes before and after the steps of a run: see training_run.h.
#include "ingot/train/training_run.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/compiler/compile.h"
#include "ingot/data/prefetch.h"
#include "ingot/train/trace_file.h"

namespace ingot::train {
namespace {

// A run whose steps took less is not asked to wait for a measurement of the machine, unless the job
// says how many steps it wants, as benchmarks do.
constexpr double kWorthMeasuringSeconds = 0.5;
// Of each thread, in a trace: some megabytes of JSON.
constexpr int64_t kMostEvents = 20'000;
constexpr std::string_view kValidation = "validation_";

// Takes a logger's lines over for a progress line while it lives, and its file.
class LoggerGuard {
 public:
  // `progress` null: no progress line is shown.
  LoggerGuard(Logger* logger, Progress* progress) : logger_(logger) {
    if (logger_ == nullptr || progress == nullptr) return;
    logger_->SetTerminalWriter([progress](std::string_view line) { progress->Print(line); });
  }
  ~LoggerGuard() {
    if (logger_ == nullptr) return;
    logger_->SetTerminalWriter(nullptr);
    logger_->CloseFile();
  }
  LoggerGuard(const LoggerGuard&) = delete;
  LoggerGuard& operator=(const LoggerGuard&) = delete;

 private:
  Logger* logger_;
};

}  // namespace

TrainResult Train(const TrainRequest& request) {
  return TrainingRun(request).Run();
}

TrainingRun::TrainingRun(const TrainRequest& request)
    : request_(request),
      out_(request.out),
      file_system_(request.file_system != nullptr ? *request.file_system : RealFileSystem()),
      threads_(request.threads > 0 ? request.threads : AvailableCpus()) {}

TrainResult TrainingRun::Run() {
  Prepare();
  if (request_.group) return RunShared();
  NoteInterrupts();
  if (!out_.empty()) OpenDirectory(request_.mode);
  Initialize();
  progress_ = std::make_unique<Progress>("", setup_.total_steps, step_, request_.progress);
  const bool shows_progress = request_.progress.out != nullptr;
  const LoggerGuard guard(request_.logger, shows_progress ? progress_.get() : nullptr);
  try {
    Announce();
    return Finish(Loop());
  } catch (const Error& error) {
    // The caller shows it to the user; log.txt should have it too.
    if (request_.logger != nullptr) request_.logger->Log(LogLevel::kDebug, error.what());
    throw;
  }
}

// Only from where there is something to save. Before, the program's own way with signals holds.
void TrainingRun::NoteInterrupts() {
  if (request_.handle_interrupts && !interrupts_) interrupts_ = std::make_unique<InterruptGuard>();
}

void TrainingRun::Prepare() {
  SetupOptions options = request_.setup;
  if (request_.measure_time || !request_.profile.empty()) {
    telemetry_ = std::make_shared<runtime::Telemetry>(request_.profile.empty() ? 0 : kMostEvents);
    options.telemetry = telemetry_;
  }
  if (request_.group) options.workers = request_.group->expected_workers;
  setup_ = PrepareTraining(request_.job, options);
  CheckMesh();
  // What a worker holds a part of is known when the group is.
  if (!IsSpread()) engine_ = std::make_unique<runtime::StepEngine>(setup_.programs, threads_);
  if (setup_.job.train.is_local()) rounds_.emplace(setup_, *engine_);
  if (setup_.job.train.is_async()) PartSteps();
  source_ = data::WithPrefetch(setup_.batches, setup_.data.options);
  timed_source_.emplace(*source_, telemetry_.get());
  schedule_.emplace(setup_.job.schedule, setup_.job.optimizer.learning_rate(), setup_.total_steps);
  const std::vector<std::string>& sums = compiler::PlanOf(*setup_.programs[0]).sums;
  epoch_sums_.emplace(sums);
  interval_sums_.emplace(sums);
  MakeMonitors();
}

void TrainingRun::MakeMonitors() {
  const Job& job = setup_.job;
  const bool has_validation =
      setup_.data.validation_selection.size() > 0 && job.validation.every_epochs > 0;
  std::vector<std::string> known = {std::string(kValidation) + "loss"};
  for (const std::string& metric : setup_.network.metrics) {
    known.push_back(std::string(kValidation) + metric);
  }
  const auto check = [&](const std::string& metric, const std::string& who) {
    if (!has_validation) {
      throw Error(ErrorCode::kInvalidInput, who + " needs validation, and the job has none",
                  "keep a share of the training data for it: data.validation: 0.1");
    }
    if (std::find(known.begin(), known.end(), metric) == known.end()) {
      throw Error(ErrorCode::kInvalidInput,
                  who + " watches '" + metric + "', which is not measured",
                  DidYouMean(metric, known));
    }
  };
  if (job.early_stopping) {
    check(job.early_stopping->metric, "early_stopping");
    early_stopping_ = Monitor(job.early_stopping->metric, job.early_stopping->mode,
                              job.early_stopping->minimum_change, job.early_stopping->patience);
  }
  if (job.schedule.plateau) {
    const nn::Plateau& plateau = *job.schedule.plateau;
    check(plateau.metric, "schedule.plateau");
    plateau_ = Monitor(plateau.metric, plateau.mode, plateau.minimum_change, plateau.patience);
  }
  std::string best = job.checkpoint.best;
  if (best == "none" || (best == "auto" && !has_validation)) return;
  if (best == "auto") best = job.early_stopping ? job.early_stopping->metric : known[0];
  check(best, "checkpoint.best");
  const bool same = job.early_stopping && best == job.early_stopping->metric;
  best_ = Monitor(best, same ? job.early_stopping->mode : "auto", 0, 0);
}

void TrainingRun::OpenDirectory(RunMode mode) {
  directory_.emplace(file_system_, out_, mode);
  store_.emplace(file_system_, directory_->checkpoints(), setup_.job.checkpoint.keep,
                 member_ ? member_->id() : "");
  writer_.emplace(*store_);
  // The job first: a run that is killed from here on can be resumed.
  if (mode == RunMode::kNew || mode == RunMode::kOverwrite) {
    directory_->WriteJob(setup_.resolved.ToYaml());
  }
  store_->Begin();
  if (request_.logger != nullptr) request_.logger->OpenFile(directory_->File(kLogFile));
}

void TrainingRun::WarnOfResume() const {
  if (!was_resumed_) return;
  if (step_ > setup_.total_steps) {
    Log(LogLevel::kWarning,
        fmt::format("the run is at step {} already (epoch {}), past the {} steps that are asked "
                    "for: nothing is trained and nothing taken back; more --epochs go on",
                    WithThousands(step_), Epoch(), WithThousands(setup_.total_steps)));
  } else if (step_ < setup_.total_steps && LearningRate(step_) == 0) {
    Log(LogLevel::kWarning,
        "the schedule has come to its end: the learning rate of the next step is 0");
  }
}

void TrainingRun::WarnOfSkipped() const {
  constexpr size_t kMostNamed = 20;
  const std::vector<std::string>& skipped = setup_.data.skipped;
  if (skipped.empty()) return;
  for (size_t i = 0; i < std::min(skipped.size(), kMostNamed); ++i) {
    Log(LogLevel::kWarning, "left out: " + skipped[i]);
  }
  Log(LogLevel::kWarning, fmt::format("{} damaged sample{} left out",
                                      WithThousands(static_cast<int64_t>(skipped.size())),
                                      skipped.size() == 1 ? " is" : "s are"));
}

void TrainingRun::Announce() {
  WarnOfResume();
  WarnOfSkipped();
  const data::Batches& batches = *setup_.batches;
  Log(LogLevel::kInfo,
      fmt::format("training {} parameters on {} samples: {} steps ({} an epoch) of {} samples, {} "
                  "logical shards, {} thread{}",
                  WithThousands(setup_.network.parameter_count()), WithThousands(batches.samples()),
                  WithThousands(setup_.total_steps), WithThousands(setup_.steps_per_epoch()),
                  batches.batch(), setup_.logical_shards, threads_, threads_ == 1 ? "" : "s"));
  if (group_) {
    Log(LogLevel::kInfo,
        fmt::format("{} process{}, tensors go over {}", Workers(), Workers() == 1 ? "" : "es",
                    request_.group->transport == "mpi" ? "Open MPI" : "TCP (Gloo)"));
  }
  if (setup_.mesh) {
    const dist::MeshShape& shape = setup_.mesh->shape;
    Log(LogLevel::kInfo,
        fmt::format("the model is spread over a mesh of {} workers ({}): {} of memory on rank {}",
                    shape.workers(), shape.ToString(), HumanBytes(engine_->memory_bytes()),
                    Rank()));
  }
  if (IsSpread() && !setup_.mesh) {
    Log(LogLevel::kInfo,
        fmt::format("each of {} workers holds its part of the optimizer's state: {} of memory on "
                    "rank {}",
                    Workers(), HumanBytes(engine_->memory_bytes()), Rank()));
  }
  if (setup_.recompute_segments > 0) {
    Log(LogLevel::kInfo,
        fmt::format("to fit into {}, activations are computed again in {} segments: {} with {} "
                    "threads",
                    setup_.job.memory_limit, setup_.recompute_segments,
                    HumanBytes(engine_->memory_bytes()), threads_));
  }
  if (setup_.mixed.is_active()) {
    Log(LogLevel::kWarning,
        fmt::format("precision {}: products round their factors to {} and run on f32 kernels, so "
                    "that it will not be faster than f32 on this CPU",
                    setup_.job.precision, Name(setup_.mixed.type)));
  }
}

std::string TrainingRun::DataDigest() {
  return fmt::format("{:016x}-{}", setup_.data.train->Digest(), setup_.data.train_selection.size());
}

void TrainingRun::Save(bool as_step, bool as_best, bool as_final) {
  if (!writer_) return;
  const PhaseScope phase(clock_, Phase::kCheckpoint);
  const double begin = MonotonicSeconds();
  CheckpointRequest request;
  request.as_step = as_step;
  request.as_best = as_best;
  request.as_final = as_final;
  request.checkpoint = Snapshot();
  if (setup_.job.average.decay > 0) request.model_parameters = ModelParameters();
  request.complete = [this](Manifest& manifest) {
    if (data_digest_.empty()) data_digest_ = DataDigest();
    manifest.data_digest = data_digest_;
  };
  snapshot_seconds_ += MonotonicSeconds() - begin;
  writer_->Save(std::move(request));
  if (as_step) {
    saved_step_ = step_;
    saved_at_ = MonotonicSeconds();
  }
}

TrainResult TrainingRun::Finish(RunEnd end) {
  const bool is_final = end != RunEnd::kInterrupted;
  // A group may yet break, and its workers go on from where they were.
  is_over_ = !group_;
  if (is_final || saved_step_ != step_) Save(saved_step_ != step_, false, is_final);
  TrainResult result;
  result.end = end;
  // While the checkpoint is being written.
  if (is_final && !EvaluateTest(result.summary)) result.end = RunEnd::kInterrupted;
  result.parameters = ModelParameters();
  // Copies already, or views, which would keep all of the engine's state.
  for (formats::NamedTensor& parameter : result.parameters) {
    if (is_over_) parameter.tensor = parameter.tensor.Clone();
  }
  recorder_->Flush();
  {
    const PhaseScope phase(clock_, Phase::kCheckpoint);
    if (writer_) writer_->Wait();
  }
  {
    const PhaseScope phase(clock_, Phase::kMachine);
    FillRates(result.summary);
  }
  FillSummary(result.summary, result.end);
  FillTimes(result.summary);
  if (directory_) directory_->WriteSummary(result.summary);
  // Last: a profile that cannot be written takes nothing else away.
  if (!request_.profile.empty()) {
    const PhaseScope phase(clock_, Phase::kRecords);
    WriteFileAtomically(file_system_, request_.profile, TraceJson(*telemetry_));
  }
  progress_->Finish();
  if (result.end == RunEnd::kInterrupted) {
    result.advice = fmt::format("interrupted after step {}", WithThousands(step_));
    if (directory_) {
      result.advice += "; go on with: ingot train --resume " + directory_->path();
    }
    Log(LogLevel::kDebug, result.advice);
  }
  return result;
}

bool TrainingRun::EvaluateTest(Summary& summary) {
  if (!setup_.job.evaluate) return true;
  const PhaseScope phase(clock_, Phase::kTest);
  const std::shared_ptr<const data::Batches> batches =
      setup_.data.TestBatches(EvaluationBatch(setup_.batches->batch()));
  if (batches == nullptr) return true;
  Evaluator evaluator(NetworkOptionsOf(setup_.job, setup_.data, false), setup_.registry,
                      *setup_.layers, batches, threads_);
  const std::vector<formats::NamedTensor> parameters = ModelParameters();
  MetricsRecord record{"test", step_, Epoch(), 0, {}};
  try {
    for (const auto& [name, value] : evaluator.Evaluate(parameters, Interrupted)) {
      record.values.emplace_back(name, value);
      if (name == "loss") {
        summary.test_loss = value;
      } else if (name == "accuracy") {
        summary.test_accuracy = value;
      } else {
        summary.test_metrics["test_" + name] = value;
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) throw;
    return false;
  }
  record.seconds = SecondsSinceProcessStart();
  Record(record);
  std::string line = "test";
  for (const auto& [name, value] : record.values) line += fmt::format("  {} {:.4f}", name, value);
  Log(LogLevel::kInfo, line);
  return true;
}

void TrainingRun::FillSummary(Summary& summary, RunEnd end) const {
  if (end == RunEnd::kStoppedEarly) summary.status = "stopped early";
  if (end == RunEnd::kInterrupted) summary.status = "interrupted";
  summary.wall_seconds = SecondsSinceProcessStart();
  summary.steps = step_;
  summary.epochs = Epoch();
  summary.step_microseconds_median = timer_.Median() * 1e6;
  summary.logical_shards = setup_.logical_shards;
  summary.parameters = setup_.network.parameter_count();
  summary.peak_memory_bytes = PeakResidentBytes();
  summary.resumed_from_step = was_resumed_ ? first_step_ : 0;
  summary.skipped_samples = static_cast<int64_t>(setup_.data.skipped.size());
  summary.seed = static_cast<uint64_t>(setup_.job.seed);
  summary.threads = threads_;
  summary.process_start_to_first_step_seconds = first_step_seconds_;
  summary.train_seconds = timer_.total_seconds();
  summary.data_wait_seconds = timed_source_->Seconds(first_step_, step_);
  if (writer_) {
    summary.checkpoint_stall_seconds = writer_->stall_seconds() + snapshot_seconds_;
    summary.checkpoints_written = writer_->written();
  }
  if (best_.active() && !best_.state().metric.empty()) {
    summary.best_metric = best_.metric();
    summary.best_value = best_.state().best;
    summary.best_step = best_.state().best_step;
  }
  summary.precision = setup_.job.precision;
  if (setup_.mixed.scales_loss()) {
    summary.skipped_steps = SkippedSteps();
    summary.loss_scale = engine_->ReadState(kLossScale).data<float>()[0];
  }
  summary.kernel_digest = setup_.kernel_digest;
  summary.sync = setup_.job.train.sync;
  if (rounds_) summary.replicas = setup_.replicas;
  summary.samples_per_rank = samples_per_rank_;
  summary.wire_bytes_per_rank = wire_bytes_per_rank_;
  summary.memory_bytes_per_rank = memory_bytes_per_rank_;
}

int64_t TrainingRun::SkippedSteps() const {
  if (!setup_.mixed.scales_loss()) return 0;
  return static_cast<int64_t>(engine_->ReadState(kSkippedSteps).data<float>()[0]);
}

void TrainingRun::FillTimes(Summary& summary) const {
  if (const data::StageTimes* stages = setup_.batches->stage_times()) {
    summary.data_stages = stages->Report();
  }
  const auto* prefetcher = dynamic_cast<const data::Prefetcher*>(source_.get());
  if (prefetcher != nullptr) summary.prefetch_wait_seconds = prefetcher->waited_seconds();
  if (!telemetry_) return;
  summary.time =
      TimeTable(clock_.Seconds(), telemetry_->Totals(), threads_, summary.prefetch_wait_seconds);
}

// The arithmetic of a step is that of all workers.
GemmPeak TrainingRun::PeakOfAllWorkers(bool may_measure) const {
  if (Workers() == 1) return FindGemmPeak(file_system_, threads_, may_measure);
  const std::vector<dist::MemberInfo>& members = group_->view.members;
  for (const dist::MemberInfo& member : members) {
    if (member.machine == members[0].machine) continue;
    return {std::nullopt, "the workers are on several machines"};
  }
  const int threads = std::min(threads_ * Workers(), std::max(threads_, AvailableCpus()));
  return FindGemmPeak(file_system_, threads, may_measure);
}

void TrainingRun::FillRates(Summary& summary) const {
  const double flops = compiler::PlanOf(*setup_.programs[0]).flops;
  if (flops > 0 && timer_.Median() > 0) summary.gflops = 1e-9 * flops / timer_.Median();
  const bool is_worth_it = timer_.total_seconds() >= kWorthMeasuringSeconds || setup_.job.steps > 0;
  const GemmPeak peak = PeakOfAllWorkers(request_.measure_gemm_peak && is_worth_it);
  summary.gemm_peak_gflops = peak.gflops;
  summary.gemm_peak_reason = peak.reason;
}

void TrainingRun::Log(LogLevel level, const std::string& message) const {
  if (request_.logger == nullptr) return;
  // What all workers would say alike is said by the lead.
  const bool is_echo = level == LogLevel::kInfo && !IsLead();
  request_.logger->Log(is_echo ? LogLevel::kDebug : level, message);
}

}  // namespace ingot::train
