// Making a ServedModel out of a configuration and a backend.
#pragma once

#include <memory>
#include <string>

#include "ingot/serve/model_config.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {

class Repository;
class ResponseCache;

struct BuildContext {
  std::string folder;  // for labels, warm-up and state files
  int default_instances = 1;
  int64_t max_queued = 8192;
  ComputeGate* gate = nullptr;
  Repository* repository = nullptr;  // where an ensemble finds its models
  ResponseCache* cache = nullptr;
};

// `backend` is null for an ensemble. The configuration is complete. Warms the model up as its
// configuration says. Throws Error(kInvalidInput) that names the key.
std::shared_ptr<const ServedModel> BuildModel(const ModelConfig& config, int64_t version,
                                              std::shared_ptr<const Backend> backend,
                                              const BuildContext& context);

}  // namespace ingot::serve
