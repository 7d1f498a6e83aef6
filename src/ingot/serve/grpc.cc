// Unary calls of gRPC.
#include "ingot/serve/grpc.h"

#include <type_traits>

#include <fmt/format.h>

#include "ingot/serve/compression.h"
#include "ingot/serve/grpc_infer.h"
#include "ingot/serve/proto/health.pb.h"

namespace ingot::serve {
namespace {

constexpr std::string_view kInference = "/inference.GRPCInferenceService/";

Response GrpcHead() {
  Response response;
  response.content_type = "application/grpc";
  response.headers = {{"grpc-accept-encoding", "identity, deflate, gzip"}};
  return response;
}

// What may not stand in a header as it is: percent, and all but printable ASCII.
std::string PercentEncode(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c >= 0x20 && c < 0x7F && c != '%') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

void RespondMessage(Call& call, std::string message) {
  Response response = GrpcHead();
  response.body = GrpcFrame(message.size()) + message;
  response.trailers = {{"grpc-status", "0"}};
  call.Respond(std::move(response));
}

class GrpcJob : public InferJob, public std::enable_shared_from_this<GrpcJob> {
 public:
  GrpcJob(std::shared_ptr<Call> from, Inference& inference)
      : call(std::move(from)), inference_(inference) {}

  void Finish() override {
    call->executor->Dispatch([self = shared_from_this()] { self->Respond(); });
  }

  std::shared_ptr<Call> call;
  std::string message;

 private:
  void Respond() {
    inference_.Complete(*this);
    if (!status.ok()) {
      RespondGrpcError(*call, status);
      return;
    }
    Response response = GrpcHead();
    std::string head;
    WriteGrpcInfer(*this, false, head, response.pieces);
    size_t size = head.size();
    for (const Piece& piece : response.pieces) size += piece.bytes.size();
    response.body = GrpcFrame(size) + head;
    response.trailers = {{"grpc-status", "0"}};
    call->Respond(std::move(response));
  }

  Inference& inference_;
};

}  // namespace

bool IsGrpc(const Call& call) {
  return call.http2 && call.headers.Get("content-type").starts_with("application/grpc");
}

void RespondGrpcError(Call& call, const Status& status) {
  Response response;
  response.content_type = "application/grpc";
  response.trailers = {{"grpc-status", std::to_string(GrpcStatus(status.code))},
                       {"grpc-message", PercentEncode(status.message)}};
  call.Respond(std::move(response));
}

std::string GrpcFrame(size_t size) {
  return {'\0', static_cast<char>(size >> 24), static_cast<char>(size >> 16),
          static_cast<char>(size >> 8), static_cast<char>(size)};
}

bool TakeGrpcMessage(Call& call, size_t limit, std::string& message) {
  std::string& body = call.body;
  if (body.size() < 5) {
    if (call.body_complete && !body.empty()) {
      throw Error(ErrorCode::kInvalidInput, "the body ends within a gRPC frame");
    }
    return false;
  }
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(body[i])); };
  const size_t size = byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
  if (size > limit) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("a message has {} bytes, more than {}", size, limit));
  }
  if (body.size() - 5 < size) {
    if (call.body_complete) {
      throw Error(ErrorCode::kInvalidInput, "the body ends within a gRPC message");
    }
    return false;
  }
  const bool compressed = body[0] == 1;
  if (body[0] != 0 && body[0] != 1) {
    throw Error(ErrorCode::kInvalidInput, "a gRPC frame has an unknown flag");
  }
  if (compressed) {
    const Encoding encoding = ParseEncoding(call.headers.Get("grpc-encoding"));
    if (encoding == Encoding::kNone) {
      throw Error(ErrorCode::kInvalidInput,
                  "a message is compressed, but grpc-encoding says nothing");
    }
    message = Decompress(std::string_view(body).substr(5, size), encoding, limit);
    body.erase(0, 5 + size);
  } else if (body.size() == 5 + size) {
    message = std::move(body);
    message.erase(0, 5);
    body.clear();
  } else {
    message.assign(body, 5, size);
    body.erase(0, 5 + size);
  }
  return true;
}

