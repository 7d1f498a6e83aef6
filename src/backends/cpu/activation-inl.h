// Activations of a vector of f32, for epilogues and elementwise kernels. Included once for each
// instruction set. Errors against the exact functions: exp, log as hwy/contrib/math states (at
// most 4 ulp); tanh 6 ulp; erf 1.5e-7 absolute (Abramowitz and Stegun 7.1.26).
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

// x P(x^2) / Q(x^2), fitted for the least relative error up to 9, where tanh is 1: 2e-8 besides
// rounding.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V BoundedTanh(D d, V x) {
  const V bounded = hn::Min(hn::Max(x, hn::Set(d, -9.0f)), hn::Set(d, 9.0f));
  const V z = hn::Mul(bounded, bounded);
  V p = hn::MulAdd(z, hn::Set(d, 1.3354505e-8f), hn::Set(d, 2.0609077e-5f));
  p = hn::MulAdd(p, z, hn::Set(d, 3.4955931e-3f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.3381031e-1f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.0f));
  V q = hn::MulAdd(z, hn::Set(d, 7.7765247e-7f), hn::Set(d, 3.2856391e-4f));
  q = hn::MulAdd(q, z, hn::Set(d, 2.5877008e-2f));
  q = hn::MulAdd(q, z, hn::Set(d, 4.6714348e-1f));
  q = hn::MulAdd(q, z, hn::Set(d, 1.0f));
  const V one = hn::Set(d, 1.0f);
  const V result = hn::Min(hn::Max(hn::Div(hn::Mul(bounded, p), q), hn::Neg(one)), one);
  return hn::IfThenElse(hn::Ge(hn::Abs(x), hn::Set(d, 9.0f)), hn::CopySign(one, x), result);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V TanhOf(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, BoundedTanh(d, x));
}

// e^(-2 y) of the tanh form of GELU, which is x (1 + tanh y) / 2 = x / (1 + e^(-2 y)): written so,
// nothing cancels where tanh is -1.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluTanhExponential(D d, V x) {
  const V square = hn::Mul(x, x);
  const V inner = hn::MulAdd(hn::Set(d, 0.044715f), square, hn::Set(d, 1.0f));
  const V exponent = hn::Mul(hn::Mul(hn::Set(d, -1.59576912f), x), inner);
  return hn::Exp(d, hn::Min(hn::Max(exponent, hn::Set(d, -87.0f)), hn::Set(d, 87.0f)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluTanhOf(D d, V x) {
  const V above = hn::Max(x, hn::Set(d, -20.0f));
  const V e = GeluTanhExponential(d, hn::Min(above, hn::Set(d, 20.0f)));
  const V result = hn::Div(above, hn::Add(hn::Set(d, 1.0f), e));
  // Below, it is 0, but NaN where x is infinite, as in the formula.
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, -20.0f)), result, hn::Mul(x, hn::Zero(d)));
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
  const V e = GeluTanhExponential(d, bounded);
  const V gate = hn::Div(one, hn::Add(one, e));
  const V slope = hn::Mul(hn::Set(d, 1.59576912f),
                          hn::MulAdd(hn::Set(d, 0.134145f), hn::Mul(bounded, bounded), one));
  const V rest = hn::Mul(hn::Mul(bounded, slope), hn::Mul(hn::Mul(e, gate), gate));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Add(gate, rest));
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
      // Written so that NaN and -0 pass through.
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
      return hn::Max(hn::Zero(d), x);  // the second operand where one is NaN, or both are 0
#else
      return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);
#endif
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
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
      return hn::Min(hn::Set(d, epilogue.beta), hn::Max(hn::Set(d, epilogue.alpha), x));
#else
      const V bounded = hn::Min(hn::Max(x, hn::Set(d, epilogue.alpha)), hn::Set(d, epilogue.beta));
      return hn::IfThenElse(hn::IsNaN(x), x, bounded);
#endif
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
