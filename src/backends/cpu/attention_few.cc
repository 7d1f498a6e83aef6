// Dot products with the keys, a softmax, and a weighted sum of the values.
#include "backends/cpu/attention_few.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/vector_ops.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/attention_few.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using ATag = hn::ScalableTag<float>;
using AVector = hn::Vec<ATag>;

HWY_INLINE float KeyScore(const float* a, const float* b, size_t count) {
  const ATag d;
  const size_t lanes = hn::Lanes(d);
  AVector first = hn::Zero(d), second = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    first = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), first);
    second = hn::MulAdd(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes), second);
  }
  for (; i + lanes <= count; i += lanes) {
    first = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), first);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(first, second)));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// scores[j] = scale * q . k_j for all keys.
void ScoreKeysImpl(const float* q, const float* k, size_t stride, size_t keys, size_t size,
                   float scale, float* scores) {
  for (size_t j = 0; j < keys; ++j) scores[j] = scale * KeyScore(q, k + j * stride, size);
}

// y = the sum of p[j] * v_j; a vector of y at a time stays in registers for all keys.
void SumValuesImpl(const float* p, const float* v, size_t stride, size_t keys, size_t size,
                   float* y) {
  const ATag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    AVector sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (size_t j = 0; j < keys; ++j) {
      const AVector weight = hn::Set(d, p[j]);
      const float* row = v + j * stride + i;
#pragma GCC unroll 4
      for (size_t c = 0; c < 4; ++c) {
        sum[c] = hn::MulAdd(weight, hn::LoadU(d, row + c * lanes), sum[c]);
      }
    }
    for (size_t c = 0; c < 4; ++c) hn::StoreU(sum[c], d, y + i + c * lanes);
  }
  for (; i + lanes <= size; i += lanes) {
    AVector sum = hn::Zero(d);
    for (size_t j = 0; j < keys; ++j) {
      sum = hn::MulAdd(hn::Set(d, p[j]), hn::LoadU(d, v + j * stride + i), sum);
    }
    hn::StoreU(sum, d, y + i);
  }
  for (; i < size; ++i) {
    float sum = 0;
    for (size_t j = 0; j < keys; ++j) sum += p[j] * v[j * stride + i];
    y[i] = sum;
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(ScoreKeysImpl);
HWY_EXPORT(SumValuesImpl);

void AttentionOfFewQueries(const ops::AttentionSizes& s, const float* q, const float* k,
                           const float* v, const AttentionMask& mask, float* y, float* scratch) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < s.query_length; ++i) {
    const int64_t keys = s.causal ? std::min(s.key_length, i + 1) : s.key_length;
    HWY_DYNAMIC_DISPATCH(ScoreKeysImpl)
    (q + i * s.query.row, k, static_cast<size_t>(s.key.row), static_cast<size_t>(keys),
     static_cast<size_t>(s.head_size), static_cast<float>(s.scale), scratch);
    float most = -kInfinity;
    for (int64_t j = 0; j < keys; ++j) {
      float& score = scratch[j];
      if (s.softcap > 0) {
        const auto cap = static_cast<float>(s.softcap);
        score = cap * std::tanh(score / cap);
      }
      const int64_t at = i * s.mask_strides[2] + j * s.mask_strides[3];
      if (mask.added != nullptr) score += mask.added[at];
      if (mask.visible != nullptr && !mask.visible[at]) score = -kInfinity;
      most = std::max(most, score);
    }
    float* out = y + i * s.output.row;
    if (most == -kInfinity) {  // it may look at nothing
      std::fill_n(out, s.value_size, 0.0F);
      continue;
    }
    SoftmaxRows(scratch, 1, static_cast<size_t>(keys), scratch, nullptr);
    HWY_DYNAMIC_DISPATCH(SumValuesImpl)
    (scratch, v, static_cast<size_t>(s.value.row), static_cast<size_t>(keys),
     static_cast<size_t>(s.value_size), out);
  }
}

}  // namespace ingot::cpu
#endif