template <typename Request, typename Answer, typename F>
void Grpc::Add(const std::string& name, F f, bool slow) {
  // Few methods care who asks.
  constexpr bool kTakesKey = std::is_invocable_v<F, Request&, Answer&, const std::string&>;
  methods_[name] = {[f](std::string_view bytes, const std::string& key_name, std::string& out) {
                      Request request;
                      if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
                        return Invalid("the message is no " + request.GetTypeName());
                      }
                      Answer answer;
                      Status status;
                      if constexpr (kTakesKey) {
                        status = f(request, answer, key_name);
                      } else {
                        status = f(request, answer);
                      }
                      if (status.ok()) answer.SerializeToString(&out);
                      return status;
                    },
                    slow};
}

Grpc::Grpc(Service& service, Inference& inference) : service_(service), inference_(inference) {
  AddMethods();
}

Grpc::~Grpc() = default;

void Grpc::AddMethods() {
  namespace i = inference;
  Service* s = &service_;
  const std::string at(kInference);
  Add<i::ServerLiveRequest, i::ServerLiveResponse>(at + "ServerLive", [s](auto&, auto& answer) {
    answer.set_live(s->Live());
    return Status{};
  });
  Add<i::ServerReadyRequest, i::ServerReadyResponse>(at + "ServerReady", [s](auto&, auto& answer) {
    answer.set_ready(s->Ready());
    return Status{};
  });
  Add<i::ModelReadyRequest, i::ModelReadyResponse>(
      at + "ModelReady", [s](auto& request, auto& answer) {
        answer.set_ready(s->ModelReady(request.name(), request.version()));
        return Status{};
      });
  Add<i::ServerMetadataRequest, i::ServerMetadataResponse>(
      at + "ServerMetadata", [s](auto&, auto& answer) { return s->Metadata(answer); });
  Add<i::ModelMetadataRequest, i::ModelMetadataResponse>(
      at + "ModelMetadata",
      [s](auto& request, auto& answer) { return s->ModelMetadata(request, answer); }, true);
  Add<i::ModelConfigRequest, i::ModelConfigResponse>(
      at + "ModelConfig",
      [s](auto& request, auto& answer) { return s->ModelConfig(request, answer); }, true);
  Add<i::ModelStatisticsRequest, i::ModelStatisticsResponse>(
      at + "ModelStatistics",
      [s](auto& request, auto& answer, const std::string& key_name) {
        return s->ModelStatistics(request, key_name, answer);
      },
      true);
  Add<i::RepositoryIndexRequest, i::RepositoryIndexResponse>(
      at + "RepositoryIndex",
      [s](auto& request, auto& answer, const std::string& key_name) {
        return s->RepositoryIndex(request, key_name, answer);
      },
      true);
  Add<i::RepositoryModelLoadRequest, i::RepositoryModelLoadResponse>(
      at + "RepositoryModelLoad", [s](auto& request, auto&) { return s->Load(request); }, true);
  Add<i::RepositoryModelUnloadRequest, i::RepositoryModelUnloadResponse>(
      at + "RepositoryModelUnload", [s](auto& request, auto&) { return s->Unload(request); }, true);
  Add<i::SystemSharedMemoryStatusRequest, i::SystemSharedMemoryStatusResponse>(
      at + "SystemSharedMemoryStatus",
      [s](auto& request, auto& answer) { return s->SharedMemoryStatus(request, answer); });
  Add<i::SystemSharedMemoryRegisterRequest, i::SystemSharedMemoryRegisterResponse>(
      at + "SystemSharedMemoryRegister",
      [s](auto& request, auto&) { return s->SharedMemoryRegister(request); });
  Add<i::SystemSharedMemoryUnregisterRequest, i::SystemSharedMemoryUnregisterResponse>(
      at + "SystemSharedMemoryUnregister",
      [s](auto& request, auto&) { return s->SharedMemoryUnregister(request); });
  Add<i::CudaSharedMemoryStatusRequest, i::CudaSharedMemoryStatusResponse>(
      at + "CudaSharedMemoryStatus", [](auto&, auto&) { return Status{}; });
  Add<i::CudaSharedMemoryRegisterRequest, i::CudaSharedMemoryRegisterResponse>(
      at + "CudaSharedMemoryRegister", [](auto& request, auto&) {
        return Invalid("failed to register CUDA shared memory region '" + request.name() +
                       "': this server has no GPU");
      });
  Add<i::CudaSharedMemoryUnregisterRequest, i::CudaSharedMemoryUnregisterResponse>(
      at + "CudaSharedMemoryUnregister", [](auto&, auto&) { return Status{}; });
  Add<i::TraceSettingRequest, i::TraceSettingResponse>(
      at + "TraceSetting",
      [s](auto& request, auto& answer) { return s->TraceSetting(request, answer); });
  Add<i::LogSettingsRequest, i::LogSettingsResponse>(
      at + "LogSettings",
      [s](auto& request, auto& answer) { return s->LogSettings(request, answer); });
  namespace health = grpc::health::v1;
  Add<health::HealthCheckRequest, health::HealthCheckResponse>(
      "/grpc.health.v1.Health/Check", [s](auto& request, auto& answer) {
        const std::string& name = request.service();
        if (!name.empty() && name != "inference.GRPCInferenceService") {
          return NotFound("unknown service '" + name + "'");
        }
        answer.set_status(s->Ready() ? health::HealthCheckResponse::SERVING
                                     : health::HealthCheckResponse::NOT_SERVING);
        return Status{};
      });
}

