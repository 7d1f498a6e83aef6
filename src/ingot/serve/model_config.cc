// Reading, writing and completing configurations of served models.
#include "ingot/serve/model_config.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "ingot/base/file.h"
#include "ingot/serve/data_type.h"
#include "ingot/serve/json_message.h"
#include "ingot/serve/proto/model_config.pb.h"

namespace ingot::serve {
namespace {

namespace pb = google::protobuf;

// Keeps the first fault, with its place.
class FirstFault : public pb::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    text_ = "line " + std::to_string(line + 1) + ", column " + std::to_string(column + 1) + ": " +
            message;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

inference::DataType TypeOf(DType type) {
  inference::DataType result = inference::TYPE_INVALID;
  inference::DataType_Parse(ConfigName(type), &result);
  return result;
}

const Port* Find(std::span<const Port> ports, const std::string& name) {
  for (const Port& port : ports) {
    if (port.name == name) return &port;
  }
  return nullptr;
}

// Whether every port's first axis is dynamic and has the same name: then rows can be joined.
bool CanBatch(std::span<const Port> inputs, std::span<const Port> outputs) {
  std::string symbol;
  bool first = true;
  for (const std::span<const Port> ports : {inputs, outputs}) {
    for (const Port& port : ports) {
      if (port.dims.empty() || port.dims[0] >= 0) return false;
      const std::string& name = port.symbols.empty() ? std::string() : port.symbols[0];
      if (first) symbol = name;
      if (name != symbol) return false;
      first = false;
    }
  }
  return !first;
}

template <typename Repeated>
void FillDims(const Port& port, bool batched, Repeated* dims) {
  for (size_t i = batched ? 1 : 0; i < port.dims.size(); ++i) dims->Add(port.dims[i]);
}

std::vector<int64_t> BackendDims(const auto& configured) {
  const auto& dims = configured.has_reshape() ? configured.reshape().shape() : configured.dims();
  return {dims.begin(), dims.end()};
}

// The elements between the free axes of a shape; nothing where they are too many to count.
std::vector<int64_t> FixedCounts(const auto& dims) {
  std::vector<int64_t> counts = {1};
  for (const int64_t d : dims) {
    if (d < 0) {
      counts.push_back(1);
    } else if (__builtin_mul_overflow(counts.back(), d, &counts.back())) {
      return {};
    }
  }
  return counts;
}

// Free axes keep their extents and their order, and between them are as many elements.
void CheckReshape(const auto& configured, const std::string& what) {
  if (!configured.has_reshape()) return;
  const std::vector<int64_t> counts = FixedCounts(configured.dims());
  if (!counts.empty() && counts == FixedCounts(configured.reshape().shape())) return;
  const std::vector<int64_t> dims(configured.dims().begin(), configured.dims().end());
  throw Error(ErrorCode::kInvalidInput, what + ": reshape " + ShapeText(BackendDims(configured)) +
                                            " has not as many elements as dims " + ShapeText(dims));
}

void CheckPort(const auto& configured, const Port* port, bool batched, bool ragged,
               const std::string& kind, std::span<const Port> all) {
  const std::string what = "config.pbtxt: " + kind + " '" + configured.name() + "'";
  if (port == nullptr) {
    std::string names;
    for (const Port& known : all) names += (names.empty() ? "'" : ", '") + known.name + "'";
    throw Error(ErrorCode::kInvalidInput, what + " is none of the model's, which has " + names);
  }
  if (ConfigType(configured.data_type()) != port->dtype) {
    throw Error(ErrorCode::kInvalidInput, what + ": data_type " +
                                              inference::DataType_Name(configured.data_type()) +
                                              ", but the model has " + ConfigName(port->dtype));
  }
  CheckReshape(configured, what);
  std::vector<int64_t> dims = BackendDims(configured);
  if (ragged) {
    dims = {-1};
  } else if (batched)
    dims.insert(dims.begin(), -1);
  bool fits = dims.size() == port->dims.size();
  for (size_t i = 0; fits && i < dims.size(); ++i) {
    if ((batched || ragged) && i == 0) {
      fits = port->dims[0] < 0;
    } else {
      fits = dims[i] < 0 || port->dims[i] < 0 || dims[i] == port->dims[i];
    }
  }
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput, what + ": dims " + ShapeText(dims) +
                                              (ragged    ? " (of all requests together)"
                                               : batched ? " (with the batch axis)"
                                                         : "") +
                                              ", but the model has " + ShapeText(port->dims));
  }
}

