// Service: the calls of the inference protocol that are not inference, on the protocol's messages.
// The front ends only carry these messages.
#pragma once

#include <string>

#include "ingot/serve/proto/grpc_service.pb.h"
#include "ingot/serve/server_state.h"
#include "ingot/serve/status.h"

namespace ingot::serve {

// Safe for use by several threads. Load and Unload take long: not on an event loop.
class Service {
 public:
  explicit Service(ServerState& state) : state_(state) {}

  bool Live() const { return true; }
  bool Ready() const;
  bool ModelReady(const std::string& name, const std::string& version) const;

  Status Metadata(inference::ServerMetadataResponse& answer) const;
  Status ModelMetadata(const inference::ModelMetadataRequest& request,
                       inference::ModelMetadataResponse& answer) const;
  Status ModelConfig(const inference::ModelConfigRequest& request,
                     inference::ModelConfigResponse& answer) const;
  // Where these are about all models, they list those that the API key of this name may use.
  Status ModelStatistics(const inference::ModelStatisticsRequest& request,
                         const std::string& key_name,
                         inference::ModelStatisticsResponse& answer) const;
  Status RepositoryIndex(const inference::RepositoryIndexRequest& request,
                         const std::string& key_name,
                         inference::RepositoryIndexResponse& answer) const;
  Status Load(const inference::RepositoryModelLoadRequest& request);
  Status Unload(const inference::RepositoryModelUnloadRequest& request);
  Status SharedMemoryStatus(const inference::SystemSharedMemoryStatusRequest& request,
                            inference::SystemSharedMemoryStatusResponse& answer) const;
  Status SharedMemoryRegister(const inference::SystemSharedMemoryRegisterRequest& request);
  Status SharedMemoryUnregister(const inference::SystemSharedMemoryUnregisterRequest& request);
  Status TraceSetting(const inference::TraceSettingRequest& request,
                      inference::TraceSettingResponse& answer);
  Status LogSettings(const inference::LogSettingsRequest& request,
                     inference::LogSettingsResponse& answer);

  ServerState& state() const { return state_; }

 private:
  ServerState& state_;
};

}  // namespace ingot::serve
