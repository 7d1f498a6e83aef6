// A trace of some steps as Chrome's and Perfetto's JSON, from what a Telemetry kept.
#pragma once

#include <string>

#include "ingot/runtime/telemetry.h"

namespace ingot::train {

// A track for each thread. On it a slice for each task (a shard with its batch, or a tile), and in
// it one for each kernel, with the family as category and layer and stage as arguments. Times are
// microseconds from the first event. As the "Trace Event Format" has it: complete events ("X").
std::string TraceJson(const runtime::Telemetry& telemetry);

}  // namespace ingot::train
