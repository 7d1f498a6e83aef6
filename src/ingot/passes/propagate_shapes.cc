// The sweep of propagate_shapes.h.
#include "ingot/passes/propagate_shapes.h"

#include "ingot/ir/builder.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

void PropagateShapes(ir::Graph& graph, const ir::OpRegistry& registry, const FoldOptions& options) {
  for (ir::Node* node : graph.nodes()) {
    ir::InferNode(*node);
    const bool of_shape = Is(node, "Shape") || Is(node, "Size");
    if (of_shape && node->input(0)->type().is_static()) {
      FoldShapeOf(node, registry);
    } else {
      FoldNode(node, registry, options);
    }
  }
}

}  // namespace ingot::passes
