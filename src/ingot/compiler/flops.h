// How many floating-point operations products, convolutions and attention take: two for each
// multiply-add. Other ops count as none.
#pragma once

#include "ingot/ir/graph.h"

namespace ingot::compiler {

// Of a node with static types.
double FlopsOf(const ir::Node& node);

// Of all nodes of a graph.
double CountFlops(const ir::Graph& graph);

}  // namespace ingot::compiler