QueuePolicy PolicyOf(const inference::ModelQueuePolicy& policy) {
  QueuePolicy result;
  result.reject = policy.timeout_action() == inference::ModelQueuePolicy::REJECT;
  result.default_timeout_us = policy.default_timeout_microseconds();
  result.allow_timeout_override = policy.allow_timeout_override();
  result.max_queued = policy.max_queue_size();
  return result;
}

void FillLabels(const std::string& folder, const std::string& file, ServedPort& port) {
  if (file.empty()) return;
  if (file.find("..") != std::string::npos || file.starts_with("/")) {
    throw Error(ErrorCode::kInvalidInput,
                "label_filename '" + file + "' must lie in the model's folder");
  }
  const std::string text = ReadFile(folder + "/" + file);
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    port.labels.push_back(std::move(line));
    at = end + 1;
  }
}

void FillPort(const auto& configured, ServedPort& port) {
  port.dims.assign(configured.dims().begin(), configured.dims().end());
  port.reshaped = configured.has_reshape();
  if (port.reshaped) port.backend_dims = BackendDims(configured);
}

// What says that the output is cut as an input of the batch was joined; null: nothing does.
const inference::BatchOutput* ScatteredLike(const ModelConfig& config, const std::string& output) {
  for (const auto& cut : config.batch_output()) {
    for (const std::string& name : cut.target_name()) {
      if (name != output) continue;
      if (cut.source_input_size() != 1) {
        throw Error(ErrorCode::kInvalidInput,
                    "config.pbtxt: batch_output '" + name + "': expected one source_input");
      }
      return &cut;
    }
  }
  return nullptr;
}

size_t SourceInput(const ServedModel& model, const std::string& name, const std::string& where) {
  return PortNumber(model.inputs, name,
                    where + " source_input '" + name + "' is no input of the configuration");
}

BatchInput BatchInputOf(const ModelConfig& config, const inference::BatchInput& made,
                        const std::string& name, const ServedModel& model) {
  const std::string where = "config.pbtxt: batch_input '" + name + "': ";
  const size_t number = PortNumber(model.core_inputs, name,
                                   "batch_input '" + name + "': the model has no such input");
  const DType dtype = model.core_inputs[number].dtype;
  if (made.source_input_size() != 1) {
    throw Error(ErrorCode::kInvalidInput, where + "expected one source_input");
  }
  if (config.has_sequence_batching() || config.max_batch_size() == 0) {
    throw Error(ErrorCode::kInvalidInput,
                where + "needs a max_batch_size above 0, and no sequence_batching");
  }
  BatchInput to;
  to.port = number;
  to.source = SourceInput(model, made.source_input(0), "batch_input");
  to.kind = static_cast<BatchInput::Kind>(made.kind());
  to.dtype = ConfigType(made.data_type());
  if ((to.dtype != DType::kF32 && to.dtype != DType::kI32) || to.dtype != dtype) {
    throw Error(ErrorCode::kInvalidInput,
                where + "data_type " + inference::DataType_Name(made.data_type()) +
                    ", expected TYPE_FP32 or TYPE_INT32 as the model has it, " + ConfigName(dtype));
  }
  return to;
}

void FillBatchInputs(const ModelConfig& config, ServedModel& model) {
  for (const auto& made : config.batch_input()) {
    for (const std::string& name : made.target_name()) {
      model.batch_inputs.push_back(BatchInputOf(config, made, name, model));
    }
  }
}

}  // namespace

DType ConfigType(int type) {
  if (type == inference::TYPE_STRING) return DType::kString;
  const std::string& name = inference::DataType_Name(static_cast<inference::DataType>(type));
  return name.starts_with("TYPE_") ? ParseWireType(name.substr(5)) : DType::kUndefined;
}

