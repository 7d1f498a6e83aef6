// Quantised products in whatever form they come become the two ops that have real integer kernels.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Conv, MatMul and Gemm between DequantizeLinear and (where there is one) QuantizeLinear, with bias
// and activation; QLinearConv, QLinearMatMul and QGemm -> ingot.QuantizedConv, QuantizedMatMul.
//
// For bytes with one scale and constant zero points, and constant weights with one scale for each
// output channel or one for all. Run it before constants are folded, or weights are floats already.
void FuseQuantized(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
