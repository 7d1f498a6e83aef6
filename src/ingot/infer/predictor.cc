// Predictor: see predictor.h.
#include "ingot/infer/predictor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/config.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/compiler/compile.h"
#include "ingot/data/transforms.h"
#include "ingot/formats/onnx_file.h"
#include "ingot/nn/loss.h"
#include "ingot/onnx/import.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/train/checkpoint_store.h"
#include "ingot/train/evaluation.h"
#include "ingot/train/model_metadata.h"
#include "ingot/train/run_directory.h"
#include "ingot/train/step_graph.h"

namespace ingot::infer {
namespace {

struct Chosen {
  train::Checkpoint checkpoint;
  std::string path;
};

Chosen ChooseCheckpoint(const std::string& run, const std::string& wanted) {
  const std::string folder = run + "/" + train::kCheckpointsFolder;
  FileSystem& files = RealFileSystem();
  std::string name = wanted;
  if (name.empty()) {
    name =
        files.Exists(folder + "/" + train::kFinalCheckpoint) ? train::kFinalCheckpoint : "newest";
  }
  if (name == "newest") {
    train::LoadedCheckpoint loaded = train::CheckpointStore(files, folder, 1).LoadNewest();
    return {std::move(loaded.checkpoint), loaded.path};
  }
  if (name.find('/') != std::string::npos || name == "." || name == "..") {
    throw Error(ErrorCode::kInvalidInput, "'" + name + "' is no name of a checkpoint",
                "expected final, best, newest or the name of a folder in " + folder);
  }
  const std::string path = folder + "/" + name;
  if (!files.Exists(path)) {
    std::vector<std::string> names;
    if (files.Exists(folder)) names = files.List(folder);
    throw Error(ErrorCode::kNotFound, "there is no checkpoint '" + name + "' in " + folder,
                names.empty() ? "the run has written none yet" : DidYouMean(name, names));
  }
  return {train::ReadCheckpoint(path), path};
}

train::Job LoadJob(const std::string& run) {
  const std::string path = run + "/" + train::kJobFile;
  if (!RealFileSystem().Exists(path)) {
    throw Error(ErrorCode::kNotFound, run + " is no run directory: it holds no " + train::kJobFile,
                "give the folder that --out named when the run was started");
  }
  return train::ReadJob(LoadConfig(path));
}

bool IsModelFile(const std::string& path) {
  return path.ends_with(".onnx");
}

// The job that the file names, with the file itself as its network; without one, a job whose data
// are what the model takes.
train::Job JobOfModel(const std::string& path, const std::map<std::string, std::string>& metadata) {
  train::Job job;
  const auto text = metadata.find("ingot.job");
  if (text != metadata.end()) {
    job = train::ReadJob(ParseConfig(text->second, path + " (ingot.job)"));
  } else {
    job.data.transforms = ConfigNode::List({});
  }
  job.model = {};
  job.model.onnx = ConfigNode::Scalar(path);
  return job;
}

// Of a file that Ingot did not write: its first input without the batch.
train::ModelMetadata MetadataOfInput(const std::string& path, const ir::Graph& graph) {
  if (graph.inputs().empty()) {
    throw Error(ErrorCode::kUnsupported, "'" + path + "' has no input to predict from",
                "ingot run runs a model without inputs");
  }
  const ir::Type& type = graph.inputs()[0]->type();
  std::vector<int64_t> dims;
  for (int i = 1; type.is_tensor() && type.has_rank() && i < type.rank(); ++i) {
    if (!type.dim(i).is_static()) {
      throw Error(ErrorCode::kUnsupported,
                  "input '" + graph.inputs()[0]->name() + "' of '" + path + "' is " +
                      type.ToString() + "; only its first extent may be dynamic here",
                  "ingot run takes arrays of any extents");
    }
    dims.push_back(type.dim(i).value());
  }
  train::ModelMetadata metadata;
  metadata.input_type = type.dtype();
  metadata.input_shape = Shape(dims);
  return metadata;
}

// Hands out rows of one tensor as batches.
class TensorSource : public runtime::BatchSource {
 public:
  TensorSource(const Tensor& x, int64_t batch)
      : x_(x), batch_(batch), row_bytes_(x.bytes() / static_cast<size_t>(x.shape()[0])) {}

