// Graphs as text for people: one node a line, subgraphs indented.
//
//   graph "step" {
//     input %x: f32[batch, 784]
//     input %w: f32[784, 64]  (parameter)
//     %3: f32[batch, 64] = Gemm(%x, %w, _) {transB=1}  # layer 0 (dense 64)
//     output loss = %3
//   }
#pragma once

#include <string>

#include "ingot/ir/graph.h"

namespace ingot::ir {

// A value with a name that no other value of the graph has is printed by that, others by number;
// an absent input is "_". Attributes are those given, without the op's defaults. Equal graphs that
// were built alike print alike.
std::string Print(const Graph& graph);

// One line, as it stands in Print (without subgraphs).
std::string Print(const Node& node);

// "data", "parameter", "state", "scalar".
const char* Name(Role role);

}  // namespace ingot::ir
