// Removes what nothing depends on.
#pragma once

#include "ingot/ir/graph.h"

namespace ingot::passes {

// Removes every node of which no output is used, in the graph and in its subgraphs. Inputs stay.
void EliminateDeadCode(ir::Graph& graph);

}  // namespace ingot::passes
