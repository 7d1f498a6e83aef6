// The generate extension: a model called with one JSON object, its inputs by name.
#pragma once

#include <memory>
#include <string>

#include "ingot/serve/inference.h"
#include "ingot/serve/net/call.h"

namespace ingot::serve {

// Fields named as inputs become inputs, of one row; the others become parameters. The answer is an
// object of the outputs, or a stream of server-sent events that each hold one.
void StartGenerate(const std::shared_ptr<Call>& call, const std::string& model,
                   const std::string& version, bool stream, ServerState& state,
                   Inference& inference);

}  // namespace ingot::serve