  void Fill(int64_t step, int64_t first_sample, int64_t count,
            std::span<void* const> inputs) const override {
    const auto first = static_cast<size_t>(step * batch_ + first_sample);
    std::memcpy(inputs[0], x_.raw() + first * row_bytes_, static_cast<size_t>(count) * row_bytes_);
  }

 private:
  const Tensor& x_;
  int64_t batch_;
  size_t row_bytes_;
};

// Shape [n, dims of a sample].
Shape Batched(int64_t n, const Shape& sample) {
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), sample.dims().begin(), sample.dims().end());
  return Shape(dims);
}

void CheckRows(const Tensor& tensor, const data::Field& row, const char* what) {
  const bool fits = !tensor.empty() && tensor.shape().rank() > 0 && tensor.shape()[0] > 0 &&
                    tensor.dtype() == row.dtype &&
                    tensor.shape() == Batched(tensor.shape()[0], row.shape);
  if (fits) return;
  std::string wanted = "[n";
  for (const int64_t dim : row.shape.dims()) wanted += fmt::format(", {}", dim);
  throw Error(ErrorCode::kInvalidInput,
              fmt::format("{} is {}, but the model takes {}{}]", what,
                          tensor.empty() ? "empty" : tensor.Describe(), Name(row.dtype), wanted));
}

void SoftmaxRow(double* values, int64_t count) {
  const double largest = *std::max_element(values, values + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i] = std::exp(values[i] - largest);
  for (int64_t i = 0; i < count; ++i) values[i] /= sum;
}

// Whether a job's transforms can be worked out without the training data.
bool NeedsTrainingData(const ConfigNode& transforms,
                       const std::map<std::string, std::string>& stored) {
  const bool has_statistics = std::any_of(stored.begin(), stored.end(), [](const auto& item) {
    return item.first.starts_with("standardise.");
  });
  return !has_statistics && transforms.ToYaml().find("standardise") != std::string::npos;
}

}  // namespace

struct Predictor::State {
  train::Job job;
  train::SetupOptions setup;
  const nn::LayerRegistry* layers = nullptr;
  int threads = 1;
  Chosen chosen;
  train::ModelMetadata metadata;
  std::optional<data::DataSets> data;
  std::optional<data::Conversion> conversion;  // of x
  nn::Network network;
  // One engine for each size of batch.
  std::map<int64_t, std::unique_ptr<runtime::StepEngine>> engines;

  const data::DataSets& Data();
  void OpenRun(const std::string& run, const PredictorOptions& options);
  void OpenModel(const std::string& path);
  void MakeConversion();
  runtime::StepEngine& EngineOf(int64_t batch);
  void Run(const runtime::BatchSource& source, int64_t first, int64_t batch, int64_t steps,
           Tensor& output);
};

Predictor::Predictor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Predictor::~Predictor() = default;
Predictor::Predictor(Predictor&&) noexcept = default;

Predictor Predictor::Load(const std::string& run_or_model, const PredictorOptions& options) {
  auto state = std::make_unique<State>();
  state->setup.registry = options.registry;
  state->setup.registry = train::RegistryOf(state->setup);
  state->layers = options.layers != nullptr ? options.layers : &nn::StandardLayers();
  state->threads = options.threads > 0 ? options.threads : AvailableCpus();
  if (IsModelFile(run_or_model)) {
    state->OpenModel(run_or_model);
  } else {
    state->OpenRun(run_or_model, options);
  }
  if (!options.data_folder.empty()) state->job.data.folder = options.data_folder;
  state->MakeConversion();

  const Shape sample = state->conversion->output().shape;
  Predictor predictor(std::move(state));
  State& loaded = *predictor.state_;
  loaded.network = predictor.NetworkFor(sample);
  if (IsModelFile(run_or_model)) {
    for (const nn::ParameterSpec& parameter : loaded.network.parameters) {
      loaded.chosen.checkpoint.parameters.push_back(
          {parameter.name, nn::InitialValue(parameter, 0)});
    }
  }
  return predictor;
}

nn::Network Predictor::NetworkFor(const Shape& sample) const {
  nn::NetworkOptions network;
  network.model = state_->job.model;
  network.precision = train::PrecisionOf(state_->job);
  const data::Field& x = state_->conversion->output();
  network.x = {x.dtype, sample, x.classes};
  return nn::BuildNetwork(network, *state_->setup.registry, *state_->layers);
}

