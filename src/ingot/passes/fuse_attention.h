// The products and the softmax of attention become one op, which never holds all scores.
#pragma once

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// softmax(c * Q K^T [+ mask]) V -> Attention(Q, K, V, mask), for f32 over four axes [batch, heads,
// length, size] of static extents. The number c may be a factor or divisor of Q, of K, of both or
// of the product. Where Q, K, V are [batch, length, heads, size] with the middle axes exchanged,
// the op takes them as [batch, length, heads * size] and nothing is moved.
void FuseAttention(ir::Graph& graph, const ir::OpRegistry& registry);

}  // namespace ingot::passes
