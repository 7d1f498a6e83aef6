// Evaluator: loss and metrics of a model over a data set, and its outputs for every sample.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/data/batches.h"
#include "ingot/formats/bytes.h"
#include "ingot/ir/op.h"
#include "ingot/nn/network.h"
#include "ingot/runtime/step_engine.h"

namespace ingot::train {

// The batch that evaluation uses for a job's batch: large enough to keep the threads busy, and a
// function of the job alone, since it decides the order of sums.
int64_t EvaluationBatch(int64_t job_batch);

// Not safe for use by several threads at once. Network and programs are made at the first use.
class Evaluator {
 public:
  // `network.training` is ignored. References must outlive the evaluator.
  Evaluator(nn::NetworkOptions network, std::shared_ptr<const ir::OpRegistry> registry,
            const nn::LayerRegistry& layers, std::shared_ptr<const data::Batches> batches,
            int threads);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // "loss" and every metric of the network, means over the data set. `parameters` must have all of
  // the network's, of its types and shapes. Throws Error(kInvalidInput) naming the parameter that
  // does not fit, Error(kInterrupted) where `should_stop` said so, and what the data's source
  // throws.
  std::map<std::string, double> Evaluate(std::span<const formats::NamedTensor> parameters,
                                         const std::function<bool()>& should_stop = nullptr);

  // The same, and `on_rows` is called with the outputs [n, ...] of samples [first, first + n) for
  // one batch after the other. The view is valid during the call.
  using OnRows = std::function<void(int64_t first_sample, const TensorView& output)>;
  std::map<std::string, double> Evaluate(std::span<const formats::NamedTensor> parameters,
                                         const OnRows& on_rows,
                                         const std::function<bool()>& should_stop);

  // For processes that share an evaluation: what batches [first, first + count) sum to, and the
  // means that the sums of all batches make, which have the bits of Evaluate. Sums throws what
  // Evaluate throws.
  int64_t batches() const { return batches_->StepsPerEpoch(); }
  std::vector<float> Sums(std::span<const formats::NamedTensor> parameters, int64_t first,
                          int64_t count, const std::function<bool()>& should_stop);
  std::map<std::string, double> Means(std::span<const float> sums);

  const nn::Network& network();

 private:
  struct Programs;
  void Build(bool rows);
  std::vector<float> Run(std::span<const formats::NamedTensor> parameters, int64_t first,
                         int64_t count, const OnRows& on_rows,
                         const std::function<bool()>& should_stop);

  nn::NetworkOptions options_;
  std::shared_ptr<const ir::OpRegistry> registry_;
  const nn::LayerRegistry& layers_;
  std::shared_ptr<const data::Batches> batches_;
  int threads_;
  std::unique_ptr<nn::Network> network_;
  std::unique_ptr<Programs> programs_;
};

// Writes the parameters of a network into an engine. Throws Error(kInvalidInput) naming one that is
// missing, or of another type or shape.
void SetParameters(const std::function<void(const std::string&, const Tensor&)>& write,
                   const std::vector<nn::ParameterSpec>& specs,
                   std::span<const formats::NamedTensor> parameters);
void SetParameters(runtime::StepEngine& engine, const std::vector<nn::ParameterSpec>& specs,
                   std::span<const formats::NamedTensor> parameters);

}  // namespace ingot::train
