// Which path of the REST protocol is which call.
#include "ingot/serve/rest.h"

#include <vector>

#include <nlohmann/json.hpp>

#include "ingot/base/base64.h"
#include "ingot/base/text.h"
#include "ingot/serve/compression.h"
#include "ingot/serve/embedded.h"
#include "ingot/serve/json_message.h"
#include "ingot/serve/json_reader.h"
#include "ingot/serve/metrics.h"
#include "ingot/serve/model_config.h"
#include "ingot/serve/rest_generate.h"
#include "ingot/serve/rest_infer.h"
#include "ingot/serve/served_model.h"
#include "ingot/serve/shadow.h"

namespace ingot::serve {
namespace {

using Json = nlohmann::ordered_json;

void RespondJson(Call& call, std::string body) {
  Response response;
  response.body = std::move(body);
  call.Respond(std::move(response));
}

// Runs a call of the service that answers at once.
template <typename F>
void Answer(Call& call, F&& f) {
  try {
    std::string body;
    const Status status = f(body);
    if (status.ok()) {
      RespondJson(call, std::move(body));
    } else {
      RespondError(call, status);
    }
  } catch (...) {
    RespondError(call, CurrentStatus());
  }
}

// The same off the event loop, for what takes long.
template <typename F>
void AnswerLater(ServerState& state, const std::shared_ptr<Call>& call, F f) {
  state.admin.Submit([call, f = std::move(f)]() mutable {
    Status status;
    std::string body;
    try {
      status = f(body);
    } catch (...) {
      status = CurrentStatus();
    }
    call->executor->Post([call, status, body = std::move(body)]() mutable {
      if (status.ok()) {
        RespondJson(*call, std::move(body));
      } else {
        RespondError(*call, status);
      }
    });
  });
}

// The body as a JSON object; an empty body is an empty object.
Json ParseBody(const Call& call) {
  if (call.body.find_first_not_of(" \r\n\t") == std::string::npos) return Json::object();
  JsonReader check(call.body);  // says where a fault is, and bounds the depth
  check.Skip();
  check.End();
  Json json = Json::parse(call.body, nullptr, false);
  if (json.is_discarded()) throw Error(ErrorCode::kInvalidInput, "the body is not valid JSON");
  if (!json.is_object()) throw Error(ErrorCode::kInvalidInput, "the body must be a JSON object");
  return json;
}

template <typename T>
T Field(const Json& json, const char* name, const char* expected) {
  const auto found = json.find(name);
  if (found == json.end()) {
    throw Error(ErrorCode::kInvalidInput, "'" + std::string(name) + "' is missing");
  }
  const bool fits = std::is_same_v<T, std::string> ? found->is_string()
                    : std::is_same_v<T, bool>      ? found->is_boolean()
                                                   : found->is_number_unsigned();
  if (!fits) {
    throw Error(ErrorCode::kInvalidInput,
                "'" + std::string(name) + "' must be " + std::string(expected));
  }
  return found->get<T>();
}

// An inference over HTTP: what is asked, and where the answer goes.
class RestJob : public InferJob, public std::enable_shared_from_this<RestJob> {
 public:
  RestJob(std::shared_ptr<Call> from, Inference& inference)
      : call(std::move(from)), inference_(inference) {}

  void Finish() override {
    call->executor->Dispatch([self = shared_from_this()] { self->Respond(); });
  }

  std::shared_ptr<Call> call;
  bool binary_by_default = false;
  Encoding accepted = Encoding::kNone;

 private:
  void Respond() {
    inference_.Complete(*this);
    if (!status.ok()) {
      RespondError(*call, status);
      return;
    }
    try {
      int64_t json_bytes = -1;
      Response response = WriteInferResponse(*this, binary_by_default, json_bytes);
      if (accepted != Encoding::kNone) CompressInto(response);
      call->Respond(std::move(response));
    } catch (...) {
      RespondError(*call, CurrentStatus());
    }
  }

  void CompressInto(Response& response) const {
    std::string all = std::move(response.body);
    for (const Piece& piece : response.pieces) {
      all.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    }
    response.pieces.clear();
    response.body = Compress(all, accepted);
    response.headers.emplace_back("Content-Encoding", std::string(EncodingName(accepted)));
  }

