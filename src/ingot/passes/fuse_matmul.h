// Matrix products with their bias and activation become one op.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

struct FuseMatMulOptions {
  // Also MatMuls whose left side has more than two axes.
  bool stacked = false;
};

// Every product of two matrices (and, where asked, of a stack of matrices with one), MatMul or Gemm
// (alpha 1; beta 1 or no C; C a bias [N]), becomes ingot.FusedMatMul(a, b, [bias], [y])(trans_a,
// trans_b, epilogue, alpha), together with
//   - a following Add of a bias [N], and
//   - a following activation (epilogue relu, leaky_relu, elu, sigmoid, tanh, gelu, gelu_tanh), or a
//     ReluGradient of the product (epilogue relu_gradient, with y),
// as long as what is fused away is used by the next one alone. Works in the graph and in its
// subgraphs. Run Canonicalize before, so that transposes are in trans_a and trans_b.
void FuseMatMul(ir::Graph& graph, const ir::OpRegistry& registry,
                const FuseMatMulOptions& options = {});

}  // namespace ingot::passes
