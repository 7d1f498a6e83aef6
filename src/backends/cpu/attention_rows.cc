// Rows of scores, for every instruction set.
#include "backends/cpu/attention_rows.h"

#include <cmath>

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/attention_rows.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

using RowTag = hn::CappedTag<float, kMostLanes>;
using RowVector = hn::Vec<RowTag>;

// e^x for x that is no more than about 88; NaN stays NaN.
HWY_INLINE RowVector ExpOf(RowVector x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(RowTag(), x));
}

void FinishScoresImpl(const ScoreRow& row) {
  const RowTag d;
  const size_t lanes = hn::Lanes(d);
  const RowVector scale = hn::Set(d, row.scale);
  if (row.softcap > 0) {
    const RowVector inner = hn::Set(d, row.scale / row.softcap);
    const RowVector cap = hn::Set(d, row.softcap);
    const RowVector one = hn::Set(d, 1.0f);
    for (size_t j = 0; j < row.columns; j += lanes) {
      const RowVector t = TanhOf(d, hn::Mul(hn::LoadU(d, row.score + j), inner));
      hn::StoreU(hn::Mul(t, cap), d, row.score + j);
      if (row.slope != nullptr) hn::StoreU(hn::NegMulAdd(t, t, one), d, row.slope + j);
    }
  } else {
    for (size_t j = 0; j < row.columns; j += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, row.score + j), scale), d, row.score + j);
    }
  }
  const size_t end = (row.columns + lanes - 1) / lanes * lanes;
  for (size_t j = row.visible; j < end; ++j) row.score[j] = -HUGE_VALF;
}

void AddToSoftmaxImpl(float* score, size_t columns, OnlineSoftmax& state, float* output,
                      size_t size) {
  const RowTag d;
  const size_t lanes = hn::Lanes(d);
  RowVector highest = hn::Set(d, state.highest);
  for (size_t j = 0; j < columns; j += lanes) {
    highest = hn::Max(highest, hn::LoadU(d, score + j));
  }
  const float before = state.highest;
  state.highest = hn::GetLane(hn::MaxOfLanes(d, highest));
  if (state.highest == -HUGE_VALF) {  // nothing is visible so far
    for (size_t j = 0; j < columns; ++j) score[j] = 0;
    return;
  }
  if (before != state.highest && state.sum != 0) {
    const float factor = std::exp(before - state.highest);
    state.sum *= factor;
    const RowVector factors = hn::Set(d, factor);
    for (size_t j = 0; j < size; j += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, output + j), factors), d, output + j);
    }
  }
  const RowVector base = hn::Set(d, state.highest);
  RowVector sum = hn::Zero(d);
  for (size_t j = 0; j < columns; j += lanes) {
    const RowVector p = ExpOf(hn::Sub(hn::LoadU(d, score + j), base));
    hn::StoreU(p, d, score + j);
    sum = hn::Add(sum, p);
  }
  state.sum += hn::GetLane(hn::SumOfLanes(d, sum));
}

void ScoreGradientsImpl(float* score, float* dp, const float* slope, size_t columns, float log_sum,
                        float delta, float scale) {
  const RowTag d;
  const size_t lanes = hn::Lanes(d);
  const RowVector base = hn::Set(d, log_sum == -HUGE_VALF ? 0 : log_sum);
  const RowVector deltas = hn::Set(d, delta);
  const RowVector scales = hn::Set(d, scale);
  for (size_t j = 0; j < columns; j += lanes) {
    const RowVector p = ExpOf(hn::Sub(hn::LoadU(d, score + j), base));
    RowVector ds = hn::Mul(hn::Mul(p, scales), hn::Sub(hn::LoadU(d, dp + j), deltas));
    if (slope != nullptr) ds = hn::Mul(ds, hn::LoadU(d, slope + j));
    hn::StoreU(p, d, score + j);
    hn::StoreU(ds, d, dp + j);
  }
}

float DotImpl(const float* a, const float* b, size_t count) {
  const RowTag d;
  const size_t lanes = hn::Lanes(d);
  RowVector sum = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  }
  float rest = 0;
  for (; i < count; ++i) rest += a[i] * b[i];
  return hn::GetLane(hn::SumOfLanes(d, sum)) + rest;
}

void ScaleImpl(const float* from, float factor, size_t count, float* to) {
  const RowTag d;
  const size_t lanes = hn::Lanes(d);
  const RowVector factors = hn::Set(d, factor);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, from + i), factors), d, to + i);
  }
  for (; i < count; ++i) to[i] = from[i] * factor;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(FinishScoresImpl);
HWY_EXPORT(AddToSoftmaxImpl);
HWY_EXPORT(ScoreGradientsImpl);
HWY_EXPORT(DotImpl);
HWY_EXPORT(ScaleImpl);

void FinishScores(const ScoreRow& row) {
  HWY_DYNAMIC_DISPATCH(FinishScoresImpl)(row);
}

void AddToSoftmax(float* score, size_t columns, OnlineSoftmax& state, float* output, size_t size) {
  HWY_DYNAMIC_DISPATCH(AddToSoftmaxImpl)(score, columns, state, output, size);
}

void ScoreGradients(float* score, float* dp, const float* slope, size_t columns, float log_sum,
                    float delta, float scale) {
  HWY_DYNAMIC_DISPATCH(ScoreGradientsImpl)(score, dp, slope, columns, log_sum, delta, scale);
}

float Dot(const float* a, const float* b, size_t count) {
  return HWY_DYNAMIC_DISPATCH(DotImpl)(a, b, count);
}

void Scale(const float* from, float factor, size_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(ScaleImpl)(from, factor, count, to);
}

}  // namespace ingot::cpu
#endif
