// What Attention and its gradient are given, worked out from attributes and shapes: shared by the
// shape rule, the reference and the kernels of backends.
//
//   s[i, j] = scale * Q[i] . K[j], capped: softcap * tanh(s / softcap) where softcap > 0;
//   p = softmax over j of s + mask (of j <= i alone where is_causal);  Y[i] = sum_j p[i, j] V[j];
//   LSE[i] = log(sum_j e^(s + mask)).  A row that may look at nothing is 0, its LSE -infinity.
// Query head h looks at key head h / (query heads / key heads): grouped-query attention.
#pragma once

#include <cstdint>
#include <span>

#include "ingot/ir/graph.h"

namespace ingot::ops {

// Where the rows of a tensor [batch, heads, length, size] or [batch, length, heads * size] stand,
// in elements.
struct HeadStrides {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;

  int64_t At(int64_t b, int64_t h, int64_t t) const { return b * batch + h * head + t * row; }
};

struct AttentionSizes {
  int64_t batch = 0;
  int64_t query_heads = 0, key_heads = 0;
  int64_t query_length = 0, key_length = 0;
  int64_t head_size = 0, value_size = 0;  // of Q and K; of V and Y
  HeadStrides query, key, value, output;  // of Q, K, V, Y and their gradients
  double scale = 1;
  double softcap = 0;  // 0: none
  bool causal = false;
  // Of the mask, broadcast to [batch, query_heads, query_length, key_length]; all 0 without one.
  int64_t mask_strides[4] = {0, 0, 0, 0};

  int64_t group() const { return query_heads / key_heads; }
};

// Of a node with inputs Q, K, V of these extents; `mask` empty: none given (a scalar mask has
// nothing to stride over either). Throws Error(kInvalidInput) where they do not fit together.
AttentionSizes SizesOfAttention(const ir::Node& node, std::span<const int64_t> q,
                                std::span<const int64_t> k, std::span<const int64_t> v,
                                std::span<const int64_t> mask);

}  // namespace ingot::ops