ModelConfig ParseConfigText(std::string_view pbtxt) {
  ModelConfig config;
  pb::TextFormat::Parser parser;
  FirstFault fault;
  parser.RecordErrorsTo(&fault);
  parser.SetRecursionLimit(32);
  if (!parser.ParseFromString(std::string(pbtxt), &config)) {
    throw Error(ErrorCode::kInvalidInput, "config.pbtxt, " + fault.text());
  }
  return config;
}

ModelConfig ParseConfigJson(std::string_view json) {
  ModelConfig config;
  ReadJson(json, "model configuration (JSON)", config);
  return config;
}

std::string ConfigText(const ModelConfig& config) {
  std::string text;
  pb::TextFormat::PrintToString(config, &text);
  return text;
}

std::string ConfigJson(const ModelConfig& config) {
  return JsonOf(config).dump();
}

void CompleteConfig(const std::string& name, std::span<const Port> inputs,
                    std::span<const Port> outputs, bool had_file, ModelConfig& config) {
  config.set_name(name);
  if (config.platform().empty()) config.set_platform("onnxruntime_onnx");
  if (config.backend().empty()) config.set_backend("onnxruntime");
  if (config.default_model_filename().empty()) config.set_default_model_filename("model.onnx");
  if (!config.has_version_policy())
    config.mutable_version_policy()->mutable_latest()->set_num_versions(1);
  const bool derives_ports = config.input_size() == 0 && config.output_size() == 0;
  if (!had_file && config.max_batch_size() == 0 && derives_ports && CanBatch(inputs, outputs)) {
    config.set_max_batch_size(64);
    if (config.scheduling_choice_case() == ModelConfig::SCHEDULING_CHOICE_NOT_SET) {
      config.mutable_dynamic_batching();
    }
  }
  const bool batched = config.max_batch_size() > 0;
  if (config.input_size() == 0 && !config.has_sequence_batching()) {
    for (const Port& port : inputs) {
      auto* input = config.add_input();
      input->set_name(port.name);
      input->set_data_type(TypeOf(port.dtype));
      FillDims(port, batched, input->mutable_dims());
    }
  }
  if (config.output_size() == 0 && !config.has_sequence_batching()) {
    for (const Port& port : outputs) {
      auto* output = config.add_output();
      output->set_name(port.name);
      output->set_data_type(TypeOf(port.dtype));
      FillDims(port, batched, output->mutable_dims());
    }
  }
}

void CheckConfig(const ModelConfig& config, std::span<const Port> inputs,
                 std::span<const Port> outputs) {
  if (config.max_batch_size() < 0) {
    throw Error(ErrorCode::kInvalidInput, "config.pbtxt: max_batch_size " +
                                              std::to_string(config.max_batch_size()) +
                                              ", expected 0 or more");
  }
  const bool batched = config.max_batch_size() > 0;
  std::set<std::string> given;
  for (const auto& input : config.input()) {
    const Port* port = Find(inputs, input.name());
    CheckPort(input, port, batched, input.allow_ragged_batch(), "input", inputs);
    if (input.allow_ragged_batch() && (!batched || config.has_sequence_batching())) {
      throw Error(ErrorCode::kInvalidInput, "config.pbtxt: input '" + input.name() +
                                                "': allow_ragged_batch needs a max_batch_size "
                                                "above 0, and no sequence_batching");
    }
    if (input.optional() && port->fallback == nullptr) {
      throw Error(ErrorCode::kInvalidInput,
                  "config.pbtxt: input '" + input.name() +
                      "' is optional, but the model has no default for it (an initializer of the "
                      "same name)");
    }
    given.insert(input.name());
  }
  for (const auto& output : config.output()) {
    CheckPort(output, Find(outputs, output.name()), batched,
              ScatteredLike(config, output.name()) != nullptr, "output", outputs);
  }
  if (config.has_sequence_batching()) {
    for (const auto& control : config.sequence_batching().control_input()) {
      given.insert(control.name());
    }
    for (const auto& state : config.sequence_batching().state()) given.insert(state.input_name());
  }
  for (const auto& made : config.batch_input()) {
    given.insert(made.target_name().begin(), made.target_name().end());
  }
  for (const Port& port : inputs) {
    if (!given.contains(port.name)) {
      throw Error(ErrorCode::kInvalidInput,
                  "config.pbtxt: the model's input '" + port.name + "' is missing");
    }
  }
}

