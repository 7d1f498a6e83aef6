// Metadata, statistics, the repository, shared memory and settings.
#include "ingot/serve/service.h"

#include <algorithm>
#include <array>

#include "ingot/base/text.h"
#include "ingot/serve/access_control.h"
#include "ingot/serve/model_config.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

constexpr std::string_view kExtensions[] = {"classification",
                                            "sequence",
                                            "model_repository",
                                            "model_repository(unload_dependents)",
                                            "schedule_policy",
                                            "model_configuration",
                                            "system_shared_memory",
                                            "binary_tensor_data",
                                            "parameters",
                                            "statistics",
                                            "trace",
                                            "logging",
                                            "generate"};

void Set(const CountedTime& from, inference::StatisticDuration& to) {
  to.set_count(from.count);
  to.set_ns(from.ns);
}

void FillStatistics(const ServedModel& model, inference::ModelStatistics& to) {
  const StatisticsValues v = model.statistics.Values();
  to.set_name(model.name);
  to.set_version(std::to_string(model.version));
  to.set_last_inference(v.last_inference_ms);
  to.set_inference_count(v.inference_count);
  to.set_execution_count(v.execution_count);
  auto& stats = *to.mutable_inference_stats();
  Set(v.success, *stats.mutable_success());
  Set(v.fail, *stats.mutable_fail());
  Set(v.queue, *stats.mutable_queue());
  Set(v.compute_input, *stats.mutable_compute_input());
  Set(v.compute_infer, *stats.mutable_compute_infer());
  Set(v.compute_output, *stats.mutable_compute_output());
  Set(v.cache_hit, *stats.mutable_cache_hit());
  Set(v.cache_miss, *stats.mutable_cache_miss());
  for (const auto& [rows, batch] : v.batches) {
    auto& one = *to.add_batch_stats();
    one.set_batch_size(static_cast<uint64_t>(rows));
    Set(batch.input, *one.mutable_compute_input());
    Set(batch.infer, *one.mutable_compute_infer());
    Set(batch.output, *one.mutable_compute_output());
  }
  if (model.backend != nullptr) {
    auto& memory = *to.add_memory_usage();
    memory.set_type("CPU");
    memory.set_byte_size(model.backend->memory());
  }
}

struct TraceKey {
  std::string_view name;
  std::string_view standard;
};
constexpr std::array<TraceKey, 6> kTraceKeys = {{{"trace_level", "OFF"},
                                                 {"trace_rate", "1000"},
                                                 {"trace_count", "-1"},
                                                 {"log_frequency", "0"},
                                                 {"trace_file", ""},
                                                 {"trace_mode", "triton"}}};

Status CheckTrace(const std::string& key, const std::vector<std::string>& values) {
  if (std::none_of(kTraceKeys.begin(), kTraceKeys.end(),
                   [&](const TraceKey& known) { return known.name == key; })) {
    return Invalid("unknown trace setting '" + key +
                   "': expected trace_level, trace_rate, trace_count, log_frequency, trace_file or "
                   "trace_mode");
  }
  for (const std::string& value : values) {
    if (key == "trace_level" && value != "OFF" && value != "TIMESTAMPS" && value != "TENSORS") {
      return Invalid("trace setting trace_level: '" + value +
                     "', expected OFF, TIMESTAMPS or TENSORS");
    }
    if (key == "trace_rate" || key == "trace_count" || key == "log_frequency") {
      const int64_t least = key == "trace_count" ? -1 : 0;
      if (ParseWhole<int64_t>(value).value_or(least - 1) < least) {
        return Invalid("trace setting " + key + ": '" + value + "', expected a whole number from " +
                       std::to_string(least));
      }
    }
    if (key == "trace_mode" && value != "triton" && value != "opentelemetry") {
      return Invalid("trace setting trace_mode: '" + value + "', expected triton or opentelemetry");
    }
  }
  if (key == "trace_file" && !values.empty()) {
    return {StatusCode::kUnsupported,
            "trace setting trace_file: the file is chosen when the server starts (--trace-file)"};
  }
  return {};
}

}  // namespace

bool Service::Ready() const {
  return state_.ready.load() && !state_.draining.load() && state_.repository->AllReady();
}

bool Service::ModelReady(const std::string& name, const std::string& version) const {
  return state_.ready.load() && !state_.draining.load() && state_.repository->Ready(name, version);
}

