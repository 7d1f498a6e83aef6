// Rewrites that make a graph simpler without changing what it computes.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Until nothing changes, in the graph and in its subgraphs:
//   Identity(x)                        -> x
//   Neg(Neg(x))                        -> x
//   Add(x, 0), Sub(x, 0), Mul(x, 1), Div(x, 1) -> x, where the constant does not broadcast x
//                                         (adding 0 to -0 gives 0: the one bit that may change)
//   Cast to x's own type               -> x
//   Reshape(Reshape(x)), Reshape to x's own shape    -> one Reshape, x
//   Transpose(Transpose(x)), Transpose that moves nothing -> one Transpose, x
//   Expand(x) to x's own shape         -> x; an Expand that feeds an elementwise op which
//                                         broadcasts anyway is skipped
//   MatMul(Transpose(a), b), MatMul(a, Transpose(b)) -> Gemm with transA, transB (matrices)
//   Gemm(Transpose(a), ..)             -> Gemm with transA flipped; the same for b
// Constant folding and dead code elimination are passes of their own.
void Canonicalize(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
