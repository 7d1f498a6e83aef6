// The two halves of InferNode, for those that must not change the node: the verifier and the tests.
#pragma once

#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::ir {

// Checks a node against its op's schema: number and presence of inputs and outputs, equal element
// types where ports share a type variable, attributes known, of the right kind, required ones
// there. Throws Error(kInvalidInput), without the node's name.
void CheckSchema(const Node& node);

// The types that the op's shape rule gives for the node's outputs; changes nothing. Throws what the
// rule throws, and Error(kInternal) where the rule leaves an output without a type.
std::vector<Type> InferTypes(const Node& node);

}  // namespace ingot::ir
