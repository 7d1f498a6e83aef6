// FrontEnd: the handler of all connections: lets a call in or not, and hands it to REST or gRPC.
#pragma once

#include <memory>

#include "ingot/serve/grpc.h"
#include "ingot/serve/net/call.h"
#include "ingot/serve/rest.h"

namespace ingot::serve {

class FrontEnd : public Handler {
 public:
  explicit FrontEnd(ServerState& state);

  bool TakesStream(const Call& call) override;
  void Handle(std::shared_ptr<Call> call) override;
  void Done(const Call& call) override;

 private:
  ServerState& state_;
  Service service_;
  Inference inference_;
  Rest rest_;
  Grpc grpc_;
};

}  // namespace ingot::serve
