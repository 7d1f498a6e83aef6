// What stands between DequantizeLinear and QuantizeLinear works on the bytes themselves.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Add of two dequantised values of one shape, with Relu or Clip behind it, and QuantizeLinear
//   -> ingot.QuantizedAdd.
// Ops that take elements as they are (MaxPool, Reshape, Transpose, Concat, ...) between the two
// with one scale and zero point -> the op, of bytes.
//
// For constant scales, one for all elements, and constant zero points. Run it after FuseQuantized,
// which wants QuantizeLinear behind its products, and before constants are folded.
void FuseByteOps(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
