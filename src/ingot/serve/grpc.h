// Grpc: the calls of gRPC services over HTTP/2: GRPCInferenceService, health checking, reflection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "ingot/serve/inference.h"
#include "ingot/serve/net/call.h"
#include "ingot/serve/service.h"

namespace ingot::serve {

bool IsGrpc(const Call& call);
// Ends the call with a status and no message.
void RespondGrpcError(Call& call, const Status& status);

class Grpc {
 public:
  Grpc(Service& service, Inference& inference);
  ~Grpc();

  static bool TakesStream(std::string_view path);
  void Handle(const std::shared_ptr<Call>& call);

 private:
  // A unary method: request bytes and the name of the API key in, answer bytes out.
  struct Method {
    std::function<Status(std::string_view, const std::string&, std::string&)> run;
    bool slow = false;  // not on an event loop
  };
  template <typename Request, typename Answer, typename F>
  void Add(const std::string& name, F f, bool slow = false);
  void AddMethods();
  void Infer(const std::shared_ptr<Call>& call);

  Service& service_;
  Inference& inference_;
  std::map<std::string, Method, std::less<>> methods_;
};

// Takes messages out of a gRPC body as it grows.
// False where there is none yet. Throws Error(kInvalidInput), for a body that ends within one, too.
bool TakeGrpcMessage(Call& call, size_t limit, std::string& message);
// Five bytes before a message of this size.
std::string GrpcFrame(size_t size);

void StartGrpcStreamInfer(const std::shared_ptr<Call>& call, ServerState& state,
                          Inference& inference);
void StartGrpcHealthWatch(const std::shared_ptr<Call>& call, Service& service);
void StartGrpcReflection(const std::shared_ptr<Call>& call, ServerState& state, bool alpha);

}  // namespace ingot::serve
