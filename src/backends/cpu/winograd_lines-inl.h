// The transforms of Winograd's F(4x4, 3x3) along one axis, on vectors of channels, and their
// transposes, which the gradient of the weights needs. Included once for each instruction set.
#if defined(INGOT_BACKENDS_CPU_WINOGRAD_LINES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BACKENDS_CPU_WINOGRAD_LINES_INL_H_
#undef INGOT_BACKENDS_CPU_WINOGRAD_LINES_INL_H_
#else
#define INGOT_BACKENDS_CPU_WINOGRAD_LINES_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using WTag = hn::ScalableTag<float>;
using WVector = hn::Vec<WTag>;

// One column of B^T d: six from six.
HWY_INLINE void InputLine(WTag d, const WVector (&in)[6], WVector (&out)[6]) {
  const WVector four = hn::Set(d, 4.0f), two = hn::Set(d, 2.0f), five = hn::Set(d, 5.0f);
  const WVector even = hn::NegMulAdd(four, in[2], in[4]);  // d4 - 4 d2
  const WVector odd = hn::NegMulAdd(four, in[1], in[3]);   // d3 - 4 d1
  const WVector even2 = hn::Sub(in[4], in[2]);
  const WVector odd2 = hn::Mul(two, hn::Sub(in[3], in[1]));
  out[0] = hn::MulAdd(four, in[0], hn::NegMulAdd(five, in[2], in[4]));
  out[1] = hn::Add(even, odd);
  out[2] = hn::Sub(even, odd);
  out[3] = hn::Add(even2, odd2);
  out[4] = hn::Sub(even2, odd2);
  out[5] = hn::MulAdd(four, in[1], hn::NegMulAdd(five, in[3], in[5]));
}

// One column of A^T m: four from six.
HWY_INLINE void OutputLine(WTag d, const WVector (&in)[6], WVector (&out)[4]) {
  const WVector sum12 = hn::Add(in[1], in[2]), sub12 = hn::Sub(in[1], in[2]);
  const WVector sum34 = hn::Add(in[3], in[4]), sub34 = hn::Sub(in[3], in[4]);
  out[0] = hn::Add(hn::Add(in[0], sum12), sum34);
  out[1] = hn::MulAdd(hn::Set(d, 2.0f), sub34, sub12);
  out[2] = hn::MulAdd(hn::Set(d, 4.0f), sum34, sum12);
  out[3] = hn::Add(hn::MulAdd(hn::Set(d, 8.0f), sub34, sub12), in[5]);
}

// One column of G g: six from three.
HWY_INLINE void FilterLine(WTag d, const WVector (&in)[3], WVector (&out)[6]) {
  const WVector sixth = hn::Set(d, 1.0f / 6), twelfth = hn::Set(d, 1.0f / 12);
  const WVector outer = hn::Add(in[0], in[2]);
  const WVector wide = hn::MulAdd(hn::Set(d, 4.0f), in[2], in[0]);  // g0 + 4 g2
  out[0] = hn::Mul(hn::Set(d, 0.25f), in[0]);
  out[1] = hn::Neg(hn::Mul(sixth, hn::Add(outer, in[1])));
  out[2] = hn::Mul(sixth, hn::Sub(in[1], outer));
  const WVector half = hn::Mul(hn::Set(d, 1.0f / 24), wide);
  out[3] = hn::MulAdd(twelfth, in[1], half);
  out[4] = hn::NegMulAdd(twelfth, in[1], half);
  out[5] = in[2];
}

// One column of A d, the transpose of OutputLine: six from four.
HWY_INLINE void OutputGradientLine(WTag d, const WVector (&in)[4], WVector (&out)[6]) {
  const WVector even = hn::Add(in[0], in[2]), odd = hn::Add(in[1], in[3]);
  const WVector even2 = hn::MulAdd(hn::Set(d, 4.0f), in[2], in[0]);  // d0 + 4 d2
  const WVector odd2 =
      hn::MulAdd(hn::Set(d, 8.0f), in[3], hn::Mul(hn::Set(d, 2.0f), in[1]));  // 2 d1 + 8 d3
  out[0] = in[0];
  out[1] = hn::Add(even, odd);
  out[2] = hn::Sub(even, odd);
  out[3] = hn::Add(even2, odd2);
  out[4] = hn::Sub(even2, odd2);
  out[5] = in[3];
}

// One column of G^T m, the transpose of FilterLine: three from six.
HWY_INLINE void FilterGradientLine(WTag d, const WVector (&in)[6], WVector (&out)[3]) {
  const WVector sixth = hn::Set(d, 1.0f / 6);
  const WVector near = hn::Mul(sixth, hn::Add(in[1], in[2]));
  const WVector far = hn::Add(in[3], in[4]);
  out[0] = hn::MulAdd(hn::Set(d, 1.0f / 24), far, hn::MulSub(hn::Set(d, 0.25f), in[0], near));
  out[1] = hn::MulAdd(hn::Set(d, 1.0f / 12), hn::Sub(in[3], in[4]),
                      hn::Mul(sixth, hn::Sub(in[2], in[1])));
  out[2] = hn::Add(hn::MulSub(sixth, far, near), in[5]);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
