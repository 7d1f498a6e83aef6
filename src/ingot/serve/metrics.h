// The metrics of a server, in Prometheus' text format and in OpenMetrics.
#pragma once

#include "ingot/serve/net/call.h"
#include "ingot/serve/server_state.h"

namespace ingot::serve {

// The answer to GET /metrics: Triton's names (nv_inference_...) beside Ingot's own (ingot_...,
// times in seconds). Prometheus itself asks for OpenMetrics, which has them all. Plain text, as
// people and checks of names read it, lacks Triton's nv_inference_*_us, whose abbreviated unit
// breaks Prometheus' rules; ?names=all and ?names=ingot say otherwise.
// Of the models' metrics there are those that the call's API key may see.
Response MetricsAnswer(ServerState& state, const Call& call);

}  // namespace ingot::serve