void Predictor::State::OpenRun(const std::string& run, const PredictorOptions& options) {
  job = LoadJob(run);
  chosen = ChooseCheckpoint(run, options.checkpoint);
  metadata = train::ReadModelMetadata(chosen.checkpoint.metadata, chosen.path);
}

// The weights follow when the network is built.
void Predictor::State::OpenModel(const std::string& path) {
  auto file = formats::OnnxFile::Open(path);
  const onnx::ImportedModel model = onnx::ImportModel(file, *setup.registry);
  job = JobOfModel(path, model.metadata);
  chosen.path = path;
  chosen.checkpoint.metadata = model.metadata;
  metadata = model.metadata.count("input") > 0 ? train::ReadModelMetadata(model.metadata, path)
                                               : MetadataOfInput(path, *model.graph);
}

// The job's transforms as they would be for the training data, made from what the checkpoint says
// about them where that is enough.
void Predictor::State::MakeConversion() {
  if (NeedsTrainingData(job.data.transforms, metadata.stored)) {
    conversion = Data().conversions[0];
    return;
  }
  // A source of one empty sample: the transforms look at types and shapes alone.
  data::MemorySource source({"x", "y"},
                            {Tensor(metadata.input_type, Batched(1, metadata.input_shape)),
                             Tensor(DType::kU8, Shape{1})});
  if (metadata.classes > 0) source.SetClasses("y", metadata.classes);
  std::vector<data::Conversion> conversions;
  for (data::Field field : source.fields()) {
    if (field.name == "x") field.classes = metadata.input_classes;
    if (field.name == "x") field.categorical = metadata.input_categorical;
    conversions.emplace_back(field);
  }
  data::ApplyTransforms(
      job.data.transforms.is_null() ? data::DefaultTransforms(source) : job.data.transforms,
      {conversions, source, data::Selection::All(1), &metadata.stored});
  // Tokens stay whole, as in training.
  data::CastForNetwork(conversions[0], train::PrecisionOf(job));
  conversion = conversions[0];
}

const data::DataSets& Predictor::State::Data() {
  if (!data) {
    data = data::OpenData(job.data, static_cast<uint64_t>(job.seed), train::PrecisionOf(job),
                          setup.find_mnist);
  }
  return *data;
}

runtime::StepEngine& Predictor::State::EngineOf(int64_t batch) {
  std::unique_ptr<runtime::StepEngine>& engine = engines[batch];
  if (engine == nullptr) {
    const int64_t shards = train::ChooseShards(network, batch);
    const train::StepGraph step =
        train::BuildEvaluationGraph(network, batch, std::min(shards, batch), *setup.registry,
                                    train::EvaluationOutputs::kRows, network.precision);
    engine = std::make_unique<runtime::StepEngine>(
        std::vector{compiler::CompileStep(*step.graph, *setup.registry)},
        static_cast<int>(std::min<int64_t>(threads, batch)));
    train::SetParameters(*engine, network.parameters, chosen.checkpoint.parameters);
  }
  return *engine;
}

// Steps [first, first + steps) of a source in batches of `batch`, into the rows of `output` that
// begin at first * batch.
void Predictor::State::Run(const runtime::BatchSource& source, int64_t first, int64_t batch,
                           int64_t steps, Tensor& output) {
  const size_t row_bytes = output.bytes() / static_cast<size_t>(output.shape()[0]);
  runtime::StepRequest request;
  request.first_step = first;
  request.count = steps;
  request.source = &source;
  request.stop_when_not_finite = false;
  request.on_rows = [&](int64_t step, std::span<const TensorView> rows) {
    std::memcpy(output.raw() + static_cast<size_t>(step * batch) * row_bytes, rows[0].data,
                rows[0].bytes());
  };
  EngineOf(batch).Run(request);
}

const train::Job& Predictor::job() const {
  return state_->job;
}
const std::string& Predictor::checkpoint() const {
  return state_->chosen.path;
}
const data::Field& Predictor::raw_input() const {
  return state_->conversion->input();
}
const data::Field& Predictor::input() const {
  return state_->conversion->output();
}
int64_t Predictor::classes() const {
  return state_->metadata.classes;
}
const std::vector<std::string>& Predictor::class_names() const {
  return state_->metadata.class_names;
}
const std::vector<formats::NamedTensor>& Predictor::parameters() const {
  return state_->chosen.checkpoint.parameters;
}
const std::map<std::string, std::string>& Predictor::metadata() const {
  return state_->chosen.checkpoint.metadata;
}
const nn::Network& Predictor::network() const {
  return state_->network;
}
const ir::OpRegistry& Predictor::registry() const {
  return *state_->setup.registry;
}
const data::DataSets& Predictor::data() {
  return state_->Data();
}

