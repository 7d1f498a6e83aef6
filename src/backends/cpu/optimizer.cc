// Adam and SGD, a vector at a time, compiled for every instruction set.
#include "backends/cpu/optimizer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/optimizer.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector (or one element, with a tag of one lane) of Adam.
template <class D>
HWY_INLINE void AdamAt(D d, const AdamRange& r, const AdamNumbers& n, size_t i,
                       hn::Vec<D>& poison) {
  using V = hn::Vec<D>;
  V w = hn::LoadU(d, r.w + i);
  V g = hn::LoadU(d, r.g + i);
  poison = hn::MulAdd(g, hn::Zero(d), poison);  // 0 stays 0; NaN and infinity make NaN
  g = hn::MulAdd(hn::Set(d, n.gradient_decay), w, g);
  w = hn::Mul(w, hn::Set(d, n.keep));
  V m = hn::LoadU(d, r.m + i);
  m = hn::MulAdd(hn::Set(d, n.one_minus_beta1), hn::Sub(g, m), m);
  V v = hn::Mul(hn::LoadU(d, r.v + i), hn::Set(d, n.beta2));
  v = hn::MulAdd(hn::Mul(hn::Set(d, n.one_minus_beta2), g), g, v);
  const V root = hn::MulAdd(hn::Sqrt(v), hn::Set(d, n.inverse_root), hn::Set(d, n.epsilon));
  w = hn::NegMulAdd(hn::Set(d, n.step_size), hn::Div(m, root), w);
  poison = hn::MulAdd(w, hn::Zero(d), poison);
  hn::StoreU(w, d, r.new_w + i);
  hn::StoreU(m, d, r.new_m + i);
  hn::StoreU(v, d, r.new_v + i);
}

bool AdamUpdateImpl(const AdamRange& range, const AdamNumbers& numbers) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  auto poison = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= range.count; i += lanes) AdamAt(d, range, numbers, i, poison);
  auto last = hn::Zero(one);
  for (; i < range.count; ++i) AdamAt(one, range, numbers, i, last);
  return hn::AllTrue(d, hn::Eq(poison, hn::Zero(d))) && hn::GetLane(last) == 0.0f;
}

template <class D>
HWY_INLINE void SgdAt(D d, const SgdRange& r, float learning_rate, float momentum, float decay,
                      bool nesterov, size_t i, hn::Vec<D>& poison) {
  using V = hn::Vec<D>;
  const V w = hn::LoadU(d, r.w + i);
  V g = hn::LoadU(d, r.g + i);
  poison = hn::MulAdd(g, hn::Zero(d), poison);
  g = hn::MulAdd(hn::Set(d, decay), w, g);
  if (r.momentum != nullptr) {
    const V kept = hn::MulAdd(hn::Set(d, momentum), hn::LoadU(d, r.momentum + i), g);
    hn::StoreU(kept, d, r.new_momentum + i);
    g = nesterov ? hn::MulAdd(hn::Set(d, momentum), kept, g) : kept;
  }
  const V new_w = hn::NegMulAdd(hn::Set(d, learning_rate), g, w);
  poison = hn::MulAdd(new_w, hn::Zero(d), poison);
  hn::StoreU(new_w, d, r.new_w + i);
}

bool SgdUpdateImpl(const SgdRange& range, float learning_rate, float momentum, float weight_decay,
                   bool nesterov) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  auto poison = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= range.count; i += lanes) {
    SgdAt(d, range, learning_rate, momentum, weight_decay, nesterov, i, poison);
  }
  auto last = hn::Zero(one);
  for (; i < range.count; ++i) {
    SgdAt(one, range, learning_rate, momentum, weight_decay, nesterov, i, last);
  }
  return hn::AllTrue(d, hn::Eq(poison, hn::Zero(d))) && hn::GetLane(last) == 0.0f;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(AdamUpdateImpl);
HWY_EXPORT(SgdUpdateImpl);

bool AdamUpdate(const AdamRange& range, const AdamNumbers& numbers) {
  return HWY_DYNAMIC_DISPATCH(AdamUpdateImpl)(range, numbers);
}

bool SgdUpdate(const SgdRange& range, float learning_rate, float momentum, float weight_decay,
               bool nesterov) {
  return HWY_DYNAMIC_DISPATCH(SgdUpdateImpl)(range, learning_rate, momentum, weight_decay,
                                             nesterov);
}

}  // namespace ingot::cpu
#endif
