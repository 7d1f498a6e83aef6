// A session: the importer in front of an Executor.
#include "ingot/infer/session.h"

#include <algorithm>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/onnx_file.h"
#include "ingot/infer/executor.h"
#include "ingot/infer/precision.h"
#include "ingot/ir/op.h"
#include "ingot/onnx/import.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"
#include "ingot/passes/align_constants.h"

namespace ingot::infer {
namespace {

PortInfo PortOf(const std::string& name, const ir::Type& type) {
  PortInfo port;
  port.name = name;
  const ir::Type* tensor = &type;
  if (type.kind() == ir::Type::Kind::kSequence) port.kind = PortInfo::Kind::kSequence;
  if (type.kind() == ir::Type::Kind::kOptional) port.kind = PortInfo::Kind::kOptional;
  while (!tensor->is_tensor() && tensor->kind() != ir::Type::Kind::kUnknown) {
    tensor = &tensor->element();
  }
  port.dtype = tensor->dtype();
  port.has_rank = tensor->is_tensor() && tensor->has_rank();
  if (!port.has_rank) return port;
  for (const ir::Dimension& dim : tensor->dims()) {
    port.dims.push_back(dim.value());
    port.symbols.push_back(dim.symbol());
  }
  return port;
}

// Of all sessions; made once, never changed.
const ir::OpRegistry& Registry() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

// Packed weights of all sessions: those of the same model share them. It holds nothing that no
// session uses.
const std::shared_ptr<cpu::WeightStore>& Store() {
  static const auto store = std::make_shared<cpu::WeightStore>();
  return store;
}

}  // namespace

Precision ParsePrecision(std::string_view name) {
  if (name == "f32") return Precision::kF32;
  if (name == "bf16") return Precision::kBf16;
  throw Error(ErrorCode::kInvalidInput, "unknown precision '" + std::string(name) + "'",
              "expected one of: f32, bf16");
}

std::string PortInfo::Describe() const {
  std::string text = std::string(Name(dtype)) + "[";
  if (!has_rank) text += "...";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ", ";
    text += dims[i] >= 0 ? std::to_string(dims[i]) : symbols[i].empty() ? "?" : symbols[i];
  }
  text += "]";
  if (kind == Kind::kSequence) text = "seq(" + text + ")";
  if (kind == Kind::kOptional) text = "optional(" + text + ")";
  return name + " " + text;
}

struct Session::State {
  std::vector<formats::Blob> files;  // outlive what views them
  onnx::ImportedModel model;         // its graph is the executor's
  std::unique_ptr<Executor> executor;
  bool tensors_alone = true;  // no sequences, optionals or strings come in or out
  std::vector<PortInfo> inputs;
  std::vector<PortInfo> outputs;

  static std::unique_ptr<State> Make(formats::OnnxFile file, const SessionOptions& options);
  void CheckInputs(std::span<const Datum> given) const;
  std::string DescribeInputs() const;
};

std::unique_ptr<Session::State> Session::State::Make(formats::OnnxFile file,
                                                     const SessionOptions& options) {
  auto state = std::make_unique<State>();
  state->model =
      onnx::ImportModel(file, Registry(), {options.initializers, options.open_inputs, true});
  if (options.precision == Precision::kBf16) {
    RoundProductsToBf16(*state->model.graph, Registry());
  }
  if (!state->model.producer.empty()) {
    state->model.metadata.emplace("producer", state->model.producer);
  }
  const ir::Graph& graph = *state->model.graph;
  for (const ir::Value* input : graph.inputs()) {
    state->inputs.push_back(PortOf(input->name(), input->type()));
  }
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    state->outputs.push_back(PortOf(graph.output_names()[i], state->model.output_types[i]));
  }
  for (const auto* ports : {&state->inputs, &state->outputs}) {
    for (const PortInfo& port : *ports) {
      const bool plain = port.kind == PortInfo::Kind::kTensor && port.dtype != DType::kString;
      state->tensors_alone = state->tensors_alone && plain;
    }
  }
  if (!state->tensors_alone) {  // never planned
    passes::AlignConstants(*state->model.graph, passes::AlignFor::kEverything);
  }
  ExecutorOptions executor;
  executor.threads = options.threads;
  executor.store = Store();
  executor.check = [self = state.get()](std::span<const Tensor> given) {
    self->CheckInputs(std::vector<Datum>(given.begin(), given.end()));
  };
  state->files = file.mapped_files();
  for (const formats::Blob& blob : state->files) executor.mapped_files.push_back(blob.bytes());
  state->executor = std::make_unique<Executor>(std::move(state->model.graph), Registry(), executor);
  return state;
}

