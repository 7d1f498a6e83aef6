// Configuration and backend to a served model: ports, schedulers, warm-up.
#include "ingot/serve/model_build.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <map>
#include <set>

#include "ingot/base/file.h"
#include "ingot/serve/batch_scheduler.h"
#include "ingot/serve/ensemble_scheduler.h"
#include "ingot/serve/proto/model_config.pb.h"
#include "ingot/serve/repository.h"
#include "ingot/serve/sequence_scheduler.h"
#include "ingot/serve/shadow.h"

namespace ingot::serve {
namespace {

[[noreturn]] void WrongConfig(const std::string& what) {
  throw Error(ErrorCode::kInvalidInput, "config.pbtxt: " + what);
}

size_t PortOf(const std::vector<ServedPort>& ports, const std::string& name,
              const std::string& where) {
  return PortNumber(ports, name, where + ": the model has no '" + name + "'");
}

template <typename T>
std::string BytesOf(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// A file of the model's folder.
std::string ReadModelFile(const std::string& folder, const std::string& below,
                          const std::string& name) {
  if (name.find("..") != std::string::npos || name.starts_with("/") || name.empty()) {
    WrongConfig("file '" + name + "' must lie in the model's folder '" + below + "'");
  }
  return ReadFile(folder + "/" + below + "/" + name);
}

ControlInput ReadControl(const inference::ModelSequenceBatching::ControlInput& from,
                         const ServedModel& model) {
  using Kind = inference::ModelSequenceBatching::Control;
  if (from.control_size() != 1)
    WrongConfig("control_input '" + from.name() + "': expected one control");
  const auto& control = from.control(0);
  ControlInput result;
  result.port = PortOf(model.core_inputs, from.name(), "control_input");
  result.dtype = model.core_inputs[result.port].dtype;
  switch (control.kind()) {
    case Kind::CONTROL_SEQUENCE_START:
      result.kind = ControlInput::Kind::kStart;
      break;
    case Kind::CONTROL_SEQUENCE_READY:
      result.kind = ControlInput::Kind::kReady;
      break;
    case Kind::CONTROL_SEQUENCE_END:
      result.kind = ControlInput::Kind::kEnd;
      break;
    case Kind::CONTROL_SEQUENCE_CORRID:
      result.kind = ControlInput::Kind::kCorrelation;
      break;
    default:
      WrongConfig("control_input '" + from.name() + "': unknown kind");
  }
  if (result.kind == ControlInput::Kind::kCorrelation) return result;
  DType given = DType::kUndefined;
  if (control.int32_false_true_size() == 2) {
    given = DType::kI32;
    result.off = BytesOf(control.int32_false_true(0));
    result.on = BytesOf(control.int32_false_true(1));
  } else if (control.fp32_false_true_size() == 2) {
    given = DType::kF32;
    result.off = BytesOf(control.fp32_false_true(0));
    result.on = BytesOf(control.fp32_false_true(1));
  } else if (control.bool_false_true_size() == 2) {
    given = DType::kBool;
    result.off = BytesOf(control.bool_false_true(0));
    result.on = BytesOf(control.bool_false_true(1));
  } else {
    WrongConfig("control_input '" + from.name() +
                "': expected two values in int32_false_true, fp32_false_true or bool_false_true");
  }
  if (given != result.dtype) {
    WrongConfig("control_input '" + from.name() + "': its values are of type " + ConfigName(given) +
                ", not of the model's type " + ConfigName(result.dtype));
  }
  return result;
}

SequenceSettings ReadSequence(const ModelConfig& config, const BatchSettings& batch,
                              const std::string& folder, const ServedModel& model) {
  const auto& from = config.sequence_batching();
  SequenceSettings settings;
  for (const auto& control : from.control_input()) {
    settings.controls.push_back(ReadControl(control, model));
  }
  for (const auto& state : from.state()) {
    SequenceState& to = settings.states.emplace_back();
    to.input = PortOf(model.core_inputs, state.input_name(), "state input_name");
    to.output = PortOf(model.core_outputs, state.output_name(), "state output_name");
    to.dtype = ConfigType(state.data_type());
    if (to.dtype != model.core_inputs[to.input].dtype) {
      WrongConfig("state '" + state.input_name() + "': data_type " +
                  inference::DataType_Name(state.data_type()) + ", but the model has " +
                  ConfigName(model.core_inputs[to.input].dtype));
    }
    for (const int64_t d : state.dims()) to.dims.push_back(d < 0 ? 1 : d);
    if (state.initial_state_size() > 0) {
      const auto& initial = state.initial_state(0);
      if (!initial.data_file().empty()) {
        to.initial = ReadModelFile(folder, "initial_state", initial.data_file());
      }
      to.dims.assign(initial.dims().begin(), initial.dims().end());
    }
    int64_t size = static_cast<int64_t>(ItemSize(to.dtype));
    for (const int64_t d : to.dims) size *= d;
    if (size <= 0 || size > (1LL << 32))
      WrongConfig("state '" + state.input_name() + "': its dims");
    to.initial.resize(static_cast<size_t>(size), '\0');
  }
  if (from.max_sequence_idle_microseconds() > 0) {
    settings.idle_us = from.max_sequence_idle_microseconds();
  }
  settings.most_sequences =
      std::max<int64_t>(1, batch.instances * std::max<int64_t>(1, batch.max_batch));
  if (from.has_oldest() && from.oldest().max_candidate_sequences() > 0) {
    settings.most_sequences = from.oldest().max_candidate_sequences();
  }
  settings.most_waiting = batch.max_queued;
  return settings;
}

void ReadEnsemblePorts(const ModelConfig& config, ServedModel& model) {
  const auto fill = [](const auto& from, ServedPort& to) {
    to.name = from.name();
    to.dtype = ConfigType(from.data_type());
    to.dims.assign(from.dims().begin(), from.dims().end());
  };
  for (const auto& input : config.input()) fill(input, model.inputs.emplace_back());
  for (const auto& output : config.output()) fill(output, model.outputs.emplace_back());
  model.max_batch = config.max_batch_size();
  if (model.inputs.empty() || model.outputs.empty())
    WrongConfig("an ensemble needs input and output");
}

std::vector<EnsembleStep> ReadEnsemble(const ModelConfig& config) {
  std::vector<EnsembleStep> steps;
  for (const auto& from : config.ensemble_scheduling().step()) {
    EnsembleStep& to = steps.emplace_back();
    to.model = from.model_name();
    if (from.model_version() > 0) to.version = std::to_string(from.model_version());
    for (const auto& [input, tensor] : from.input_map()) to.inputs[input] = tensor;
    for (const auto& [output, tensor] : from.output_map()) to.outputs[output] = tensor;
    if (to.inputs.empty()) WrongConfig("ensemble step '" + to.model + "': input_map is empty");
  }
  if (steps.empty()) WrongConfig("ensemble_scheduling has no step");
  return steps;
}

using StepModels = std::map<std::string, std::set<std::string>>;  // of ensembles, by name

// The way from one model to another through the steps of ensembles, " -> " before each; "": none.
std::string WayTo(const std::string& from, const std::string& to, const StepModels& ensembles,
                  std::set<std::string>& seen) {
  const auto found = ensembles.find(from);
  if (found == ensembles.end() || !seen.insert(from).second) return "";
  for (const std::string& step : found->second) {
    if (step == to) return " -> " + step;
    const std::string rest = WayTo(step, to, ensembles, seen);
    if (!rest.empty()) return " -> " + step + rest;
  }
  return "";
}

// Of ensembles that are steps of each other, the one that is loaded last is refused.
void RefuseCycle(const std::string& name, const std::vector<EnsembleStep>& steps,
                 const Repository& repository) {
  StepModels ensembles;
  for (const auto& other : repository.Loaded()) {
    if (other->name == name) continue;  // replaced by this one
    for (const auto& step : other->config->ensemble_scheduling().step()) {
      ensembles[other->name].insert(step.model_name());
    }
  }
  for (const EnsembleStep& step : steps) ensembles[name].insert(step.model);
  std::set<std::string> seen;
  const std::string way = WayTo(name, name, ensembles, seen);
  if (!way.empty()) WrongConfig("ensemble '" + name + "' is a step of itself: " + name + way);
}

// A request of warm-up data, waited for.
class WarmupJob : public InferJob {
 public:
  void Finish() override { done.set_value(); }
  std::promise<void> done;
};

void WarmUp(const ModelConfig& config, const std::string& folder,
            const std::shared_ptr<const ServedModel>& model) {
  for (const auto& sample : config.model_warmup()) {
    const std::string where = "model_warmup '" + sample.name() + "'";
    for (uint32_t k = 0; k < std::max<uint32_t>(1, sample.count()); ++k) {
      auto job = std::make_shared<WarmupJob>();
      job->model = model;
      job->times.received = Clock::now();
      if (config.has_sequence_batching()) {
        job->sequence = {.id = "warm-up", .number = 0, .start = true, .end = true};
      }
      for (const auto& [name, from] : sample.inputs()) {
        InferInput& input = job->inputs.emplace_back();
        input.name = name;
        input.dtype = ConfigType(from.data_type());
        std::vector<int64_t> dims(from.dims().begin(), from.dims().end());
        if (model->max_batch > 0)
          dims.insert(dims.begin(), std::max<uint32_t>(1, sample.batch_size()));
        input.dims = MakeDims(dims);
        const int64_t count = input.dims.size();
        if (count < 0 || count > (1 << 28)) WrongConfig(where + ": input '" + name + "': its dims");
        auto bytes = std::make_shared<std::string>();
        if (!from.input_data_file().empty()) {
          *bytes = ReadModelFile(folder, "warmup", from.input_data_file());
        } else if (input.dtype == DType::kString) {
          for (int64_t i = 0; i < count; ++i) AppendBytesElement("", *bytes);
        } else {
          bytes->assign(static_cast<size_t>(count) * ItemSize(input.dtype), '\0');
        }
        input.bytes = std::as_bytes(std::span<const char>(bytes->data(), bytes->size()));
        input.owner = bytes;
      }
      Status status = model->Check(*job);
      if (status.ok()) {
        std::future<void> done = job->done.get_future();
        model->scheduler->Submit(job);
        done.wait();
        status = job->status;
      }
      if (!status.ok()) WrongConfig(where + ": " + status.message);
    }
  }
}

double WeightOf(const ModelConfig& config) {
  const std::string text = ConfigParameter(config, "weight");
  if (text.empty()) return 1;
  char* end = nullptr;
  const double weight = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() || !(weight > 0) || weight > 1e6) {
    WrongConfig("parameter weight '" + text + "': expected a number above 0");
  }
  return weight;
}

}  // namespace

std::shared_ptr<const ServedModel> BuildModel(const ModelConfig& config, int64_t version,
                                              std::shared_ptr<const Backend> backend,
                                              const BuildContext& context) {
  auto model = std::make_shared<ServedModel>(WeightOf(config));
  model->name = config.name();
  model->version = version;
  model->config = std::make_shared<const ModelConfig>(config);
  model->platform = config.platform();
  model->cache_responses = config.response_cache().enable() && context.cache != nullptr;
  model->decoupled = config.model_transaction_policy().decoupled();
  const TrafficSplit shadow = ParseSplit("shadow", ConfigParameter(config, "shadow"));
  if (shadow.version > 0) model->shadow = std::make_shared<ShadowTraffic>(shadow);
  model->last_used_ns = Clock::now().time_since_epoch().count();
  if (config.has_ensemble_scheduling()) {
    ReadEnsemblePorts(config, *model);
    std::vector<EnsembleStep> steps = ReadEnsemble(config);
    RefuseCycle(config.name(), steps, *context.repository);
    model->scheduler = std::make_unique<EnsembleScheduler>(std::move(steps), *context.repository);
    return model;
  }
  FillPorts(config, backend->inputs(), backend->outputs(), context.folder, *model);
  model->backend = std::move(backend);
  BatchSettings settings = BatchSettingsOf(config, context.default_instances);
  settings.max_queued = context.max_queued;
  if (config.has_sequence_batching()) {
    settings.join = settings.max_batch > 0;
    const SequenceSettings sequence = ReadSequence(config, settings, context.folder, *model);
    if (config.sequence_batching().has_direct()) {
      const auto& direct = config.sequence_batching().direct();
      const double share = std::clamp<double>(direct.minimum_slot_utilization(), 0, 1);
      const double places = static_cast<double>(std::max<int64_t>(1, settings.max_batch));
      settings.preferred = {std::max<int64_t>(1, static_cast<int64_t>(std::ceil(share * places)))};
      settings.max_delay_us = QueueDelay(direct.max_queue_delay_microseconds());
    }
    if (config.sequence_batching().has_oldest()) {
      const auto& oldest = config.sequence_batching().oldest();
      settings.preferred.assign(oldest.preferred_batch_size().begin(),
                                oldest.preferred_batch_size().end());
      settings.max_delay_us = QueueDelay(oldest.max_queue_delay_microseconds());
    }
    model->scheduler = std::make_unique<SequenceScheduler>(
        sequence, std::make_unique<BatchScheduler>(settings, *context.gate));
  } else {
    model->scheduler = std::make_unique<BatchScheduler>(settings, *context.gate);
  }
  WarmUp(config, context.folder, model);
  return model;
}

}  // namespace ingot::serve
