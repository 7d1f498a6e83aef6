// recompute_activations: trades arithmetic for memory (Chen et al. 2016, "Training deep nets with
// sublinear memory cost"). What the forward pass computes is cut into segments; only what crosses a
// cut is kept, and the rest is computed again where the backward pass needs it.
//
// What is computed again has the same bits: the same ops on the same values, random ones included,
// since their numbers depend on their key alone.
#pragma once

#include <string>

#include "ingot/ir/graph.h"

namespace ingot::passes {

// Cuts the ancestors of the output `loss` into `segments` pieces of about equal bytes; below 2, or
// without such an output, nothing is done. All types must be static. Later passes must not merge
// common subexpressions.
void RecomputeActivations(ir::Graph& body, const std::string& loss, int segments);

}  // namespace ingot::passes
