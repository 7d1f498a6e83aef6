// Attention of f32 on one thread, in blocks that stay in cache, and its gradient.
//
// Dao et al., "FlashAttention" (arXiv 2205.14135): scores exist for one block of queries and keys
// at a time. For every query row the blocks of keys come upwards; within one, sums go upwards in k
// in products, and row sums in an order fixed by the instruction set. Gradients add up over query
// heads of a group, then blocks of keys, then blocks of queries, upwards. Allocates nothing;
// thread-safe.
#pragma once

#include <cstddef>

#include "ingot/ops/attention.h"

namespace ingot::cpu {

struct AttentionMask {
  const float* added = nullptr;   // to the scores
  const bool* visible = nullptr;  // or: what may be looked at
};

size_t AttentionScratchFloats(const ops::AttentionSizes& sizes);
// `log_sum` [batch, query_heads, query_length], or null. Scratch is aligned to 64 bytes.
void Attention(const ops::AttentionSizes& sizes, const float* q, const float* k, const float* v,
               const AttentionMask& mask, float* y, float* log_sum, float* scratch);

struct AttentionGradientOperands {
  const float *q, *k, *v, *y, *log_sum, *dy;
  AttentionMask mask;
  const float* d_log_sum = nullptr;
  float *dq, *dk, *dv;
};

size_t AttentionGradientScratchFloats(const ops::AttentionSizes& sizes);
void AttentionGradient(const ops::AttentionSizes& sizes, const AttentionGradientOperands& operands,
                       float* scratch);

}  // namespace ingot::cpu
