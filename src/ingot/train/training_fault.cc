// A loss or gradient that is not finite: which step, op, layer and samples, and the end of the run.
#include <algorithm>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/runtime/exchange.h"
#include "ingot/train/numeric_fault.h"
#include "ingot/train/training_run.h"

namespace ingot::train {
namespace {

constexpr size_t kNamedSamples = 8;

// "samples 17, 203 (train-images-idx3-ubyte, sample 17; ...)".
std::string NameSamples(const data::Batches& batches, int64_t step, int64_t first_row,
                        const std::vector<int64_t>& rows) {
  const std::vector<int64_t> records = batches.SamplesOf(step);
  std::string numbers;
  for (size_t i = 0; i < std::min(rows.size(), kNamedSamples); ++i) {
    const int64_t record = records[static_cast<size_t>(first_row + rows[i])];
    numbers += fmt::format("{}{}", i == 0 ? "" : ", ", record);
  }
  if (rows.size() > kNamedSamples) {
    numbers += fmt::format(" and {} more", rows.size() - kNamedSamples);
  }
  const int64_t first = records[static_cast<size_t>(first_row + rows[0])];
  return fmt::format("{} {} of the training data ({}{})", rows.size() == 1 ? "sample" : "samples",
                     numbers, rows.size() == 1 ? "" : "the first is ", batches.Where(first));
}

}  // namespace

std::map<std::string, Tensor> TrainingRun::StepInputs(bool with_state, int replica) const {
  const StepGraph& step = setup_.steps[static_cast<size_t>(setup_.ProgramOf(step_, replica))];
  std::map<std::string, Tensor> inputs;
  std::vector<void*> data;
  for (const ir::Value* input : step.graph->inputs()) {
    const std::string& name = input->name();
    if (input->role() == ir::Role::kParameter ||
        (input->role() == ir::Role::kState && with_state)) {
      inputs[name] = engine_->ReadState(name);
      continue;
    }
    Tensor tensor(input->type().dtype(), input->type().shape());
    if (input->role() == ir::Role::kData) data.push_back(tensor.raw());
    if (name == "learning_rate") {
      const auto rate = static_cast<float>(LearningRate(step_));
      ConvertElements(&rate, DType::kF32, tensor.raw(), tensor.dtype(), 1);
    }
    const int64_t accumulate = setup_.job.accumulate;
    if (name == "step") tensor.data<int64_t>()[0] = step_ / accumulate + 1;
    if (name == kContinues) tensor.data<float>()[0] = step_ % accumulate != 0 ? 1.0f : 0.0f;
    if (name == kWaits) tensor.data<float>()[0] = (step_ + 1) % accumulate != 0 ? 1.0f : 0.0f;
    if (name == "random_key") {
      tensor.data<int64_t>()[0] = static_cast<int64_t>(setup_.SeedOf(replica));
      tensor.data<int64_t>()[1] = step_;
    }
    inputs[name] = tensor;
  }
  setup_.batches->Fill(step_, setup_.PartOf(step_, replica).first, step.batch, data);
  return inputs;
}

void TrainingRun::ReportNotFinite(bool state_touched, int replica) {
  const bool has_rounds = setup_.job.train.has_rounds();
  if (IsSpread()) {
    // Nobody has the whole step, to replay it.
    throw Error(
        ErrorCode::kNumeric,
        fmt::format("training became numerically unstable at step {} (epoch {}){}: the "
                    "loss or a gradient is not finite",
                    WithThousands(step_ + 1), step_ / setup_.steps_per_epoch() + 1,
                    NotFiniteRanks()),
        fmt::format("lower optimizer.{}.learning_rate (it is {}), or train without `{}` "
                    "to be told the op and the samples",
                    setup_.job.optimizer.name(), FormatNumber(setup_.job.optimizer.learning_rate()),
                    setup_.mesh ? "mesh" : "train.shard_optimizer"));
  }
  if (!IsLead() && !has_rounds) {
    // The lead finds out and says what it was; where it is lost, the next group does the step
    // again.
    if (state_touched) step_ = -1;
    member_->WaitForEnd();
    throw runtime::ExchangeBroken("the lead is lost");
  }
  const StepGraph& graph = setup_.steps[static_cast<size_t>(setup_.ProgramOf(step_, replica))];
  // The gradients do not depend on the optimizer's state, so zeros will do where it is spoilt.
  const std::map<std::string, Tensor> inputs = StepInputs(!state_touched, replica);
  const std::optional<NumericFault> fault = FindNumericFault(*graph.graph, inputs);
  // Where the loss is at fault, nothing of this step was applied: what is there is the last good
  // state, unless the parameters are the fault. Where a gradient is, the state is spoilt, and the
  // newest checkpoint on disk stays the last good one.
  const bool state_is_good =
      has_rounds ||
      (!state_touched && std::all_of(setup_.network.parameters.begin(),
                                     setup_.network.parameters.end(), [&](const auto& parameter) {
                                       return !FirstNotFinite(inputs.at(parameter.name));
                                     }));
  const int64_t failed_step = step_;
  // Where steps stand or fall together, what is good is the beginning of the round.
  if (has_rounds) RestoreRound();
  if (state_is_good && step_ > 0 && saved_step_ != step_) Save(true, false, false);
  if (writer_) writer_->Wait();
  std::string message = fmt::format(
      "training became numerically unstable at step {} (epoch {}){}: ",
      WithThousands(failed_step + 1), failed_step / setup_.steps_per_epoch() + 1, NotFiniteRanks());
  if (!fault) {
    message +=
        "the loss or a gradient is not finite, though no op is to blame when the step is "
        "computed in higher precision";
  } else {
    message +=
        fmt::format("the first value that is not finite is {} in {}", fault->value, fault->place);
    if (!fault->rows.empty()) {
      message += ", for " + NameSamples(*setup_.batches, failed_step,
                                        setup_.PartOf(failed_step, replica).first, fault->rows);
    }
  }
  std::string hint =
      fmt::format("lower optimizer.{}.learning_rate (it is {}) or look at the samples",
                  setup_.job.optimizer.name(), FormatNumber(setup_.job.optimizer.learning_rate()));
  if (saved_step_ > 0 && store_) {
    hint +=
        "; the last good checkpoint is " + store_->directory() + "/" + CheckpointName(saved_step_);
  }
  throw Error(ErrorCode::kNumeric, message, hint);
}

}  // namespace ingot::train
