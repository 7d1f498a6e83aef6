// The state of a run: its first values, what a checkpoint holds of it, and what follows from that:
// see training_run.h.
#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "ingot/base/text.h"
#include "ingot/train/model_metadata.h"
#include "ingot/train/start_weights.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

// Whether a state tensor's first values follow from a parameter.
bool IsDerived(const nn::StateSpec& state) {
  return !state.average_of.empty() || !state.copy_of.empty();
}

// Copies are made again from the parameters.
bool IsSaved(const nn::StateSpec& state) {
  return state.copy_of.empty();
}

}  // namespace

void TrainingRun::Initialize() {
  const bool may_resume =
      request_.mode == RunMode::kResume ||
      (request_.mode == RunMode::kShared && store_ && !store_->Steps().empty()) || BeginsAgain();
  if (may_resume && directory_) Resume();
  if (!was_resumed_) InitializeWeights();
  DeriveState();
  if (directory_ && member_) {
    TakeOverMetrics();
  } else if (directory_ && may_resume) {
    directory_->TruncateMetrics(step_);
  }
  if (directory_ && may_resume) {
    // The job of a run that is longer than what is asked for stays.
    if (step_ <= setup_.total_steps) directory_->WriteJob(setup_.resolved.ToYaml());
  }
  recorder_.emplace(file_system_, directory_ ? &*directory_ : nullptr, setup_.job.log.tensorboard);
  first_step_ = step_;
}

void TrainingRun::InitializeWeights() {
  for (const nn::ParameterSpec& parameter : setup_.network.parameters) {
    WriteWhole(parameter.name, nn::InitialValue(parameter, static_cast<uint64_t>(setup_.job.seed)));
  }
  if (setup_.job.start_from) StartFromFile();
  // The engine's memory begins as zeros, unless another worker was lost while it sent its state.
  for (const nn::StateSpec& state : setup_.steps[0].state) {
    if ((state.initial == 0 && engine_is_fresh_) || IsDerived(state)) continue;
    const std::vector<double> values(static_cast<size_t>(state.shape.size()), state.initial);
    WriteWhole(state.name, Tensor::Of<double>(state.shape, std::span(values)).Cast(state.dtype));
  }
}

void TrainingRun::Resume() {
  store_->Clean();
  if (store_->Steps().empty()) {
    // Killed before its first checkpoint: the beginning is the same as it was.
    Log(LogLevel::kWarning, store_->directory() + " holds no checkpoint: starting at step 0");
    return;
  }
  const LoadedCheckpoint loaded = store_->LoadNewest();
  for (const SkippedCheckpoint& skipped : loaded.skipped) {
    Log(LogLevel::kWarning, "passed over a damaged checkpoint: " + skipped.reason);
  }
  const Manifest& manifest = loaded.checkpoint.manifest;
  CheckFits(manifest);
  data_digest_ = DataDigest();
  if (!manifest.data_digest.empty() && manifest.data_digest != data_digest_) {
    throw Error(ErrorCode::kInvalidInput,
                "the training data are not those that " + loaded.path + " was trained on",
                "give the same data, or start a new run with --out");
  }
  if (manifest.kernel_digest != setup_.kernel_digest) {
    Log(LogLevel::kWarning, "this machine computes with other kernels than the one that wrote " +
                                loaded.path + ": the result may differ in its last bits");
  }
  const auto write = [this](const std::string& name, const Tensor& value) {
    WriteWhole(name, value);
  };
  SetParameters(write, setup_.network.parameters, loaded.checkpoint.parameters);
  std::vector<nn::ParameterSpec> state;
  for (const nn::StateSpec& spec : setup_.steps[0].state) {
    if (!IsSaved(spec)) continue;
    state.push_back({spec.name, spec.shape, spec.dtype, {}, {}, "optimizer"});
  }
  SetParameters(write, state, loaded.checkpoint.optimizer_state);
  if (rounds_) rounds_->SetState(loaded.checkpoint.optimizer_state);
  epoch_sums_->Restore(manifest.epoch_sums);
  interval_sums_->Restore(manifest.interval_sums);
  best_.Restore(manifest.best);
  early_stopping_.Restore(manifest.early_stopping);
  plateau_.Restore(manifest.plateau);
  if (plateau_.active() && manifest.plateau.metric == plateau_.metric()) {
    plateau_falls_ = manifest.plateau_falls;
  }
  step_ = manifest.step;
  saved_step_ = step_;
  was_resumed_ = true;
  Log(LogLevel::kInfo,
      fmt::format("resuming from {} (step {})", loaded.path, WithThousands(step_)));
}

