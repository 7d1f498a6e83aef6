// f32 rounded to what bf16 or f16 hold, for vector code. Included once for every instruction set.
#if defined(INGOT_CPU_ROUNDING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_ROUNDING_INL_H_
#undef INGOT_CPU_ROUNDING_INL_H_
#else
#define INGOT_CPU_ROUNDING_INL_H_
#endif

#include <cmath>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// To nearest even, as BFloat16 and Float16 round; NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V RoundToBf16(D d, V x) {
  const hn::RebindToUnsigned<D> u;
  const auto bits = hn::BitCast(u, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u, 1u));
  const auto up = hn::Add(hn::Add(bits, hn::Set(u, 0x7fffu)), odd);
  const V rounded = hn::BitCast(d, hn::And(up, hn::Set(u, 0xffff0000u)));
  return hn::IfThenElse(hn::IsNaN(x), x, rounded);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V RoundToF16(D d, V x) {
  const hn::RebindToUnsigned<D> u;
  const V size = hn::Abs(x);
  const auto bits = hn::BitCast(u, size);
  const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(u, 1u));
  const auto up = hn::Add(hn::Add(bits, hn::Set(u, 0xfffu)), odd);
  const V normal = hn::BitCast(d, hn::And(up, hn::Set(u, 0xffffe000u)));
  // Below 2^-14 the numbers of f16 are multiples of 2^-24, as those of f32 above a half.
  const V half = hn::Set(d, 0.5f);
  const V small = hn::Sub(hn::Add(size, half), half);
  V result = hn::IfThenElse(hn::Lt(size, hn::Set(d, 6.103515625e-05f)), small, normal);
  result = hn::IfThenElse(hn::Ge(size, hn::Set(d, 65520.0f)), hn::Set(d, HUGE_VALF), result);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::CopySign(result, x));
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggled for every instruction set
