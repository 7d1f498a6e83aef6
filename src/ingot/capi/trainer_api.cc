// Training jobs through the C interface, some steps at a time.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>

#include <ingot/c_api.h>

#include "ingot/base/config.h"
#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/capi/boundary.h"
#include "ingot/compiler/compile.h"
#include "ingot/nn/schedule.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/train/job.h"
#include "ingot/train/running_sums.h"
#include "ingot/train/setup.h"

namespace ingot::capi {
namespace {

// The steps of a job without what surrounds a run: no directory, no checkpoints, no validation.
class Trainer {
 public:
  Trainer(const char* yaml, int threads)
      : setup_(train::PrepareTraining(train::ReadJob(ParseConfig(yaml, "job")))),
        engine_(setup_.programs, threads > 0 ? threads : AvailableCpus()),
        source_(data::WithPrefetch(setup_.batches, setup_.data.options)),
        schedule_(setup_.job.schedule, setup_.job.optimizer.learning_rate(), setup_.total_steps),
        sums_(compiler::PlanOf(*setup_.programs[0]).sums) {
    if (setup_.job.train.has_rounds()) {
      throw Error(ErrorCode::kUnsupported,
                  "train.sync " + setup_.job.train.sync + " needs `ingot train` or `ingot launch`",
                  "leave train.sync out");
    }
    for (const nn::ParameterSpec& parameter : setup_.network.parameters) {
      engine_.WriteState(parameter.name, nn::InitialValue(parameter, Seed()));
    }
    for (const nn::StateSpec& state : setup_.steps[0].state) {
      if (state.initial == 0) continue;  // the engine's memory begins so
      const std::vector<double> values(static_cast<size_t>(state.shape.size()), state.initial);
      engine_.WriteState(state.name,
                         Tensor::Of<double>(state.shape, std::span(values)).Cast(state.dtype));
    }
  }

  double Step(int64_t count) {
    sums_.Clear();
    runtime::StepRequest request;
    request.first_step = step_;
    request.count = std::min(count, setup_.total_steps - step_);
    if (request.count <= 0) return std::nan("");
    request.program_of_step = [this](int64_t step) { return setup_.ProgramOf(step); };
    request.source = source_.get();
    request.seed = Seed();
    request.scalars = [this](int64_t step, std::span<float> scalars) {
      scalars[0] = static_cast<float>(schedule_.LearningRate(step));
    };
    request.on_sums = [this](int64_t, std::span<const float> sums) { sums_.Add(sums); };
    const runtime::StepResult result = engine_.Run(request);
    step_ = result.next_step;
    if (result.not_finite) {
      throw Error(ErrorCode::kNumeric,
                  "the loss of step " + std::to_string(step_ + 1) + " is not finite");
    }
    return sums_.Means()[0].second;
  }

  int64_t step() const { return step_; }
  int64_t total_steps() const { return setup_.total_steps; }
  const std::vector<nn::ParameterSpec>& parameters() const { return setup_.network.parameters; }
  const Tensor& ReadParameter(size_t index) {
    parameter_ = engine_.ReadState(parameters().at(index).name);
    return parameter_;
  }

 private:
  uint64_t Seed() const { return static_cast<uint64_t>(setup_.job.seed); }

  train::TrainingSetup setup_;
  runtime::StepEngine engine_;
  std::shared_ptr<const runtime::BatchSource> source_;
  nn::Schedule schedule_;
  train::RunningSums sums_;
  int64_t step_ = 0;
  Tensor parameter_;
};

}  // namespace
}  // namespace ingot::capi

struct ingot_trainer {
  ingot_trainer(const char* yaml, int threads) : trainer(yaml, threads) {}
  ingot::capi::Trainer trainer;
};

using ingot::capi::Guarded;
using ingot::capi::RequirePointer;

extern "C" {

ingot_status ingot_trainer_create(const char* job_yaml, const ingot_trainer_options* options,
                                  ingot_trainer** trainer) {
  return Guarded([&] {
    RequirePointer(job_yaml, "job_yaml");
    RequirePointer(trainer, "trainer");
    *trainer = nullptr;
    if (options != nullptr && options->struct_size < sizeof(ingot_trainer_options)) {
      throw ingot::Error(ingot::ErrorCode::kInvalidInput,
                         "struct_size of the options is " + std::to_string(options->struct_size),
                         "set struct_size to sizeof(ingot_trainer_options)");
    }
    *trainer = std::make_unique<ingot_trainer>(job_yaml, options == nullptr ? 0 : options->threads)
                   .release();
  });
}

void ingot_trainer_free(ingot_trainer* trainer) {
  const std::unique_ptr<ingot_trainer> owned(trainer);
}

int64_t ingot_trainer_total_steps(const ingot_trainer* trainer) {
  return trainer == nullptr ? 0 : trainer->trainer.total_steps();
}

int64_t ingot_trainer_step_count(const ingot_trainer* trainer) {
  return trainer == nullptr ? 0 : trainer->trainer.step();
}

ingot_status ingot_trainer_step(ingot_trainer* trainer, int64_t count, double* loss) {
  return Guarded([&] {
    RequirePointer(trainer, "trainer");
    const double mean = trainer->trainer.Step(count);
    if (loss != nullptr) *loss = mean;
  });
}

size_t ingot_trainer_parameter_count(const ingot_trainer* trainer) {
  return trainer == nullptr ? 0 : trainer->trainer.parameters().size();
}

const char* ingot_trainer_parameter_name(const ingot_trainer* trainer, size_t index) {
  if (trainer == nullptr || index >= trainer->trainer.parameters().size()) return nullptr;
  return trainer->trainer.parameters()[index].name.c_str();
}

ingot_status ingot_trainer_parameter(ingot_trainer* trainer, size_t index, ingot_tensor* tensor) {
  return Guarded([&] {
    RequirePointer(trainer, "trainer");
    if (index >= trainer->trainer.parameters().size()) {
      throw ingot::Error(ingot::ErrorCode::kInvalidInput,
                         "there is no parameter " + std::to_string(index));
    }
    const ingot::Tensor& value = trainer->trainer.ReadParameter(index);
    ingot_tensor described{};
    described.dtype = static_cast<int32_t>(value.dtype());
    described.rank = value.shape().rank();
    described.dims = value.shape().dims().data();
    described.data = const_cast<std::byte*>(value.raw());
    described.data_size = value.bytes();
    ingot::capi::Describe(described, tensor);
  });
}

}  // extern "C"
