// The verifier: is a graph whole? Run after every pass.
#pragma once

#include <string>
#include <vector>

#include "ingot/ir/graph.h"

namespace ingot::ir {

// What is wrong with a graph and its subgraphs, one sentence each; empty where all is well:
// values are produced once and before they are used; uses are recorded on both sides; every node
// fits its op's schema; the recorded types agree with what the shape rules give now (unknown
// extents agree with anything); inputs and outputs have distinct names; an aliased output has its
// input's type, and no input is replaced twice. Calls the shape rules, but changes nothing.
std::vector<std::string> FindProblems(const Graph& graph);

// Throws Error(kInternal) with the problems.
void Verify(const Graph& graph);

}  // namespace ingot::ir
