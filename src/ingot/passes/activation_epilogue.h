// Which activation a node is, as the epilogue of a fused op.
#pragma once

#include <optional>
#include <string>

#include "ingot/ir/graph.h"

namespace ingot::passes {

struct ActivationEpilogue {
  std::string name;  // as in ingot/ops/epilogue.h
  double alpha = 0;
  double beta = 0;
};

// Of an activation of `x` with constant numbers; nothing for other nodes.
std::optional<ActivationEpilogue> EpilogueOf(const ir::Node* node, const ir::Value* x);

}  // namespace ingot::passes
