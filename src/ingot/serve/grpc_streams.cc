// Streaming calls of gRPC: inference, health watching, reflection.
#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "ingot/serve/grpc.h"
#include "ingot/serve/grpc_infer.h"
#include "ingot/serve/proto/health.pb.h"
#include "ingot/serve/proto/reflection.pb.h"
#include "ingot/serve/wire.h"

namespace ingot::serve {
namespace {

constexpr size_t kMostWaitingInStream = 4096;

Response StreamHead() {
  Response response;
  response.content_type = "application/grpc";
  return response;
}

Fields Trailers(const Status& status) {
  Fields trailers = {{"grpc-status", std::to_string(GrpcStatus(status.code))}};
  if (!status.ok()) trailers.emplace_back("grpc-message", "the stream failed");
  return trailers;
}

// All requests of one ModelStreamInfer call. Answers go in the order of their requests. Lives on
// the call's executor.
class InferStream : public std::enable_shared_from_this<InferStream> {
 public:
  InferStream(std::shared_ptr<Call> call, ServerState& state, Inference& inference)
      : call_(std::move(call)), state_(state), inference_(inference) {}

  void OnData();
  void OnCancel();

 private:
  class Job;
  void StartOne(std::string message);
  void SendFinished();

  const std::shared_ptr<Call> call_;
  ServerState& state_;
  Inference& inference_;
  std::deque<std::shared_ptr<Job>> jobs_;
  bool ended_ = false;
};

class InferStream::Job : public InferJob, public std::enable_shared_from_this<Job> {
 public:
  Job(std::shared_ptr<InferStream> stream, std::string bytes)
      : message(std::move(bytes)), stream_(std::move(stream)) {}
  void Finish() override {
    stream_->call_->executor->Dispatch([self = shared_from_this()] {
      const std::shared_ptr<InferStream> stream = std::move(self->stream_);
      stream->inference_.Complete(*self);
      self->done = true;
      stream->SendFinished();
    });
  }
  const std::string message;
  bool done = false;

 private:
  std::shared_ptr<InferStream> stream_;
};

void InferStream::OnData() {
  if (ended_) return;
  try {
    std::string message;
    while (TakeGrpcMessage(*call_, state_.options.limits.body_bytes, message)) {
      StartOne(std::move(message));
    }
  } catch (...) {
    ended_ = true;
    call_->End(Trailers(CurrentStatus()));
    return;
  }
  SendFinished();
}

void InferStream::StartOne(std::string message) {
  auto job = std::make_shared<Job>(shared_from_this(), std::move(message));
  jobs_.push_back(job);
  std::string model, version;
  job->key_name = call_->key_name;
  job->streamed = true;
  try {
    if (jobs_.size() > kMostWaitingInStream) {
      throw Error(ErrorCode::kOutOfMemory,
                  "too many requests of one stream wait for their answers");
    }
    HoldMemory(*job, *state_.memory, job->message.size());
    ReadGrpcInfer(job->message, state_.options.allow_shared_memory, inference_, *job, model,
                  version);
  } catch (...) {
    job->status = CurrentStatus();
    job->done = true;
    return;
  }
  inference_.Start(job, model, version);
}

void InferStream::SendFinished() {
  while (!jobs_.empty() && jobs_.front()->done) {
    const std::shared_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    std::string answer;
    std::string inner;
    if (job->status.ok()) {
      std::vector<Piece> pieces;
      WriteGrpcInfer(*job, true, inner, pieces);
      for (const Piece& piece : pieces) {
        inner.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
      }
    } else {
      PutBytes(1, job->status.message, answer);
      if (!job->id.empty()) PutBytes(3, job->id, inner);
    }
    PutBytes(2, inner, answer);
    call_->Write(GrpcFrame(answer.size()) + answer);
  }
  if (call_->body_complete && jobs_.empty() && call_->body.empty() && !ended_) {
    ended_ = true;
    call_->End(Trailers({}));
  }
}

void InferStream::OnCancel() {
  ended_ = true;
  for (const std::shared_ptr<Job>& job : jobs_) job->cancelled.store(true);
}

}  // namespace

void StartGrpcStreamInfer(const std::shared_ptr<Call>& call, ServerState& state,
                          Inference& inference) {
  auto stream = std::make_shared<InferStream>(call, state, inference);
  call->Begin(StreamHead());
  call->on_data = [stream] { stream->OnData(); };
  call->on_cancel = [stream] { stream->OnCancel(); };
  stream->OnData();
}

namespace {

namespace health = grpc::health::v1;
using HealthStatus = health::HealthCheckResponse::ServingStatus;

constexpr size_t kMostHealthRequest = 4096;

// One call of Health/Watch: sends the status of its service now, and again when it has changed. The
// call holds it; lives on the call's executor.
class HealthWatch : public std::enable_shared_from_this<HealthWatch> {
 public:
  HealthWatch(const std::shared_ptr<Call>& call, Service& service)
      : call_(call), service_(service) {}

  void OnData();

 private:
  void Begin(Call& call, const std::string& message);
  void Update();
  HealthStatus Current() const;
  void End(Call& call, Fields trailers);

