// What bf16 means to a model: the operands of its products are rounded, everything else stays f32.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::infer {

// The f32 operands of MatMul, Gemm, Conv, ConvTranspose and Einsum, in subgraphs too, are rounded
// to bf16 (to nearest even) and back; sums and results stay f32.
void RoundProductsToBf16(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::infer
