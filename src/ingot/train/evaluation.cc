// Evaluator: see evaluation.h.
#include "ingot/train/evaluation.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/compiler/compile.h"
#include "ingot/train/metrics.h"
#include "ingot/train/step_graph.h"

namespace ingot::train {

struct Evaluator::Programs {
  std::vector<StepGraph> steps;
  std::unique_ptr<runtime::StepEngine> engine;
  std::vector<std::string> sums;
  bool rows = false;
};

int64_t EvaluationBatch(int64_t job_batch) {
  constexpr int64_t kSmallest = 256;
  return std::max(job_batch, kSmallest);
}

Evaluator::Evaluator(nn::NetworkOptions network, std::shared_ptr<const ir::OpRegistry> registry,
                     const nn::LayerRegistry& layers, std::shared_ptr<const data::Batches> batches,
                     int threads)
    : options_(std::move(network)),
      registry_(std::move(registry)),
      layers_(layers),
      batches_(std::move(batches)),
      threads_(threads) {
  options_.training = false;
}

Evaluator::~Evaluator() = default;

const nn::Network& Evaluator::network() {
  if (network_ == nullptr) {
    network_ = std::make_unique<nn::Network>(nn::BuildNetwork(options_, *registry_, layers_));
  }
  return *network_;
}

void Evaluator::Build(bool rows) {
  if (programs_ != nullptr && programs_->rows == rows) return;
  auto programs = std::make_unique<Programs>();
  programs->rows = rows;
  std::vector<std::shared_ptr<const runtime::StepProgram>> compiled;
  std::vector<int64_t> sizes = {batches_->batch()};
  if (batches_->LastBatch() != batches_->batch()) sizes.push_back(batches_->LastBatch());
  const int64_t shards = ChooseShards(network(), batches_->batch());
  for (const int64_t size : sizes) {
    programs->steps.push_back(BuildEvaluationGraph(
        network(), size, std::min(shards, size), *registry_,
        rows ? EvaluationOutputs::kSumsAndRows : EvaluationOutputs::kSums, network().precision));
    compiled.push_back(compiler::CompileStep(*programs->steps.back().graph, *registry_));
  }
  programs->sums = compiler::PlanOf(*compiled[0]).sums;
  programs->engine = std::make_unique<runtime::StepEngine>(compiled, threads_);
  programs_ = std::move(programs);
}

std::map<std::string, double> Evaluator::Evaluate(std::span<const formats::NamedTensor> parameters,
                                                  const std::function<bool()>& should_stop) {
  return Evaluate(parameters, nullptr, should_stop);
}

std::map<std::string, double> Evaluator::Evaluate(std::span<const formats::NamedTensor> parameters,
                                                  const OnRows& on_rows,
                                                  const std::function<bool()>& should_stop) {
  return Means(Run(parameters, 0, batches(), on_rows, should_stop));
}

std::vector<float> Evaluator::Sums(std::span<const formats::NamedTensor> parameters, int64_t first,
                                   int64_t count, const std::function<bool()>& should_stop) {
  if (count == 0) return {};
  return Run(parameters, first, count, nullptr, should_stop);
}

std::vector<float> Evaluator::Run(std::span<const formats::NamedTensor> parameters, int64_t first,
                                  int64_t count, const OnRows& on_rows,
                                  const std::function<bool()>& should_stop) {
  Build(on_rows != nullptr);
  SetParameters(*programs_->engine, network().parameters, parameters);
  std::vector<float> sums;
  sums.reserve(static_cast<size_t>(count) * programs_->sums.size());
  runtime::StepRequest request;
  request.first_step = first;
  request.count = count;
  request.program_of_step = [this](int64_t step) {
    return batches_->BatchOf(step) == batches_->batch() ? 0 : 1;
  };
  request.source = batches_.get();
  request.on_sums = [&sums](int64_t, std::span<const float> step_sums) {
    sums.insert(sums.end(), step_sums.begin(), step_sums.end());
  };
  if (on_rows) {
    request.on_rows = [&](int64_t step, std::span<const TensorView> rows) {
      on_rows(step * batches_->batch(), rows[0]);
    };
  }
  request.should_stop = should_stop;
  request.stop_when_not_finite = false;  // the mean tells
  const runtime::StepResult result = programs_->engine->Run(request);
  if (result.next_step < first + count) {
    throw Error(ErrorCode::kInterrupted, "the evaluation was interrupted");
  }
  return sums;
}

std::map<std::string, double> Evaluator::Means(std::span<const float> batch_sums) {
  if (programs_ == nullptr) Build(false);
  const std::vector<std::string>& names = programs_->sums;
  std::vector<double> sums(names.size(), 0.0);
  for (size_t i = 0; i < batch_sums.size(); ++i) {
    sums[i % sums.size()] += static_cast<double>(batch_sums[i]);
  }
  std::map<std::string, double> means;
  const auto weight = std::find(names.begin(), names.end(), "weight_sum");
  INGOT_ASSERT(weight != names.end(), "an evaluation counts its samples");
  const double samples = sums[static_cast<size_t>(weight - names.begin())];
  for (size_t i = 0; i < sums.size(); ++i) {
    const std::string& name = names[i];
    if (name == "weight_sum") continue;
    const std::string metric = name.substr(0, name.size() - std::string("_sum").size());
    means[metric] = MetricFromSum(metric, sums[i], samples);
  }
  return means;
}

void SetParameters(runtime::StepEngine& engine, const std::vector<nn::ParameterSpec>& specs,
                   std::span<const formats::NamedTensor> parameters) {
  SetParameters(
      [&](const std::string& name, const Tensor& value) { engine.WriteState(name, value); }, specs,
      parameters);
}

void SetParameters(const std::function<void(const std::string&, const Tensor&)>& write,
                   const std::vector<nn::ParameterSpec>& specs,
                   std::span<const formats::NamedTensor> parameters) {
  for (const nn::ParameterSpec& spec : specs) {
    const auto found =
        std::find_if(parameters.begin(), parameters.end(),
                     [&](const formats::NamedTensor& tensor) { return tensor.name == spec.name; });
    if (found == parameters.end()) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("the parameter '{}' of layer {} is missing", spec.name, spec.layer),
                  "these are the weights of another model");
    }
    if (found->tensor.dtype() != spec.dtype || found->tensor.shape() != spec.shape) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("the parameter '{}' is {}, but layer {} needs {}{}", spec.name,
                              found->tensor.Describe(), spec.layer, Name(spec.dtype),
                              spec.shape.ToString()),
                  "these are the weights of another model");
    }
    write(spec.name, found->tensor);
  }
}

}  // namespace ingot::train
