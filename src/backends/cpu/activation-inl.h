// Activations of a vector of f32, for epilogues and elementwise kernels. Included once for each
// instruction set. Errors against the exact functions: exp, tanh, log as hwy/contrib/math states
// (at most 4 ulp); erf 1.5e-7 absolute (Abramowitz and Stegun 7.1.26).
#if defined(INGOT_BACKENDS_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_ACTIVATION_INL_H_
#undef INGOT_BACKENDS_CPU_ACTIVATION_INL_H_
#else
#define INGOT_BACKENDS_CPU_ACTIVATION_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#include "backends/cpu/activation.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V SigmoidOf(D d, V x) {
  // 1 / (1 + exp(-x)); exp saturates at both ends without overflow to NaN.
  const V bounded = hn::Min(hn::Max(x, hn::Set(d, -87.0f)), hn::Set(d, 87.0f));
  const V result =
      hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), hn::Exp(d, hn::Neg(bounded))));
  return hn::IfThenElse(hn::IsNaN(x), x, result);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V ErfOf(D d, V x) {
  const V a = hn::Abs(x);
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(hn::Set(d, 0.3275911f), a, hn::Set(d, 1.0f)));
  V p = hn::Set(d, 1.061405429f);
  p = hn::MulAdd(p, t, hn::Set(d, -1.453152027f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592f));
  const V e = hn::Exp(d, hn::Neg(hn::Min(hn::Mul(a, a), hn::Set(d, 87.0f))));
  return hn::CopySign(hn::NegMulAdd(hn::Mul(p, t), e, hn::Set(d, 1.0f)), x);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluOf(D d, V x) {
  const V half = hn::Mul(hn::Set(d, 0.5f), x);
  return hn::MulAdd(half, ErfOf(d, hn::Mul(x, hn::Set(d, 0.70710678f))), half);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V TanhOf(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluTanhOf(D d, V x) {
  const V cube = hn::Mul(hn::Mul(x, x), x);
  const V inner = hn::Mul(hn::Set(d, 0.79788456f), hn::MulAdd(hn::Set(d, 0.044715f), cube, x));
  const V half = hn::Mul(hn::Set(d, 0.5f), x);
  return hn::MulAdd(half, TanhOf(d, inner), half);
}

// Derivatives of the two. Beyond 20 they are 0 or 1 to the last bit, and x^3 could overflow.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluSlopeOf(D d, V x) {
  const V bounded = hn::Min(hn::Max(x, hn::Set(d, -20.0f)), hn::Set(d, 20.0f));
  const V half = hn::Set(d, 0.5f);
  const V exponent = hn::Min(hn::Mul(half, hn::Mul(bounded, bounded)), hn::Set(d, 87.0f));
  const V density = hn::Mul(hn::Set(d, 0.39894228f), hn::Exp(d, hn::Neg(exponent)));
  const V below = hn::MulAdd(half, ErfOf(d, hn::Mul(bounded, hn::Set(d, 0.70710678f))), half);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::MulAdd(bounded, density, below));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluTanhSlopeOf(D d, V x) {
  const V bounded = hn::Min(hn::Max(x, hn::Set(d, -20.0f)), hn::Set(d, 20.0f));
  const V one = hn::Set(d, 1.0f);
  const V half = hn::Set(d, 0.5f);
  const V factor = hn::Set(d, 0.79788456f);
  const V square = hn::Mul(bounded, bounded);
  const V inner = hn::MulAdd(hn::Set(d, 0.044715f), square, one);
  const V t = hn::Tanh(d, hn::Mul(factor, hn::Mul(bounded, inner)));
  const V slope = hn::Mul(factor, hn::MulAdd(hn::Set(d, 0.134145f), square, one));
  const V rest = hn::Mul(hn::Mul(half, bounded), hn::Mul(hn::NegMulAdd(t, t, one), slope));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Add(hn::MulAdd(half, t, half), rest));
}

// To [0, 1]; NaN stays.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Clip01(D d, V x) {
  const V bounded = hn::Min(hn::Max(x, hn::Zero(d)), hn::Set(d, 1.0f));
  return hn::IfThenElse(hn::IsNaN(x), x, bounded);
}

// epilogue(x); `y` is looked at by kReluGradient alone.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Activate(D d, const Epilogue& epilogue, V x, V y) {
  switch (epilogue.kind) {
    case Epilogue::Kind::kNone:
      return x;
    case Epilogue::Kind::kRelu:
      // Written so that NaN passes through.
      return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);
    case Epilogue::Kind::kLeakyRelu:
      return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(x, hn::Set(d, epilogue.alpha)), x);
    case Epilogue::Kind::kElu:
      return hn::IfThenElse(
          hn::Lt(x, hn::Zero(d)),
          hn::Mul(hn::Set(d, epilogue.alpha), hn::Expm1(d, hn::Max(x, hn::Set(d, -87.0f)))), x);
    case Epilogue::Kind::kSigmoid:
      return SigmoidOf(d, x);
    case Epilogue::Kind::kTanh:
      return TanhOf(d, x);
    case Epilogue::Kind::kGelu:
      return GeluOf(d, x);
    case Epilogue::Kind::kGeluTanh:
      return GeluTanhOf(d, x);
    case Epilogue::Kind::kReluGradient:
      return hn::IfThenElseZero(hn::Gt(y, hn::Zero(d)), x);
    case Epilogue::Kind::kClip: {
      const V bounded = hn::Min(hn::Max(x, hn::Set(d, epilogue.alpha)), hn::Set(d, epilogue.beta));
      return hn::IfThenElse(hn::IsNaN(x), x, bounded);
    }
    case Epilogue::Kind::kSilu:
      return hn::Mul(x, SigmoidOf(d, x));
    case Epilogue::Kind::kHardSwish:
      return hn::Mul(x, Clip01(d, hn::MulAdd(x, hn::Set(d, 1.0f / 6), hn::Set(d, 0.5f))));
    case Epilogue::Kind::kHardSigmoid:
      return Clip01(d, hn::MulAdd(x, hn::Set(d, epilogue.alpha), hn::Set(d, epilogue.beta)));
  }
  return x;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