void TrainingRun::CheckFits(const Manifest& manifest) const {
  if (manifest.job_digest == setup_.job_digest) return;
  std::string what = "it is another job";
  try {
    const std::vector<std::string> differences =
        DecidingDifferences(LoadConfig(directory_->File(kJobFile)), setup_.resolved);
    if (!differences.empty()) what = Join(differences, "; ");
  } catch (const Error&) {
    // job.yaml is damaged or of another version: the digests still tell that they differ.
  }
  throw Error(ErrorCode::kInvalidInput,
              "the job no longer fits the run in " + directory_->path() + ": " + what,
              "resume without changing what decides the weights (epochs and steps may change), or "
              "start a new run with --out");
}

// What follows from the parameters: rounded copies, and averages that have not begun.
void TrainingRun::DeriveState() {
  for (const nn::StateSpec& state : setup_.steps[0].state) {
    if (!state.copy_of.empty()) {
      const Tensor rounded = ReadWhole(state.copy_of).Cast(state.copy_to);
      WriteWhole(state.name, rounded.Cast(state.dtype));
    }
    if (!state.average_of.empty() && !was_resumed_) {
      WriteWhole(state.name, ReadWhole(state.average_of));
    }
  }
}

Checkpoint TrainingRun::Snapshot() const {
  Checkpoint checkpoint;
  Manifest& manifest = checkpoint.manifest;
  manifest.step = step_;
  manifest.epoch = Epoch();
  manifest.seed = static_cast<uint64_t>(setup_.job.seed);
  manifest.job_digest = setup_.job_digest;
  manifest.kernel_digest = setup_.kernel_digest;
  manifest.best = best_.state();
  manifest.early_stopping = early_stopping_.state();
  manifest.plateau = plateau_.state();
  manifest.plateau_falls = plateau_falls_;
  manifest.epoch_sums = epoch_sums_->State();
  if (interval_sums_->weight() > 0) manifest.interval_sums = interval_sums_->State();
  for (const nn::ParameterSpec& parameter : setup_.network.parameters) {
    checkpoint.parameters.push_back({parameter.name, ReadWhole(parameter.name)});
  }
  for (const nn::StateSpec& state : setup_.steps[0].state) {
    if (!IsSaved(state)) continue;
    checkpoint.optimizer_state.push_back({state.name, ReadWhole(state.name)});
  }
  if (rounds_) {
    for (formats::NamedTensor& tensor : rounds_->State()) {
      checkpoint.optimizer_state.push_back(std::move(tensor));
    }
  }
  checkpoint.metadata = MetadataOf(setup_.data).Write();
  return checkpoint;
}

std::vector<formats::NamedTensor> TrainingRun::ModelParameters() const {
  std::vector<formats::NamedTensor> parameters;
  for (const nn::ParameterSpec& parameter : setup_.network.parameters) {
    parameters.push_back({parameter.name, ReadWhole(ModelSource(parameter.name))});
  }
  return parameters;
}

const std::string& TrainingRun::ModelSource(const std::string& parameter) const {
  const std::vector<nn::StateSpec>& states = setup_.steps[0].state;
  const auto average = std::find_if(states.begin(), states.end(), [&](const nn::StateSpec& state) {
    return state.average_of == parameter;
  });
  return average == states.end() ? parameter : average->name;
}

void TrainingRun::StartFromFile() {
  const StartWeights start = ReadStartWeights(*setup_.job.start_from, setup_.network.parameters);
  for (const formats::NamedTensor& tensor : start.tensors) {
    WriteWhole(tensor.name, tensor.tensor);
  }
  Log(LogLevel::kInfo, start.report);
}

}  // namespace ingot::train