bool Grpc::TakesStream(std::string_view path) {
  return path == "/inference.GRPCInferenceService/ModelStreamInfer" ||
         path == "/grpc.health.v1.Health/Watch" ||
         path == "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" ||
         path == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
}

void Grpc::Infer(const std::shared_ptr<Call>& call) {
  auto job = std::make_shared<GrpcJob>(call, inference_);
  ServerState& state = service_.state();
  if (!TakeGrpcMessage(*call, state.options.limits.body_bytes, job->message)) {
    throw Error(ErrorCode::kInvalidInput, "the call has no message");
  }
  std::string model, version;
  job->trace_parent = call->headers.Get("traceparent");
  job->key_name = call->key_name;
  HoldMemory(*job, *state.memory, job->message.size());
  ReadGrpcInfer(job->message, state.options.allow_shared_memory, inference_, *job, model, version);
  call->on_cancel = [weak = std::weak_ptr<GrpcJob>(job)] {
    if (const auto cancelled = weak.lock()) cancelled->cancelled.store(true);
  };
  inference_.Start(job, model, version);
}

void Grpc::Handle(const std::shared_ptr<Call>& call) {
  try {
    const std::string_view path = call->path();
    if (path == "/inference.GRPCInferenceService/ModelInfer") {
      Infer(call);
      return;
    }
    if (TakesStream(path)) {
      if (path.starts_with(kInference)) {
        StartGrpcStreamInfer(call, service_.state(), inference_);
      } else if (path.starts_with("/grpc.health")) {
        StartGrpcHealthWatch(call, service_);
      } else {
        StartGrpcReflection(call, service_.state(), path.find("v1alpha") != std::string_view::npos);
      }
      return;
    }
    const auto found = methods_.find(path);
    if (found == methods_.end()) {
      RespondGrpcError(*call, Unsupported("unknown method " + std::string(path)));
      return;
    }
    std::string message;
    if (!TakeGrpcMessage(*call, service_.state().options.limits.body_bytes, message)) {
      throw Error(ErrorCode::kInvalidInput, "the call has no message");
    }
    const auto finish = [call](const Status& status, std::string out) {
      if (status.ok()) {
        RespondMessage(*call, std::move(out));
      } else {
        RespondGrpcError(*call, status);
      }
    };
    const Method& method = found->second;
    const auto run = [&method, message = std::move(message),
                      key_name = call->key_name](std::string& out) {
      try {
        return method.run(message, key_name, out);
      } catch (...) {
        return CurrentStatus();
      }
    };
    if (!method.slow) {
      std::string out;
      const Status status = run(out);
      finish(status, std::move(out));
      return;
    }
    service_.state().admin.Submit([call, run, finish] {
      std::string out;
      const Status status = run(out);
      call->executor->Post([finish, status, out = std::move(out)] { finish(status, out); });
    });
  } catch (...) {
    RespondGrpcError(*call, CurrentStatus());
  }
}

}  // namespace ingot::serve
