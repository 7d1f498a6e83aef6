// Access, protocol, access log.
#include "ingot/serve/front_end.h"

#include "ingot/serve/access_control.h"
#include "ingot/serve/access_log.h"
#include "ingot/serve/wire.h"

namespace ingot::serve {
namespace {

struct Wish {
  Access access = Access::kRead;
  std::string model;
};

// The model of a gRPC request: field 1 of all of them that are about one, but for the repository's
// and shared memory's, which administer.
std::string ModelOfGrpc(const Call& call) {
  if (call.body.size() < 5 || call.body[0] != 0) return "";
  try {
    WireReader reader(std::string_view(call.body).substr(5));
    uint32_t field = 0;
    WireType type{};
    while (reader.Next(field, type)) {
      if (field == 1 && type == WireType::kBytes) return std::string(reader.Bytes());
      reader.Skip(type);
    }
  } catch (const Error&) {
  }
  return "";
}

Wish WishOfGrpc(const Call& call) {
  std::string_view name = call.path();
  if (!name.starts_with("/inference.GRPCInferenceService/")) return {Access::kOpen, ""};
  name.remove_prefix(name.rfind('/') + 1);
  if (name == "ServerLive" || name == "ServerReady") return {Access::kOpen, ""};
  if (name == "ModelInfer" || name == "ModelStreamInfer")
    return {Access::kInfer, ModelOfGrpc(call)};
  if (name.starts_with("RepositoryModel") || name.ends_with("Register") ||
      name.ends_with("Unregister") || name == "TraceSetting" || name == "LogSettings") {
    return {Access::kAdmin, ""};
  }
  return {Access::kRead, name.starts_with("Model") ? ModelOfGrpc(call) : ""};
}

Wish WishOfRest(const Call& call) {
  // As the router splits it: several slashes are one.
  std::string plain;
  for (const char c : call.path()) {
    if (c != '/' || !plain.ends_with('/')) plain += c;
  }
  std::string_view path = plain;
  if (!path.starts_with("/v2")) {
    return {path == "/metrics" ? Access::kRead : Access::kOpen, ""};
  }
  path.remove_prefix(3);
  if (path.empty() || path == "/" || path.starts_with("/health/")) return {Access::kOpen, ""};
  const bool posts = call.method == "POST";
  if (path.starts_with("/models/")) {
    path.remove_prefix(8);
    const std::string model(path.substr(0, path.find('/')));
    if (path.ends_with("/trace/setting") && posts) return {Access::kAdmin, model};
    return {posts ? Access::kInfer : Access::kRead, model == "stats" ? "" : model};
  }
  if (path.starts_with("/repository/index")) return {Access::kRead, ""};
  // The rest administers when it changes something.
  return {posts ? Access::kAdmin : Access::kRead, ""};
}

}  // namespace

FrontEnd::FrontEnd(ServerState& state)
    : state_(state),
      service_(state),
      inference_(state),
      rest_(service_, inference_),
      grpc_(service_, inference_) {}

bool FrontEnd::TakesStream(const Call& call) {
  return IsGrpc(call) && Grpc::TakesStream(call.path());
}

void FrontEnd::Handle(std::shared_ptr<Call> call) {
  if (state_.access_log != nullptr) call->begun = std::chrono::steady_clock::now();
  const bool grpc = IsGrpc(*call);
  const Wish wish = grpc ? WishOfGrpc(*call) : WishOfRest(*call);
  Status status;
  if (wish.access != Access::kOpen) {
    status =
        state_.access->Check(wish.access, wish.model, *call->peer, KeyOf(*call), call->key_name);
  }
  if (!status.ok()) {
    if (grpc) {
      RespondGrpcError(*call, status);
    } else {
      RespondError(*call, status);
    }
  } else if (grpc) {
    grpc_.Handle(call);
  } else {
    rest_.Handle(call);
  }
}

void FrontEnd::Done(const Call& call) {
  if (state_.access_log != nullptr) state_.access_log->Write(call);
}

}  // namespace ingot::serve
