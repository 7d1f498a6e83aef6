// Reverse-mode automatic differentiation: emits the gradient as IR, so that it is optimised like
// everything else.
#pragma once

#include <span>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Appends to `graph` the nodes that compute d(sum(loss * seed)) / d(v) for each v of
// `with_respect_to`, and returns those gradients in the same order, each of v's type.
//
// `loss` is a float tensor of any shape; `seed` has its type, null means ones (so a loss of one
// value for each sample gives the gradient of their sum). Where the loss does not depend on v, the
// gradient is zeros of v's shape (ingot.ExpandLike of a scalar 0).
//
// Only what is wanted is computed: nodes that do not stand between `with_respect_to` and the loss
// get no gradient. The gradients of a value that is used several times are added from left to right
// in the order of its uses (node order, then input number), so that the bits do not depend on how
// this pass walks the graph. Gradient nodes keep the layer of the node they belong to.
//
// Throws Error(kUnsupported) for an op without a gradient rule between them, naming op, node and
// layer; Error(kInvalidInput) where loss, seed or a wanted value is not a float tensor; and
// Error(kInternal) where a gradient rule gives a gradient of another type than its input's.
std::vector<ir::Value*> Gradients(ir::Graph& graph, const ir::OpRegistry& registry, ir::Value* loss,
                                  std::span<ir::Value* const> with_respect_to,
                                  ir::Value* seed = nullptr);

}  // namespace ingot::passes
