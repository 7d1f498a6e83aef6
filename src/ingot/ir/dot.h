// Graphs as Graphviz drawings: `ingot graph --dot job.yaml | dot -Tsvg`.
#pragma once

#include <string>

#include "ingot/ir/graph.h"

namespace ingot::ir {

// A digraph in the DOT language: inputs and outputs as ellipses, nodes as boxes labelled with op,
// attributes and layer, edges with the types of their values, subgraphs as clusters. Every label is
// escaped, whatever the names hold. Constants of one element are drawn inside their users' labels.
std::string ToDot(const Graph& graph);

}  // namespace ingot::ir