  const std::weak_ptr<Call> call_;
  Service& service_;
  bool known_ = false;
  std::optional<HealthStatus> sent_;
  std::shared_ptr<const Watchers::Function> update_;  // null before the request is there
  bool ended_ = false;
};

void HealthWatch::OnData() {
  const std::shared_ptr<Call> call = call_.lock();
  if (call == nullptr || ended_) return;
  try {
    std::string message;
    while (!ended_ && TakeGrpcMessage(*call, kMostHealthRequest, message)) {
      if (update_ != nullptr) ThrowInvalid("Health/Watch takes one message");
      Begin(*call, message);
    }
    if (call->body_complete && !sent_) ThrowInvalid("the call has no message");
  } catch (...) {
    End(*call, Trailers(CurrentStatus()));
  }
}

void HealthWatch::Begin(Call& call, const std::string& message) {
  health::HealthCheckRequest request;
  if (!request.ParseFromString(message)) ThrowInvalid("the message is no HealthCheckRequest");
  known_ = request.service().empty() || request.service() == "inference.GRPCInferenceService";
  update_ = std::make_shared<const Watchers::Function>([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Update();
  });
  service_.state().watchers.Add(*call.executor, update_);
  Update();  // after that, so that no change is missed
}

HealthStatus HealthWatch::Current() const {
  if (!known_) return health::HealthCheckResponse::SERVICE_UNKNOWN;
  return service_.Ready() ? health::HealthCheckResponse::SERVING
                          : health::HealthCheckResponse::NOT_SERVING;
}

void HealthWatch::Update() {
  const std::shared_ptr<Call> call = call_.lock();
  if (call == nullptr || ended_) return;
  const HealthStatus status = Current();
  if (sent_ != status) {
    sent_ = status;
    health::HealthCheckResponse answer;
    answer.set_status(status);
    const std::string bytes = answer.SerializeAsString();
    call->Write(GrpcFrame(bytes.size()) + bytes);
  }
  // A watch that stayed would keep the server from ending. It ends well: of a call that fails,
  // clients drop the messages that they have not read.
  if (service_.state().draining.load()) End(*call, Trailers({}));
}

void HealthWatch::End(Call& call, Fields trailers) {
  ended_ = true;
  update_.reset();
  call.End(std::move(trailers));
}

}  // namespace

void StartGrpcHealthWatch(const std::shared_ptr<Call>& call, Service& service) {
  call->Begin(StreamHead());
  const auto watch = std::make_shared<HealthWatch>(call, service);
  call->on_data = [watch] { watch->OnData(); };
  watch->OnData();
}

namespace {

namespace pb = google::protobuf;
namespace reflection = grpc::reflection::v1;

constexpr size_t kMostReflectionRequest = 1 << 20;

void AddFile(const pb::FileDescriptor& file, std::vector<std::string>& seen,
             reflection::FileDescriptorResponse& out) {
  if (std::find(seen.begin(), seen.end(), file.name()) != seen.end()) return;
  seen.push_back(file.name());
  pb::FileDescriptorProto proto;
  file.CopyTo(&proto);
  out.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), seen, out);
}

std::string Reflect(const std::string& message) {
  reflection::ServerReflectionRequest request;
  reflection::ServerReflectionResponse answer;
  if (!request.ParseFromString(message)) {
    answer.mutable_error_response()->set_error_code(3);
    answer.mutable_error_response()->set_error_message("the message is no reflection request");
    return answer.SerializeAsString();
  }
  answer.set_valid_host(request.host());
  *answer.mutable_original_request() = request;
  const pb::DescriptorPool* pool = pb::DescriptorPool::generated_pool();
  const pb::FileDescriptor* file = nullptr;
  std::string wanted;
  using Request = reflection::ServerReflectionRequest;
  switch (request.message_request_case()) {
    case Request::kListServices:
      for (const char* name : {"inference.GRPCInferenceService", "grpc.health.v1.Health",
                               "grpc.reflection.v1.ServerReflection"}) {
        answer.mutable_list_services_response()->add_service()->set_name(name);
      }
      return answer.SerializeAsString();
    case Request::kFileByFilename:
      wanted = request.file_by_filename();
      file = pool->FindFileByName(wanted);
      break;
    case Request::kFileContainingSymbol:
      wanted = request.file_containing_symbol();
      file = pool->FindFileContainingSymbol(wanted);
      break;
    case Request::kAllExtensionNumbersOfType:
      answer.mutable_all_extension_numbers_response()->set_base_type_name(
          request.all_extension_numbers_of_type());
      return answer.SerializeAsString();
    default:
      wanted = "extensions";
      break;
  }
  if (file == nullptr) {
    answer.mutable_error_response()->set_error_code(5);
    answer.mutable_error_response()->set_error_message("'" + wanted + "' is not found");
  } else {
    std::vector<std::string> seen;
    AddFile(*file, seen, *answer.mutable_file_descriptor_response());
  }
  return answer.SerializeAsString();
}

}  // namespace

// Answers each message of the stream by itself.
void StartGrpcReflection(const std::shared_ptr<Call>& call, ServerState&, bool) {
  call->Begin(StreamHead());
  const std::weak_ptr<Call> weak = call;
  call->on_data = [weak, ended = false]() mutable {
    const auto self = weak.lock();
    if (self == nullptr || ended) return;
    try {
      std::string message;
      while (TakeGrpcMessage(*self, kMostReflectionRequest, message)) {
        const std::string bytes = Reflect(message);
        self->Write(GrpcFrame(bytes.size()) + bytes);
      }
      if (!self->body_complete) return;
      ended = true;
      self->End(Trailers({}));
    } catch (...) {
      ended = true;
      self->End(Trailers(CurrentStatus()));
    }
  };
  call->on_data();
}

}  // namespace ingot::serve
