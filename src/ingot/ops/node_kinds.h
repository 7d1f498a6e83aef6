// What several rooms ask of a node: kinds of ops that they treat alike.
#pragma once

#include <string>

#include "ingot/ir/graph.h"

namespace ingot::ops {

// Rows or sums that meet those of other places of a mesh, or pass to and from there. Null: no.
inline bool IsMeshOp(const ir::Node* node) {
  if (node == nullptr || node->domain() != "ingot") return false;
  return node->op_type() == "MeshSum" || node->op_type() == "MeshPass";
}

// Ops whose output is their input's bytes. Null: no.
inline bool ShowsItsInput(const ir::Node* node) {
  if (node == nullptr || !node->domain().empty()) return false;
  for (const char* name : {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}) {
    if (node->op_type() == name) return true;
  }
  return false;
}

}  // namespace ingot::ops