Status Service::Metadata(inference::ServerMetadataResponse& answer) const {
  answer.set_name(state_.options.name);
  answer.set_version(state_.options.version);
  for (const std::string_view extension : kExtensions)
    answer.add_extensions(std::string(extension));
  return {};
}

Status Service::ModelMetadata(const inference::ModelMetadataRequest& request,
                              inference::ModelMetadataResponse& answer) const {
  Status status;
  const auto model = state_.repository->Find(request.name(), request.version(), status);
  if (model == nullptr) return status;
  answer.set_name(model->name);
  for (const std::string& version : state_.repository->Versions(model->name)) {
    answer.add_versions(version);
  }
  answer.set_platform(model->platform);
  const auto fill = [&](const ServedPort& port, auto& to) {
    to.set_name(port.name);
    to.set_datatype(std::string(WireName(port.dtype)));
    if (model->max_batch > 0) to.add_shape(-1);
    for (const int64_t d : port.dims) to.add_shape(d);
  };
  for (const ServedPort& port : model->inputs) fill(port, *answer.add_inputs());
  for (const ServedPort& port : model->outputs) fill(port, *answer.add_outputs());
  return {};
}

Status Service::ModelConfig(const inference::ModelConfigRequest& request,
                            inference::ModelConfigResponse& answer) const {
  Status status;
  const auto model = state_.repository->Find(request.name(), request.version(), status);
  if (model == nullptr) return status;
  *answer.mutable_config() = *model->config;
  return {};
}

Status Service::ModelStatistics(const inference::ModelStatisticsRequest& request,
                                const std::string& key_name,
                                inference::ModelStatisticsResponse& answer) const {
  if (request.name().empty()) {
    for (const auto& model : state_.repository->Loaded()) {
      if (!state_.access->MayUse(key_name, model->name)) continue;
      FillStatistics(*model, *answer.add_model_stats());
    }
    return {};
  }
  Status status;
  const auto model = state_.repository->Find(request.name(), request.version(), status);
  if (model == nullptr) return status;
  for (const auto& loaded : state_.repository->Loaded()) {
    if (loaded->name != request.name()) continue;
    if (!request.version().empty() && std::to_string(loaded->version) != request.version())
      continue;
    FillStatistics(*loaded, *answer.add_model_stats());
  }
  return {};
}

Status Service::RepositoryIndex(const inference::RepositoryIndexRequest& request,
                                const std::string& key_name,
                                inference::RepositoryIndexResponse& answer) const {
  if (!request.repository_name().empty()) {
    return Unsupported("'repository_name' specification is not supported");
  }
  for (const IndexEntry& entry : state_.repository->Index(request.ready())) {
    if (!state_.access->MayUse(key_name, entry.name)) continue;
    auto& model = *answer.add_models();
    model.set_name(entry.name);
    model.set_version(entry.version);
    model.set_state(entry.state);
    model.set_reason(entry.reason);
  }
  return {};
}

Status Service::Load(const inference::RepositoryModelLoadRequest& request) {
  if (!request.repository_name().empty()) {
    return Unsupported("'repository_name' specification is not supported");
  }
  LoadOverrides overrides;
  for (const auto& [key, value] : request.parameters()) {
    if (key == "config") {
      if (value.parameter_choice_case() != inference::ModelRepositoryParameter::kStringParam) {
        return Invalid("parameter 'config': expected a string");
      }
      overrides.config_json = value.string_param();
    } else if (key.starts_with("file:")) {
      if (value.parameter_choice_case() != inference::ModelRepositoryParameter::kBytesParam) {
        return Invalid("parameter '" + key + "': expected bytes");
      }
      overrides.files[key.substr(5)] = value.bytes_param();
    } else {
      return Invalid("unrecognized load parameter '" + key + "': expected 'config' or 'file:...'");
    }
  }
  return state_.repository->Load(request.model_name(), overrides);
}

Status Service::Unload(const inference::RepositoryModelUnloadRequest& request) {
  if (!request.repository_name().empty()) {
    return Unsupported("'repository_name' specification is not supported");
  }
  bool dependents = false;
  for (const auto& [key, value] : request.parameters()) {
    if (key != "unload_dependents") {
      return Invalid("unrecognized unload parameter '" + key + "': expected 'unload_dependents'");
    }
    if (value.parameter_choice_case() != inference::ModelRepositoryParameter::kBoolParam) {
      return Invalid("parameter 'unload_dependents': expected true or false");
    }
    dependents = value.bool_param();
  }
  return state_.repository->Unload(request.model_name(), dependents);
}

