// Shapes that a graph computes from the shapes of its values, as exporters write them.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::onnx {

// Infers all types again, and writes the shapes of Reshape and Expand as constants wherever they
// follow from types: an extent that is a symbol (the batch) becomes a 0 or -1 of a Reshape.
void ResolveShapes(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::onnx
