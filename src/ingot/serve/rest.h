// Rest: the REST protocol: paths to calls.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ingot/serve/inference.h"
#include "ingot/serve/net/call.h"
#include "ingot/serve/service.h"

namespace ingot::serve {

// {"error": "..."} and the status.
Response ErrorResponse(const Status& status);
void RespondError(Call& call, const Status& status);

class Rest {
 public:
  Rest(Service& service, Inference& inference) : service_(service), inference_(inference) {}

  // Answers the call, at once or later on its executor.
  // `parts`: the call's path as SplitPath has it.
  void Handle(const std::shared_ptr<Call>& call, std::span<const std::string> parts);

 private:
  void Route(const std::shared_ptr<Call>& call, std::span<const std::string> parts);
  bool RouteModel(const std::shared_ptr<Call>& call, std::span<const std::string> path);
  void RouteRepository(const std::shared_ptr<Call>& call, std::span<const std::string> path);
  void RouteSharedMemory(const std::shared_ptr<Call>& call, std::span<const std::string> path);
  void RouteSettings(const std::shared_ptr<Call>& call, const std::string& model, bool trace);
  void Infer(const std::shared_ptr<Call>& call, const std::string& model,
             const std::string& version);

  Service& service_;
  Inference& inference_;
};

}  // namespace ingot::serve