Session::Session(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::Load(const std::string& path, const SessionOptions& options) {
  return std::unique_ptr<Session>(new Session(State::Make(formats::OnnxFile::Open(path), options)));
}

std::unique_ptr<Session> Session::FromBytes(std::span<const std::byte> bytes,
                                            const std::string& folder_of_external_data,
                                            const SessionOptions& options) {
  return std::unique_ptr<Session>(new Session(State::Make(
      formats::OnnxFile::Parse(formats::CopyBlob(bytes), "model", folder_of_external_data),
      options)));
}

const std::vector<PortInfo>& Session::inputs() const {
  return state_->inputs;
}
const std::vector<PortInfo>& Session::outputs() const {
  return state_->outputs;
}
const std::map<std::string, std::string>& Session::metadata() const {
  return state_->model.metadata;
}

bool Session::IsReplaceable(const std::string& initializer) const {
  return state_->model.replaceable.count(initializer) > 0;
}

const Tensor* Session::DefaultOf(const std::string& input) const {
  const auto found = state_->model.defaults.find(input);
  return found == state_->model.defaults.end() ? nullptr : &found->second;
}

std::string Session::DescribeInputs() const {
  return state_->DescribeInputs();
}

std::string Session::State::DescribeInputs() const {
  std::vector<std::string> texts;
  for (const PortInfo& port : inputs) texts.push_back(port.Describe());
  return texts.empty() ? "the model takes no inputs" : Join(texts, "; ");
}

void Session::State::CheckInputs(std::span<const Datum> given) const {
  const auto fail = [&](const std::string& problem) {
    throw Error(ErrorCode::kInvalidInput, problem, "the model wants: " + DescribeInputs());
  };
  if (given.size() != inputs.size()) {
    fail(std::to_string(given.size()) + " inputs were given, expected " +
         std::to_string(inputs.size()));
  }
  std::map<std::string, std::pair<int64_t, std::string>> bound;  // symbol -> extent, input
  for (size_t i = 0; i < given.size(); ++i) {
    const PortInfo& port = inputs[i];
    if (port.kind != PortInfo::Kind::kTensor) continue;  // the interpreter looks at them
    const std::string what = "input '" + port.name + "' is " + given[i].Describe();
    if (!given[i].is_tensor() || given[i].tensor().dtype() != port.dtype) {
      fail(what + ", expected " + std::string(Name(port.dtype)));
    }
    const Shape& shape = given[i].tensor().shape();
    if (!port.has_rank) continue;
    bool fits = shape.rank() == static_cast<int>(port.dims.size());
    for (size_t d = 0; fits && d < port.dims.size(); ++d) {
      const int64_t extent = shape[static_cast<int>(d)];
      if (port.dims[d] >= 0) fits = extent == port.dims[d];
      if (port.dims[d] >= 0 || port.symbols[d].empty()) continue;
      const auto [known, is_new] = bound.try_emplace(port.symbols[d], extent, port.name);
      if (!is_new && known->second.first != extent) {
        fail(what + ", whose '" + port.symbols[d] + "' is " + std::to_string(extent) +
             ", but that of input '" + known->second.second + "' is " +
             std::to_string(known->second.first));
      }
    }
    if (!fits) fail(what + ", expected " + port.Describe());
  }
}

std::vector<Datum> Session::RunValues(std::span<const Datum> inputs) const {
  state_->CheckInputs(inputs);
  if (!state_->tensors_alone) return ops::InterpretValues(state_->executor->graph(), inputs);
  std::vector<Tensor> tensors;
  for (const Datum& input : inputs) tensors.push_back(input.tensor());
  std::vector<Datum> outputs;
  for (Tensor& output : state_->executor->Run(tensors)) outputs.emplace_back(std::move(output));
  return outputs;
}

const Executor& Session::executor() const {
  return *state_->executor;
}

void Session::RunInto(std::span<const Tensor> inputs, std::span<Tensor> outputs) const {
  if (state_->tensors_alone) return state_->executor->Run(inputs, outputs);
  std::vector<Tensor> results = Run(inputs);
  if (results.size() != outputs.size()) {
    throw Error(ErrorCode::kInvalidInput, std::to_string(outputs.size()) +
                                              " outputs are given, expected " +
                                              std::to_string(results.size()));
  }
  std::vector<std::string> names;
  for (const PortInfo& port : this->outputs()) names.push_back(port.name);
  CopyOutputs(names, results, outputs);
}

std::vector<Tensor> Session::Run(std::span<const Tensor> inputs, bool alone) const {
  if (state_->tensors_alone) return state_->executor->Run(inputs, alone);
  std::vector<Tensor> outputs;
  for (const Datum& output : RunValues(std::vector<Datum>(inputs.begin(), inputs.end()))) {
    outputs.push_back(output.tensor());
  }
  return outputs;
}

}  // namespace ingot::infer