  Inference& inference_;
};

// How the answers of a model's shadow version differ.
void RespondShadow(Call& call, ServerState& state, const std::string& name,
                   const std::string& version) {
  Answer(call, [&](std::string& body) {
    Status status;
    const auto model = state.repository->Find(name, version, status);
    if (model == nullptr) return status;
    if (model->shadow == nullptr) {
      return NotFound("model '" + name + "' has no shadow: parameters { key: \"shadow\" ... }");
    }
    const ShadowTraffic::Report report = model->shadow->report();
    body = Json{{"name", name},
                {"version", std::to_string(model->version)},
                {"shadow_version", std::to_string(report.version)},
                {"percent", report.percent},
                {"requests", report.requests},
                {"failed", report.failed},
                {"different", report.different},
                {"max_difference", report.max_difference}}
               .dump();
    return status;
  });
}

// Refuses other methods; `allowed` is what the resource takes besides.
bool IsMethod(Call& call, std::string_view method, const std::string& allowed = "") {
  if (call.method == method || (method == "GET" && call.method == "HEAD")) return true;
  Response response =
      ErrorResponse({StatusCode::kMethodNotAllowed,
                     "method " + call.method + " is not allowed for " + std::string(call.path()) +
                         ": expected " + std::string(method)});
  const std::string own = method == "GET" ? "GET, HEAD" : std::string(method);
  response.headers.emplace_back("Allow", allowed.empty() ? own : own + ", " + allowed);
  call.Respond(std::move(response));
  return false;
}

}  // namespace

Response ErrorResponse(const Status& status) {
  Response response;
  response.status = HttpStatus(status.code);
  response.body =
      Json{{"error", status.message}}.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (status.retry_after_seconds > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(status.retry_after_seconds));
  }
  if (status.code == StatusCode::kUnauthenticated) {
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
  }
  return response;
}

void RespondError(Call& call, const Status& status) {
  call.Respond(ErrorResponse(status));
}

void Rest::Handle(const std::shared_ptr<Call>& call, std::span<const std::string> parts) {
  try {
    Route(call, parts);
  } catch (...) {
    RespondError(*call, CurrentStatus());
  }
}

void Rest::Route(const std::shared_ptr<Call>& call, std::span<const std::string> parts) {
  const std::string_view path = call->path();
  ServerState& state = service_.state();
  if (parts.empty() || parts[0] != "v2") {
    if (parts.size() == 1 && parts[0] == "metrics") {
      if (IsMethod(*call, "GET")) call->Respond(MetricsAnswer(state, *call));
      return;
    }
    if (call->peer->port != PortKind::kMetrics && parts.size() <= 1) {
      const std::string name = parts.empty() ? "index.html" : parts[0];
      const std::string_view file = EmbeddedFile(name);
      if (!file.empty()) {
        if (!IsMethod(*call, "GET")) return;
        Response response;
        response.content_type = name.ends_with(".html")  ? "text/html; charset=utf-8"
                                : name.ends_with(".css") ? "text/css"
                                : name.ends_with(".js")  ? "text/javascript"
                                                         : "application/json";
        response.headers = {
            {"Content-Security-Policy", "default-src 'self'; img-src 'self' blob: data:"},
            {"X-Content-Type-Options", "nosniff"}};
        response.body = file;
        call->Respond(std::move(response));
        return;
      }
    }
    RespondError(*call, NotFound("no such path: " + std::string(path)));
    return;
  }
  const std::span<const std::string> rest = parts.subspan(1);
  if (call->peer->port == PortKind::kMetrics && (rest.empty() || rest[0] != "health")) {
    RespondError(*call, NotFound("this port has /metrics and /v2/health alone"));
    return;
  }
  if (rest.empty()) {
    if (!IsMethod(*call, "GET")) return;
    Answer(*call, [&](std::string& body) {
      inference::ServerMetadataResponse answer;
      const Status status = service_.Metadata(answer);
      body = JsonOf(answer).dump();
      return status;
    });
  } else if (rest[0] == "health" && rest.size() == 2 && (rest[1] == "live" || rest[1] == "ready")) {
    if (!IsMethod(*call, "GET")) return;
    const bool good = rest[1] == "live" ? service_.Live() : service_.Ready();
    Response response;
    response.status = good ? 200 : 400;
    response.body = "{\"" + rest[1] + "\":" + (good ? "true}" : "false}");
    call->Respond(std::move(response));
  } else if (rest[0] == "models" && RouteModel(call, rest.subspan(1))) {
    return;
  } else if (rest[0] == "repository") {
    RouteRepository(call, rest.subspan(1));
  } else if (rest[0] == "systemsharedmemory" || rest[0] == "cudasharedmemory") {
    RouteSharedMemory(call, rest);
  } else if (rest[0] == "trace" && rest.size() == 2 && rest[1] == "setting") {
    RouteSettings(call, "", true);
  } else if (rest[0] == "logging" && rest.size() == 1) {
    RouteSettings(call, "", false);
  } else {
    RespondError(*call, NotFound("no such path: " + std::string(path)));
  }
}

