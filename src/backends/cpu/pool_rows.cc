// Pooling of single windows, compiled for every instruction set.
#include "backends/cpu/pool_rows.h"

#ifndef HWY_TARGET_INCLUDE  // else its unit says it
#define HWY_TARGET_INCLUDE "backends/cpu/pool_rows.cc"
#endif
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/row_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class V>
HWY_INLINE auto IsLarger(V value, V largest) {
  return hn::Or(hn::Gt(value, largest), hn::AndNot(hn::IsNaN(largest), hn::IsNaN(value)));
}

void MaxOfTapsImpl(const PoolTaps& taps, float* y) {
  ForEachPart(taps.channels, [&](auto d, size_t c) HWY_ATTR {
    auto largest = hn::LoadU(d, taps.rows[0] + c);
    for (size_t t = 1; t < taps.count; ++t) {
      const auto value = hn::LoadU(d, taps.rows[t] + c);
      largest = hn::IfThenElse(IsLarger(value, largest), value, largest);
    }
    hn::StoreU(largest, d, y + c);
  });
}

// What is there already, if other windows may have written to it.
template <class D>
HWY_INLINE auto Before(D d, const PoolTaps& taps, const float* from) {
  return taps.alone ? hn::Zero(d) : hn::LoadU(d, from);
}

void MaxOfTapsGradientImpl(const PoolTaps& taps, const float* dy) {
  ForEachPart(taps.channels, [&](auto d, size_t c) HWY_ATTR {
    auto largest = hn::LoadU(d, taps.rows[0] + c);
    auto place = hn::Zero(d);  // number of the tap, exact in f32
    for (size_t t = 1; t < taps.count; ++t) {
      const auto value = hn::LoadU(d, taps.rows[t] + c);
      const auto larger = IsLarger(value, largest);
      largest = hn::IfThenElse(larger, value, largest);
      place = hn::IfThenElse(larger, hn::Set(d, static_cast<float>(t)), place);
    }
    const auto gradient = hn::LoadU(d, dy + c);
    for (size_t t = 0; t < taps.count; ++t) {
      const auto here = hn::Eq(place, hn::Set(d, static_cast<float>(t)));
      float* to = taps.gradients[t] + c;
      hn::StoreU(hn::Add(Before(d, taps, to), hn::IfThenElseZero(here, gradient)), d, to);
    }
  });
}

void SumOfTapsImpl(const PoolTaps& taps, float factor, float* y) {
  ForEachPart(taps.channels, [&](auto d, size_t c) HWY_ATTR {
    auto sum = hn::LoadU(d, taps.rows[0] + c);
    for (size_t t = 1; t < taps.count; ++t) sum = hn::Add(sum, hn::LoadU(d, taps.rows[t] + c));
    hn::StoreU(hn::Mul(sum, hn::Set(d, factor)), d, y + c);
  });
}

void SumOfTapsGradientImpl(const PoolTaps& taps, float factor, const float* dy) {
  ForEachPart(taps.channels, [&](auto d, size_t c) HWY_ATTR {
    const auto share = hn::Mul(hn::LoadU(d, dy + c), hn::Set(d, factor));
    for (size_t t = 0; t < taps.count; ++t) {
      float* to = taps.gradients[t] + c;
      hn::StoreU(hn::Add(Before(d, taps, to), share), d, to);
    }
  });
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(MaxOfTapsImpl);
HWY_EXPORT(MaxOfTapsGradientImpl);
HWY_EXPORT(SumOfTapsImpl);
HWY_EXPORT(SumOfTapsGradientImpl);

void MaxOfTaps(const PoolTaps& taps, float* y) {
  HWY_DYNAMIC_DISPATCH(MaxOfTapsImpl)(taps, y);
}
void MaxOfTapsGradient(const PoolTaps& taps, const float* dy) {
  HWY_DYNAMIC_DISPATCH(MaxOfTapsGradientImpl)(taps, dy);
}
void SumOfTaps(const PoolTaps& taps, float factor, float* y) {
  HWY_DYNAMIC_DISPATCH(SumOfTapsImpl)(taps, factor, y);
}
void SumOfTapsGradient(const PoolTaps& taps, float factor, const float* dy) {
  HWY_DYNAMIC_DISPATCH(SumOfTapsGradientImpl)(taps, factor, dy);
}

}  // namespace ingot::cpu
#endif