nn::OutputKind Predictor::output_kind() const {
  const nn::OutputKind kind = state_->network.output_kind;
  const ConfigNode& loss = job().loss;
  const bool scores = classes() > 0 || (!loss.is_null() && !nn::ReadLoss(loss).absorbs.empty());
  if (kind != nn::OutputKind::kValues || !scores) return kind;
  // The network is built without a loss, which would say that a classifier's last values are
  // scores.
  const ir::Node* last = state_->network.output("output")->producer();
  const bool normalised = last != nullptr && last->domain().empty() &&
                          (last->op_type() == "Softmax" || last->op_type() == "Sigmoid");
  return normalised ? nn::OutputKind::kProbabilities : nn::OutputKind::kLogits;
}

Shape Predictor::output_shape() const {
  std::vector<int64_t> dims;
  const ir::Type& type = state_->network.output("output")->type();
  for (int axis = 1; axis < type.rank(); ++axis) dims.push_back(type.dim(axis).value());
  return Shape(dims);
}

Tensor Predictor::Predict(const Tensor& x) {
  CheckRows(x, input(), "the input");
  constexpr int64_t kBatch = 256;
  const int64_t n = x.shape()[0];
  Tensor output(state_->network.precision, Batched(n, output_shape()));
  const int64_t whole = n / kBatch;
  if (whole > 0) state_->Run(TensorSource(x, kBatch), 0, kBatch, whole, output);
  if (const int64_t rest = n - whole * kBatch; rest > 0) {
    Tensor rows(x.dtype(), Batched(rest, input().shape));
    std::memcpy(rows.raw(), x.raw() + (x.bytes() - rows.bytes()), rows.bytes());
    Tensor last(output.dtype(), Batched(rest, output_shape()));
    state_->Run(TensorSource(rows, rest), 0, rest, 1, last);
    std::memcpy(output.raw() + (output.bytes() - last.bytes()), last.raw(), last.bytes());
  }
  return output;
}

Tensor Predictor::Transform(const Tensor& raw) const {
  CheckRows(raw, raw_input(), "the raw input");
  const int64_t n = raw.shape()[0];
  Tensor x(input().dtype, Batched(n, input().shape));
  for (int64_t i = 0; i < n; ++i) {
    const auto row = static_cast<size_t>(i);
    state_->conversion->Apply(raw.raw() + row * raw_input().bytes(),
                              x.raw() + row * input().bytes());
  }
  return x;
}

Tensor Predictor::PredictRaw(const Tensor& raw) {
  return Predict(Transform(raw));
}

Tensor Predictor::PredictAll(const data::Batches& batches) {
  Tensor output(state_->network.precision, Batched(batches.samples(), output_shape()));
  std::byte* to = output.raw();
  for (int64_t step = 0; step < batches.StepsPerEpoch(); ++step) {
    const int64_t n = batches.BatchOf(step);
    std::vector<Tensor> inputs;
    std::vector<void*> pointers;
    for (const data::Field& field : batches.outputs()) {
      inputs.emplace_back(field.dtype, Batched(n, field.shape));
      pointers.push_back(inputs.back().raw());
    }
    batches.Fill(step, 0, n, pointers);
    const Tensor rows = Predict(inputs[0]);
    std::memcpy(to, rows.raw(), rows.bytes());
    to += rows.bytes();
  }
  return output;
}

Tensor Predictor::Probabilities(const Tensor& output) const {
  if (output_kind() == nn::OutputKind::kProbabilities) return output;
  if (output_kind() == nn::OutputKind::kValues) {
    throw Error(
        ErrorCode::kInvalidInput,
        "the model's outputs are values, not scores of classes: there are no probabilities");
  }
  std::vector<double> values = output.ToDoubles();
  const int64_t columns = output.shape()[output.shape().rank() - 1];
  for (int64_t i = 0; i < output.size(); i += columns) {
    double* row = values.data() + i;
    if (columns == 1) {
      row[0] = 1 / (1 + std::exp(-row[0]));
    } else {
      SoftmaxRow(row, columns);
    }
  }
  return Tensor::Of<double>(output.shape(), std::span<const double>(values)).Cast(output.dtype());
}

}  // namespace ingot::infer
