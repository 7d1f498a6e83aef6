// Predictor: what a trained model says about new inputs. Made from a run directory: its job.yaml
// and its final (else newest) checkpoint, which is verified before it is trusted; or from an ONNX
// file with one input, which says in its metadata what job it is of where Ingot wrote it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/data/batches.h"
#include "ingot/data/conversion.h"
#include "ingot/formats/bytes.h"
#include "ingot/ir/op.h"
#include "ingot/nn/network.h"
#include "ingot/tensor/tensor.h"
#include "ingot/train/job.h"
#include "ingot/train/setup.h"

namespace ingot::infer {

struct PredictorOptions {
  // "final", "best", "newest", a checkpoint's folder in checkpoints/ ("step-00000469") or, as "",
  // final where there is one, else the newest whole one.
  std::string checkpoint;
  // Overrides data.folder of the job, for data sets that are opened for predictions or transforms.
  std::string data_folder;
  int threads = 0;  // 0: the CPUs this process may use
  std::shared_ptr<const ir::OpRegistry> registry;
  const nn::LayerRegistry* layers = nullptr;
};

// Not safe for use by several threads at once. The forward program is compiled at the first
// prediction for each size of batch.
class Predictor {
 public:
  // Throws Error: kNotFound where there is no run or checkpoint, kCorrupt for a damaged one, and
  // what the reading of jobs and the building of networks throw.
  static Predictor Load(const std::string& run_or_model, const PredictorOptions& options = {});
  ~Predictor();
  Predictor(Predictor&&) noexcept;
  Predictor& operator=(Predictor&&) = delete;

  const train::Job& job() const;
  // The folder of the checkpoint that is used.
  const std::string& checkpoint() const;
  // Of one raw sample, as it stands in the data: u8[28, 28].
  const data::Field& raw_input() const;
  // Of one sample as the network takes it: f32[28, 28].
  const data::Field& input() const;
  // Of one output, without the batch: [10].
  Shape output_shape() const;
  int64_t classes() const;                              // 0: not a classifier
  const std::vector<std::string>& class_names() const;  // may be empty
  nn::OutputKind output_kind() const;
  const std::vector<formats::NamedTensor>& parameters() const;
  // What the checkpoint says of the data: ModelMetadata as text.
  const std::map<std::string, std::string>& metadata() const;
  // As it is for predictions: without a loss, its parameters inputs.
  const nn::Network& network() const;
  const ir::OpRegistry& registry() const;

  // `x`: [n, ...], each row an input() after the transforms; n >= 1. Returns [n, ...] of the job's
  // precision: what the last layer gives. Throws Error(kInvalidInput) for another shape or type.
  Tensor Predict(const Tensor& x);
  // `raw`: [n, ...], each row a raw_input(): goes through the job's transforms first. Bytes of a
  // greyscale image fit a job that was trained on such images.
  Tensor PredictRaw(const Tensor& raw);
  // `raw` as the network takes it.
  Tensor Transform(const Tensor& raw) const;
  // The outputs of every sample of `batches`, in order: [samples, ...].
  Tensor PredictAll(const data::Batches& batches);

  // What Predict gave -> probabilities of the same shape, rows adding up to 1: a softmax of
  // logits (of one column: a sigmoid), the same where it holds probabilities already. Throws
  // Error(kInvalidInput) where the model gives other values.
  Tensor Probabilities(const Tensor& output) const;

  // The network of the job as it predicts, for samples of another shape than input().
  nn::Network NetworkFor(const Shape& sample) const;

  // The job's data sets, opened at the first call, with the split and the transforms of training.
  const data::DataSets& data();

 private:
  struct State;
  explicit Predictor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ingot::infer
