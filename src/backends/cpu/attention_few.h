// Attention of f32 for a few queries, as in decoding with a cache: every key is read once, in
// place, where attention.h packs them for many queries. Sums go upwards in vectors along a row,
// scores upwards in the keys.
#pragma once

#include <cstddef>

#include "backends/cpu/attention.h"

namespace ingot::cpu {

// Whether a product of so many queries is one of a few.
inline bool AreFewQueries(const ops::AttentionSizes& sizes) {
  return sizes.query_length <= 4;
}

// One head of one sample; pointers at its first rows. `scratch`: key_length floats.
void AttentionOfFewQueries(const ops::AttentionSizes& sizes, const float* q, const float* k,
                           const float* v, const AttentionMask& mask, float* y, float* scratch);

}  // namespace ingot::cpu