void FillPorts(const ModelConfig& config, std::span<const Port> inputs,
               std::span<const Port> outputs, const std::string& folder, ServedModel& model) {
  model.max_batch = config.max_batch_size();
  const size_t skipped = model.max_batch > 0 ? 1 : 0;
  const auto core_of = [&](const Port& port) {
    ServedPort core;
    core.name = port.name;
    core.dtype = port.dtype;
    core.dims.assign(
        port.dims.begin() + static_cast<ptrdiff_t>(std::min(skipped, port.dims.size())),
        port.dims.end());
    return core;
  };
  for (const Port& port : inputs) {
    ServedPort core = core_of(port);
    for (const auto& configured : config.input()) {
      if (configured.name() != port.name) continue;
      FillPort(configured, core);
      core.fallback = port.fallback;
      core.ragged = configured.allow_ragged_batch();
      model.inputs.push_back(core);
    }
    model.core_inputs.push_back(std::move(core));
  }
  for (const Port& port : outputs) {
    ServedPort core = core_of(port);
    for (const auto& configured : config.output()) {
      if (configured.name() != port.name) continue;
      FillPort(configured, core);
      FillLabels(folder, configured.label_filename(), core);
      if (const auto* like = ScatteredLike(config, port.name)) {
        core.ragged = true;
        core.shape_of = SourceInput(model, like->source_input(0), "batch_output");
      }
      model.outputs.push_back(core);
    }
    model.core_outputs.push_back(std::move(core));
  }
  FillBatchInputs(config, model);
}

size_t PortNumber(const std::vector<ServedPort>& ports, const std::string& name,
                  const std::string& fault) {
  for (size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].name == name) return i;
  }
  throw Error(ErrorCode::kInvalidInput, "config.pbtxt: " + fault);
}

int64_t QueueDelay(uint64_t microseconds) {
  return static_cast<int64_t>(std::min<uint64_t>(microseconds, 60'000'000));
}

BatchSettings BatchSettingsOf(const ModelConfig& config, int default_instances) {
  BatchSettings settings;
  settings.max_batch = config.max_batch_size();
  int instances = 0;
  for (const auto& group : config.instance_group()) instances += std::max(1, group.count());
  settings.instances = instances > 0 ? std::min(instances, 256) : default_instances;
  if (!config.has_dynamic_batching()) return settings;
  const auto& dynamic = config.dynamic_batching();
  settings.join = config.max_batch_size() > 0;
  settings.preferred.assign(dynamic.preferred_batch_size().begin(),
                            dynamic.preferred_batch_size().end());
  settings.max_delay_us = QueueDelay(dynamic.max_queue_delay_microseconds());
  settings.preserve_ordering = dynamic.preserve_ordering();
  settings.levels = dynamic.priority_levels();
  settings.default_level = dynamic.default_priority_level();
  if (settings.levels > 0 &&
      (settings.default_level < 1 || settings.default_level > settings.levels)) {
    throw Error(ErrorCode::kInvalidInput,
                "config.pbtxt: default_priority_level " + std::to_string(settings.default_level) +
                    ", expected 1 to priority_levels, " + std::to_string(settings.levels));
  }
  if (dynamic.has_default_queue_policy()) {
    settings.default_policy = PolicyOf(dynamic.default_queue_policy());
  }
  for (const auto& [level, policy] : dynamic.priority_queue_policy()) {
    settings.policies[level] = PolicyOf(policy);
  }
  return settings;
}

std::string ConfigParameter(const ModelConfig& config, const std::string& key) {
  const auto found = config.parameters().find(key);
  return found == config.parameters().end() ? "" : found->second.string_value();
}

}  // namespace ingot::serve
