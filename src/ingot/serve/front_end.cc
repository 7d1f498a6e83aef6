// Access, protocol, access log.
#include "ingot/serve/front_end.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/serve/access_control.h"
#include "ingot/serve/access_log.h"
#include "ingot/serve/compression.h"
#include "ingot/serve/rest_path.h"
#include "ingot/serve/wire.h"

namespace ingot::serve {
namespace {

struct Wish {
  Access access = Access::kRead;
  std::string model;
};

// Larger ones are not about a model alone.
constexpr size_t kMostDecompressed = 64 << 10;

// The model of a gRPC request: field 1 of all of them that are about one, but for the repository's
// and shared memory's, which administer. nullopt: the message cannot be read.
std::optional<std::string> ModelOfGrpc(const Call& call) {
  if (call.body.size() < 5) return "";
  std::string_view message = std::string_view(call.body).substr(5);
  std::string plain, model;
  try {
    if (call.body[0] != 0) {
      plain =
          Decompress(message, ParseEncoding(call.headers.Get("grpc-encoding")), kMostDecompressed);
      message = plain;
    }
    WireReader reader(message);
    uint32_t field = 0;
    WireType type{};
    while (reader.Next(field, type)) {
      if (field == 1 && type == WireType::kBytes) {
        model = reader.Bytes();  // of several the last counts, as protobuf has it
      } else {
        reader.Skip(type);
      }
    }
  } catch (const Error&) {
    return std::nullopt;
  }
  return model;
}

Wish WishOfGrpc(const Call& call) {
  std::string_view name = call.path();
  if (!name.starts_with("/inference.GRPCInferenceService/")) return {Access::kOpen, ""};
  name.remove_prefix(name.rfind('/') + 1);
  if (name == "ServerLive" || name == "ServerReady") return {Access::kOpen, ""};
  if (name == "ModelInfer" || name == "ModelStreamInfer")
    return {Access::kInfer, ModelOfGrpc(call).value_or("")};  // looked at again where it is read
  if (name.starts_with("RepositoryModel") || name.ends_with("Register") ||
      name.ends_with("Unregister") || name == "TraceSetting" || name == "LogSettings") {
    return {Access::kAdmin, ""};
  }
  return {Access::kRead, name.starts_with("Model") ? ModelOfGrpc(call).value_or("?") : ""};
}

// `parts`: of the path, as the router has them.
Wish WishOfRest(const Call& call, std::span<const std::string> parts) {
  const auto at = [&](size_t i) { return i < parts.size() ? parts[i] : ""; };
  if (at(0) != "v2") {
    return {parts.size() == 1 && at(0) == "metrics" ? Access::kRead : Access::kOpen, ""};
  }
  if (parts.size() == 1 || at(1) == "health") return {Access::kOpen, ""};
  const bool posts = call.method == "POST";
  if (at(1) == "models") {
    const std::string model = at(2) == "stats" && parts.size() == 3 ? "" : at(2);
    const bool traces =
        parts.size() > 4 && parts[parts.size() - 2] == "trace" && parts.back() == "setting";
    if (traces && posts) return {Access::kAdmin, model};
    return {posts ? Access::kInfer : Access::kRead, model};
  }
  if (at(1) == "repository" && at(2) == "index") return {Access::kRead, ""};
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
  std::vector<std::string> parts;  // of a REST path
  if (!grpc) {
    try {
      parts = SplitPath(call->path());
    } catch (const Error&) {
      RespondError(*call, CurrentStatus());
      return;
    }
  }
  const Wish wish = grpc ? WishOfGrpc(*call) : WishOfRest(*call, parts);
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
    rest_.Handle(call, parts);
  }
}

void FrontEnd::Done(const Call& call) {
  if (state_.access_log != nullptr) state_.access_log->Write(call);
}

}  // namespace ingot::serve