// path: what follows "models": NAME [versions V] [ready|config|stats|infer|...]
bool Rest::RouteModel(const std::shared_ptr<Call>& call, std::span<const std::string> path) {
  if (path.empty()) return false;
  if (path.size() == 1 && path[0] == "stats") {
    if (!IsMethod(*call, "GET")) return true;
    Answer(*call, [&](std::string& body) {
      inference::ModelStatisticsResponse answer;
      const Status status = service_.ModelStatistics({}, call->key_name, answer);
      body = JsonOf(answer).dump();
      return status;
    });
    return true;
  }
  const std::string name = path[0];
  std::string version;
  path = path.subspan(1);
  if (path.size() >= 2 && path[0] == "versions") {
    version = path[1];
    path = path.subspan(2);
  }
  const std::string action = path.empty() ? "" : path[0];
  if (path.size() == 2 && action == "trace" && path[1] == "setting" && version.empty()) {
    RouteSettings(call, name, true);
    return true;
  }
  if (path.size() > 1) return false;
  if (action == "infer") {
    if (IsMethod(*call, "POST")) Infer(call, name, version);
  } else if (action == "generate" || action == "generate_stream") {
    if (IsMethod(*call, "POST")) {
      StartGenerate(call, name, version, action == "generate_stream", service_.state(), inference_);
    }
  } else if (action == "ready") {
    if (!IsMethod(*call, "GET")) return true;
    Response response;
    const bool ready = service_.ModelReady(name, version);
    response.status = ready ? 200 : 400;
    response.body =
        Json{{"name", name}, {"ready", ready}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    call->Respond(std::move(response));
  } else if (action == "shadow") {
    if (IsMethod(*call, "GET")) RespondShadow(*call, service_.state(), name, version);
  } else if (action.empty() || action == "config" || action == "stats") {
    if (!IsMethod(*call, "GET")) return true;
    Answer(*call, [&](std::string& body) {
      if (action.empty()) {
        inference::ModelMetadataRequest request;
        inference::ModelMetadataResponse answer;
        request.set_name(name);
        request.set_version(version);
        const Status status = service_.ModelMetadata(request, answer);
        body = JsonOf(answer).dump();
        return status;
      }
      if (action == "config") {
        inference::ModelConfigRequest request;
        inference::ModelConfigResponse answer;
        request.set_name(name);
        request.set_version(version);
        const Status status = service_.ModelConfig(request, answer);
        body = ConfigJson(answer.config());
        return status;
      }
      inference::ModelStatisticsRequest request;
      inference::ModelStatisticsResponse answer;
      request.set_name(name);
      request.set_version(version);
      const Status status = service_.ModelStatistics(request, call->key_name, answer);
      body = JsonOf(answer).dump();
      return status;
    });
  } else {
    return false;
  }
  return true;
}

void Rest::Infer(const std::shared_ptr<Call>& call, const std::string& model,
                 const std::string& version) {
  const std::string_view encoding = call->headers.Get("content-encoding");
  if (!encoding.empty()) {
    call->body =
        Decompress(call->body, ParseEncoding(encoding), service_.state().options.limits.body_bytes);
  }
  int64_t json_bytes = -1;
  const std::string_view length = call->headers.Get("inference-header-content-length");
  if (!length.empty()) {
    json_bytes = ParseWhole<int64_t>(length).value_or(-1);
    if (json_bytes < 0) {
      throw Error(ErrorCode::kInvalidInput, "Inference-Header-Content-Length '" +
                                                std::string(length) +
                                                "': expected a whole number from 0");
    }
  }
  auto job = std::make_shared<RestJob>(call, inference_);
  job->trace_parent = call->headers.Get("traceparent");
  job->key_name = call->key_name;
  HoldMemory(*job, *service_.state().memory, encoding.empty() ? 0 : call->body.size());
  if (const std::string_view accept = call->headers.Get("accept-encoding"); !accept.empty()) {
    job->accepted = ChooseEncoding(accept);
  }
  ReadInferRequest(call->body, json_bytes, service_.state().options.allow_shared_memory, inference_,
                   *job, job->binary_by_default);
  call->on_cancel = [weak = std::weak_ptr<RestJob>(job)] {
    if (const auto cancelled = weak.lock()) cancelled->cancelled.store(true);
  };
  inference_.Start(job, model, version);
}

void Rest::RouteRepository(const std::shared_ptr<Call>& call, std::span<const std::string> path) {
  if (!IsMethod(*call, "POST")) return;
  if (path.size() == 1 && path[0] == "index") {
    Answer(*call, [&](std::string& body) {
      inference::RepositoryIndexRequest request;
      const Json json = ParseBody(*call);
      if (json.contains("ready")) request.set_ready(Field<bool>(json, "ready", "true or false"));
      inference::RepositoryIndexResponse answer;
      const Status status = service_.RepositoryIndex(request, call->key_name, answer);
      Json list = Json::array();
      for (const auto& model : answer.models()) {
        Json one = {{"name", model.name()}};
        if (!model.version().empty()) one["version"] = model.version();
        if (!model.state().empty()) one["state"] = model.state();
        if (!model.reason().empty()) one["reason"] = model.reason();
        list.push_back(std::move(one));
      }
      body = list.dump();
      return status;
    });
    return;
  }
  const bool load = path.size() == 3 && path[2] == "load";
  if (path.size() != 3 || path[0] != "models" || (!load && path[2] != "unload")) {
    RespondError(*call, NotFound("no such path: " + std::string(call->path())));
    return;
  }
  const Json json = ParseBody(*call);
  const Json parameters = json.value("parameters", Json::object());
  if (!parameters.is_object())
    throw Error(ErrorCode::kInvalidInput, "'parameters' must be an object");
  if (load) {
    inference::RepositoryModelLoadRequest request;
    request.set_model_name(path[1]);
    for (const auto& [key, value] : parameters.items()) {
      auto& to = (*request.mutable_parameters())[key];
      if (value.is_string() && key.starts_with("file:")) {
        to.set_bytes_param(Base64Decode(value.get<std::string>(), "parameter '" + key + "'"));
      } else if (value.is_string()) {
        to.set_string_param(value.get<std::string>());
      } else if (value.is_object() && key == "config") {
        to.set_string_param(value.dump());
      } else {
        throw Error(ErrorCode::kInvalidInput, "parameter '" + key + "' must be a string");
      }
    }
    AnswerLater(service_.state(), call,
                [this, request](std::string&) { return service_.Load(request); });
    return;
  }
  inference::RepositoryModelUnloadRequest request;
  request.set_model_name(path[1]);
  for (const auto& [key, value] : parameters.items()) {
    auto& to = (*request.mutable_parameters())[key];
    if (value.is_boolean()) to.set_bool_param(value.get<bool>());
  }
  AnswerLater(service_.state(), call,
              [this, request](std::string&) { return service_.Unload(request); });
}

// path: systemsharedmemory [region R] status|register|unregister
void Rest::RouteSharedMemory(const std::shared_ptr<Call>& call, std::span<const std::string> path) {
  const bool cuda = path[0] == "cudasharedmemory";
  std::string region;
  std::span<const std::string> rest = path.subspan(1);
  if (rest.size() == 3 && rest[0] == "region") {
    region = rest[1];
    rest = rest.subspan(2);
  }
  const std::string action = rest.size() == 1 ? rest[0] : "";
  if (action == "status") {
    if (!IsMethod(*call, "GET")) return;
    Answer(*call, [&](std::string& body) {
      inference::SystemSharedMemoryStatusRequest request;
      inference::SystemSharedMemoryStatusResponse answer;
      request.set_name(region);
      Status status;
      if (!cuda) status = service_.SharedMemoryStatus(request, answer);
      Json list = Json::array();
      for (const auto& [name, one] : std::map(answer.regions().begin(), answer.regions().end())) {
        list.push_back(JsonOf(one));
      }
      body = list.dump();
      return status;
    });
  } else if (action == "register" && !region.empty()) {
    if (!IsMethod(*call, "POST")) return;
    if (cuda) {
      RespondError(*call, Invalid("failed to register CUDA shared memory region '" + region +
                                  "': this server has no GPU"));
      return;
    }
    Answer(*call, [&](std::string&) {
      const Json json = ParseBody(*call);
      inference::SystemSharedMemoryRegisterRequest request;
      request.set_name(region);
      request.set_key(Field<std::string>(json, "key", "a string"));
      if (json.contains("offset")) {
        request.set_offset(Field<uint64_t>(json, "offset", "a whole number from 0"));
      }
      request.set_byte_size(Field<uint64_t>(json, "byte_size", "a whole number from 1"));
      return service_.SharedMemoryRegister(request);
    });
  } else if (action == "unregister") {
    if (!IsMethod(*call, "POST")) return;
    Answer(*call, [&](std::string&) {
      inference::SystemSharedMemoryUnregisterRequest request;
      request.set_name(region);
      return cuda ? Status{} : service_.SharedMemoryUnregister(request);
    });
  } else {
    RespondError(*call, NotFound("no such path: " + std::string(call->path())));
  }
}

// The trace settings of a model ("" for the server's), or the log settings.
void Rest::RouteSettings(const std::shared_ptr<Call>& call, const std::string& model, bool trace) {
  const bool writes = call->method == "POST";
  if (!writes && !IsMethod(*call, "GET", "POST")) return;
  Answer(*call, [&](std::string& body) {
    const Json json = writes ? ParseBody(*call) : Json::object();
    Json out = Json::object();
    if (trace) {
      inference::TraceSettingRequest request;
      inference::TraceSettingResponse answer;
      request.set_model_name(model);
      for (const auto& [key, value] : json.items()) {
        auto& to = (*request.mutable_settings())[key];
        if (value.is_null()) continue;
        for (const Json& one : value.is_array() ? value : Json::array({value})) {
          to.add_value(one.is_string() ? one.get<std::string>() : one.dump());
        }
      }
      const Status status = service_.TraceSetting(request, answer);
      for (const auto& [key, value] :
           std::map(answer.settings().begin(), answer.settings().end())) {
        if (key == "trace_level") {
          out[key] = std::vector<std::string>(value.value().begin(), value.value().end());
        } else {
          out[key] = value.value_size() > 0 ? value.value(0) : "";
        }
      }
      body = out.dump();
      return status;
    }
    inference::LogSettingsRequest request;
    inference::LogSettingsResponse answer;
    for (const auto& [key, value] : json.items()) {
      auto& to = (*request.mutable_settings())[key];
      if (value.is_boolean()) {
        to.set_bool_param(value.get<bool>());
      } else if (value.is_number_unsigned()) {
        const uint64_t number = value.get<uint64_t>();
        if (number > UINT32_MAX) {
          ThrowInvalid("log setting '" + key + "': " + std::to_string(number) +
                       ", expected a whole number from 0 to 4294967295");
        }
        to.set_uint32_param(static_cast<uint32_t>(number));
      } else if (value.is_string()) {
        to.set_string_param(value.get<std::string>());
      }
    }
    const Status status = service_.LogSettings(request, answer);
    using Value = inference::LogSettingsResponse::SettingValue;
    for (const auto& [key, value] : std::map(answer.settings().begin(), answer.settings().end())) {
      switch (value.parameter_choice_case()) {
        case Value::kBoolParam:
          out[key] = value.bool_param();
          break;
        case Value::kUint32Param:
          out[key] = value.uint32_param();
          break;
        default:
          out[key] = value.string_param();
      }
    }
    body = out.dump();
    return status;
  });
}

}  // namespace ingot::serve
