// Outputs of a graph that must not share bytes.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::compiler {

// An output that is an input, a constant or another output gets bytes of its own.
void SeparateOutputs(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::compiler
