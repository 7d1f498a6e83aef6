// The metrics of a server in Prometheus' text format.
#pragma once

#include <string>

#include "ingot/serve/server_state.h"

namespace ingot::serve {

// Triton's names (nv_inference_..., times in microseconds) and Ingot's own (ingot_..., in seconds).
// `own_only`: the latter alone, which keep to Prometheus' rules for names.
std::string MetricsText(ServerState& state, bool own_only = false);

}  // namespace ingot::serve