Status Service::SharedMemoryStatus(const inference::SystemSharedMemoryStatusRequest& request,
                                   inference::SystemSharedMemoryStatusResponse& answer) const {
  Status status;
  for (const SharedRegion& region : state_.shared_memory.List(request.name(), status)) {
    auto& to = (*answer.mutable_regions())[region.name];
    to.set_name(region.name);
    to.set_key(region.key);
    to.set_offset(region.offset);
    to.set_byte_size(region.size);
  }
  return status;
}

Status Service::SharedMemoryRegister(const inference::SystemSharedMemoryRegisterRequest& request) {
  return state_.shared_memory.Register(request.name(), request.key(), request.offset(),
                                       request.byte_size());
}

Status Service::SharedMemoryUnregister(
    const inference::SystemSharedMemoryUnregisterRequest& request) {
  state_.shared_memory.Unregister(request.name());
  return {};
}

Status Service::TraceSetting(const inference::TraceSettingRequest& request,
                             inference::TraceSettingResponse& answer) {
  const std::string& model = request.model_name();
  if (!model.empty() && state_.repository->Versions(model).empty()) {
    return NotFound("Request for unknown model: '" + model + "' is not found");
  }
  for (const auto& [key, value] : request.settings()) {
    const std::vector<std::string> values(value.value().begin(), value.value().end());
    if (Status status = CheckTrace(key, values); !status.ok()) return status;
  }
  const std::scoped_lock lock(state_.settings.mutex);
  auto& own = state_.settings.trace[model];
  for (const auto& [key, value] : request.settings()) {
    // Without a value: as the server has it, or as it was at the start.
    if (value.value().empty()) {
      own.erase(key);
    } else {
      own[key] = {value.value().begin(), value.value().end()};
    }
  }
  const auto& global = state_.settings.trace[""];
  for (const TraceKey& known : kTraceKeys) {
    auto& to = (*answer.mutable_settings())[std::string(known.name)];
    const std::string name(known.name);
    if (const auto found = own.find(name); found != own.end()) {
      for (const std::string& value : found->second) to.add_value(value);
    } else if (const auto server = global.find(name); server != global.end()) {
      for (const std::string& value : server->second) to.add_value(value);
    } else {
      to.add_value(std::string(known.standard));
    }
  }
  return {};
}

Status Service::LogSettings(const inference::LogSettingsRequest& request,
                            inference::LogSettingsResponse& answer) {
  using Value = inference::LogSettingsRequest::SettingValue;
  for (const auto& [key, value] : request.settings()) {
    const auto choice = value.parameter_choice_case();
    if (key == "log_info" || key == "log_warning" || key == "log_error") {
      if (choice != Value::kBoolParam) return Invalid("log setting '" + key + "': expected a bool");
    } else if (key == "log_verbose_level") {
      if (choice != Value::kUint32Param) {
        return Invalid("log setting 'log_verbose_level': expected a whole number from 0");
      }
    } else if (key == "log_format") {
      if (choice != Value::kStringParam ||
          (value.string_param() != "default" && value.string_param() != "ISO8601")) {
        return Invalid("log setting 'log_format': expected 'default' or 'ISO8601'");
      }
    } else if (key == "log_file") {
      return Unsupported("log setting 'log_file': the file is chosen when the server starts");
    } else {
      return Invalid("unknown log setting '" + key + "'");
    }
  }
  Settings& settings = state_.settings;
  const std::scoped_lock lock(settings.mutex);
  for (const auto& [key, value] : request.settings()) {
    if (key == "log_info") settings.log_info = value.bool_param();
    if (key == "log_warning") settings.log_warning = value.bool_param();
    if (key == "log_error") settings.log_error = value.bool_param();
    if (key == "log_verbose_level") settings.log_verbose_level = value.uint32_param();
    if (key == "log_format") settings.log_format = value.string_param();
  }
  auto& to = *answer.mutable_settings();
  to["log_file"].set_string_param(settings.log_file);
  to["log_info"].set_bool_param(settings.log_info);
  to["log_warning"].set_bool_param(settings.log_warning);
  to["log_error"].set_bool_param(settings.log_error);
  to["log_verbose_level"].set_uint32_param(settings.log_verbose_level);
  to["log_format"].set_string_param(settings.log_format);
  return {};
}

}  // namespace ingot::serve
