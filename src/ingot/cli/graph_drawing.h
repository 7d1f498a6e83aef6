// A graph as a picture: boxes for its nodes in rows from inputs to outputs, lines for values.
#pragma once

#include <string>

#include "ingot/ir/graph.h"

namespace ingot::cli {

// An SVG document. Constants are left out; subgraphs are named in their node's box.
std::string DrawGraph(const ir::Graph& graph);

}  // namespace ingot::cli
