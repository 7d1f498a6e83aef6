// The passes of an inference plan, in their order.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/pass.h"

namespace ingot::compiler {

// Once, when a model is loaded, over extents that may be symbolic: what makes new weights, so that
// all plans of the model share them.
void PrepareForInference(ir::Graph& graph, const ir::OpRegistry& registry,
                         passes::PassRunner& passes);

// For each set of input shapes: `graph` has static inputs.
void OptimizeForInference(ir::Graph& graph, const ir::OpRegistry& registry,
                          passes::PassRunner& passes);

}  // namespace ingot::compiler
