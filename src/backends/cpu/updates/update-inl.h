// The loop that all updates share: looks whether numbers are finite, clips, decays, calls the
// formula for one vector, and moves the average. Included once for every instruction set.
//
// A formula is a struct with
//   static constexpr int kStates;   // how many of a, b, c are state tensors; the others are zeros
//   template <class D, class V, class T>
//   static void Step(D d, const T* n, V& w, V g, V& a, V& b, V& c);   // n: the formula's numbers
#include <cmath>
#include <limits>

#include "backends/cpu/updates/update.h"

#if defined(INGOT_CPU_UPDATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_UPDATE_INL_H_
#undef INGOT_CPU_UPDATE_INL_H_
#else
#define INGOT_CPU_UPDATE_INL_H_
#endif

#include "hwy/highway.h"

#include "backends/cpu/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// a + weight (b - a).
template <class V>
HWY_INLINE V MoveTowards(V a, V b, V weight) {
  return hn::MulAdd(weight, hn::Sub(b, a), a);
}

template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadAt(D d, const void* from, size_t i) {
  return hn::LoadU(d, static_cast<const T*>(from) + i);
}
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void StoreAt(D d, hn::Vec<D> v, void* to, size_t i) {
  hn::StoreU(v, d, static_cast<T*>(to) + i);
}

// One vector, or one element with a tag of one lane. kShared: clips, averages and copies.
template <class F, bool kShared, class D, class T>
HWY_INLINE void UpdateAt(D d, const UpdateRange& r, const T* n, size_t i, hn::Vec<D>& poison) {
  using V = hn::Vec<D>;
  using N = UpdateNumbers;
  V w = LoadAt(d, r.w, i);
  V g = LoadAt(d, r.g, i);
  poison = hn::MulAdd(g, hn::Zero(d), poison);  // 0 stays 0; NaN and infinity make NaN
  if constexpr (kShared) g = hn::Clamp(g, hn::Set(d, -n[N::kClip]), hn::Set(d, n[N::kClip]));
  g = hn::MulAdd(hn::Set(d, n[N::kGradientDecay]), w, g);
  w = hn::Mul(w, hn::Set(d, n[N::kKeep]));
  V a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d);
  if constexpr (F::kStates > 0) a = LoadAt(d, r.state[0], i);
  if constexpr (F::kStates > 1) b = LoadAt(d, r.state[1], i);
  if constexpr (F::kStates > 2) c = LoadAt(d, r.state[2], i);
  F::Step(d, n + N::kFormula, w, g, a, b, c);
  poison = hn::MulAdd(w, hn::Zero(d), poison);
  StoreAt(d, w, r.new_w, i);
  if constexpr (F::kStates > 0) StoreAt(d, a, r.new_state[0], i);
  if constexpr (F::kStates > 1) StoreAt(d, b, r.new_state[1], i);
  if constexpr (F::kStates > 2) StoreAt(d, c, r.new_state[2], i);
  if constexpr (kShared) {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (r.copy_to == DType::kBf16) StoreAt(d, RoundToBf16(d, w), r.copy, i);
      if (r.copy_to == DType::kF16) StoreAt(d, RoundToF16(d, w), r.copy, i);
    }
    if (r.average == nullptr) return;
    const V average = LoadAt(d, r.average, i);
    StoreAt(d, MoveTowards(average, w, hn::Set(d, n[N::kAverageStep])), r.new_average, i);
  }
}

template <class F, bool kShared, class T>
bool UpdateLoop(const UpdateRange& range, const double* numbers) {
  T n[UpdateNumbers::kMost];
  for (size_t k = 0; k < UpdateNumbers::kMost; ++k) n[k] = static_cast<T>(numbers[k]);
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const size_t lanes = hn::Lanes(d);
  auto poison = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= range.count; i += lanes) UpdateAt<F, kShared>(d, range, n, i, poison);
  auto last = hn::Zero(one);
  for (; i < range.count; ++i) UpdateAt<F, kShared>(one, range, n, i, last);
  return hn::AllTrue(d, hn::Eq(poison, hn::Zero(d))) && hn::GetLane(last) == T{0};
}

template <class F>
bool RunFormula(const UpdateRange& range, const double* numbers) {
  const bool shared = range.average != nullptr || range.copy != nullptr ||
                      std::isfinite(numbers[UpdateNumbers::kClip]);
  if (range.dtype == DType::kF64) {
    return shared ? UpdateLoop<F, true, double>(range, numbers)
                  : UpdateLoop<F, false, double>(range, numbers);
  }
  return shared ? UpdateLoop<F, true, float>(range, numbers)
                : UpdateLoop<F, false, float>(range, numbers);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggled for every instruction set
