// Blocks of elementwise maths, softmax and sums, compiled for every instruction set.
#include "backends/cpu/vector_ops.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/vector_ops.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/activation-inl.h"
#include "backends/cpu/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

using Tag = hn::ScalableTag<float>;
using Vector = hn::Vec<Tag>;

template <VectorOp kOp>
HWY_INLINE Vector Compute(Tag d, Vector a, Vector b, Vector alpha) {
  const Vector zero = hn::Zero(d);
  const Vector one = hn::Set(d, 1.0f);
  const float scalar_alpha = hn::GetLane(alpha);
  switch (kOp) {
    case VectorOp::kAdd:
      return hn::Add(a, b);
    case VectorOp::kSub:
      return hn::Sub(a, b);
    case VectorOp::kMul:
      return hn::Mul(a, b);
    case VectorOp::kDiv:
      return hn::Div(a, b);
    case VectorOp::kMax:  // NaN of either side passes through
      return hn::IfThenElse(hn::Or(hn::IsNaN(b), hn::Lt(a, b)), hn::IfThenElse(hn::IsNaN(a), a, b),
                            a);
    case VectorOp::kMin:
      return hn::IfThenElse(hn::Or(hn::IsNaN(b), hn::Lt(b, a)), hn::IfThenElse(hn::IsNaN(a), a, b),
                            a);
    case VectorOp::kNeg:
      return hn::Neg(a);
    case VectorOp::kAbs:
      return hn::Abs(a);
    case VectorOp::kExp: {
      // The polynomial is exact within 1 ulp in range; beyond it the ends are fixed by hand.
      const Vector e = hn::Exp(d, hn::Min(hn::Max(a, hn::Set(d, -104.0f)), hn::Set(d, 88.72283f)));
      const Vector high =
          hn::IfThenElse(hn::Gt(a, hn::Set(d, 88.72283f)), hn::Set(d, HUGE_VALF), e);
      return hn::IfThenElse(hn::IsNaN(a), a, high);
    }
    case VectorOp::kLog: {
      const Vector result = hn::Log(d, a);  // of numbers above 0, denormal ones too
      const Vector at_zero = hn::IfThenElse(hn::Eq(a, zero), hn::Set(d, -HUGE_VALF), result);
      const Vector below = hn::IfThenElse(hn::Lt(a, zero), hn::NaN(d), at_zero);
      const Vector high = hn::IfThenElse(hn::Eq(a, hn::Set(d, HUGE_VALF)), a, below);
      return hn::IfThenElse(hn::IsNaN(a), a, high);
    }
    case VectorOp::kSqrt:
      return hn::Sqrt(a);
    case VectorOp::kReciprocal:
      return hn::Div(one, a);
    case VectorOp::kIdentity:
      return a;
    case VectorOp::kRelu:
      return hn::IfThenElse(hn::Lt(a, zero), zero, a);
    case VectorOp::kLeakyRelu:
      return hn::IfThenElse(hn::Lt(a, zero), hn::Mul(a, alpha), a);
    case VectorOp::kElu:
      return Activate(d, Epilogue{Epilogue::Kind::kElu, scalar_alpha}, a, a);
    case VectorOp::kSigmoid:
      return SigmoidOf(d, a);
    case VectorOp::kTanh:
      return TanhOf(d, a);
    case VectorOp::kErf:
      return hn::IfThenElse(hn::IsNaN(a), a, ErfOf(d, a));
    case VectorOp::kHardSwish:
      return Activate(d, Epilogue{Epilogue::Kind::kHardSwish}, a, a);
    case VectorOp::kGelu:
      return GeluOf(d, a);
    case VectorOp::kGeluTanh:
      return GeluTanhOf(d, a);
    case VectorOp::kRoundToBf16:
      return RoundToBf16(d, a);
    case VectorOp::kRoundToF16:
      return RoundToF16(d, a);
    case VectorOp::kReluGradient:
      return hn::IfThenElseZero(hn::Gt(b, zero), a);
    case VectorOp::kLeakyReluGradient:
      return hn::IfThenElse(hn::Lt(b, zero), hn::Mul(a, alpha), a);
    case VectorOp::kEluGradient:
      return hn::IfThenElse(hn::Lt(b, zero), hn::Mul(a, hn::Add(b, alpha)), a);
    case VectorOp::kSigmoidGradient:
      return hn::Mul(a, hn::Mul(b, hn::Sub(one, b)));
    case VectorOp::kTanhGradient:
      return hn::Mul(a, hn::NegMulAdd(b, b, one));
    case VectorOp::kGeluGradient:
      return hn::Mul(a, GeluSlopeOf(d, b));
    case VectorOp::kGeluTanhGradient:
      return hn::Mul(a, GeluTanhSlopeOf(d, b));
    case VectorOp::kAtLeast:
      return hn::IfThenElse(hn::Lt(a, b), b, a);
    case VectorOp::kAtMost:
      return hn::IfThenElse(hn::Gt(a, b), b, a);
    case VectorOp::kIsAtLeast:
      return hn::IfThenElse(hn::Lt(a, b), zero, one);
    case VectorOp::kIsAtMost:
      return hn::IfThenElse(hn::Gt(a, b), zero, one);
    case VectorOp::kKeepWhere:
      return hn::IfThenElse(hn::Eq(b, zero), zero, a);
    case VectorOp::kKeepAtLeast:
      return hn::IfThenElse(hn::Lt(b, alpha), zero, a);
    case VectorOp::kKeepAtMost:
      return hn::IfThenElse(hn::Gt(b, alpha), zero, a);
  }
  return a;
}

constexpr bool IsUnary(VectorOp op) {
  return op >= VectorOp::kNeg && op <= VectorOp::kRoundToF16;
}

template <VectorOp kOp>
void Loop(float alpha, const float* a, const float* b, float* out, size_t count) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const Vector alphas = hn::Set(d, alpha);
  if constexpr (IsUnary(kOp)) b = a;  // which may be null
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(Compute<kOp>(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i), alphas), d, out + i);
  }
  if (i == count) return;
  HWY_ALIGN float left[HWY_MAX_BYTES / sizeof(float)] = {};
  HWY_ALIGN float right[HWY_MAX_BYTES / sizeof(float)] = {};
  for (size_t j = i; j < count; ++j) left[j - i] = a[j];
  for (size_t j = i; j < count; ++j) right[j - i] = b[j];
  hn::Store(Compute<kOp>(d, hn::Load(d, left), hn::Load(d, right), alphas), d, left);
  for (size_t j = i; j < count; ++j) out[j] = left[j - i];
}

void ApplyVectorOpImpl(VectorOp op, float alpha, const float* a, const float* b, float* out,
                       size_t count) {
  switch (op) {
#define INGOT_CASE(NAME) \
  case VectorOp::NAME:   \
    return Loop<VectorOp::NAME>(alpha, a, b, out, count)
    INGOT_CASE(kAdd);
    INGOT_CASE(kSub);
    INGOT_CASE(kMul);
    INGOT_CASE(kDiv);
    INGOT_CASE(kMax);
    INGOT_CASE(kMin);
    INGOT_CASE(kNeg);
    INGOT_CASE(kAbs);
    INGOT_CASE(kExp);
    INGOT_CASE(kLog);
    INGOT_CASE(kSqrt);
    INGOT_CASE(kReciprocal);
    INGOT_CASE(kIdentity);
    INGOT_CASE(kRelu);
    INGOT_CASE(kLeakyRelu);
    INGOT_CASE(kElu);
    INGOT_CASE(kSigmoid);
    INGOT_CASE(kTanh);
    INGOT_CASE(kErf);
    INGOT_CASE(kHardSwish);
    INGOT_CASE(kGelu);
    INGOT_CASE(kGeluTanh);
    INGOT_CASE(kRoundToBf16);
    INGOT_CASE(kRoundToF16);
    INGOT_CASE(kReluGradient);
    INGOT_CASE(kLeakyReluGradient);
    INGOT_CASE(kEluGradient);
    INGOT_CASE(kSigmoidGradient);
    INGOT_CASE(kTanhGradient);
    INGOT_CASE(kGeluGradient);
    INGOT_CASE(kGeluTanhGradient);
    INGOT_CASE(kAtLeast);
    INGOT_CASE(kAtMost);
    INGOT_CASE(kIsAtLeast);
    INGOT_CASE(kIsAtMost);
    INGOT_CASE(kKeepWhere);
    INGOT_CASE(kKeepAtLeast);
    INGOT_CASE(kKeepAtMost);
#undef INGOT_CASE
  }
}

void SoftmaxRowsImpl(const float* x, size_t rows, size_t columns, float* p, float* log_sum) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const size_t whole = columns / lanes * lanes;
  HWY_ALIGN float edge[HWY_MAX_BYTES / sizeof(float)];
  for (size_t r = 0; r < rows; ++r, x += columns, p += columns) {
    // The last, partial vector is padded with -inf, whose exponential is 0.
    Vector tail = hn::Set(d, -HUGE_VALF);
    if (whole < columns) {
      for (size_t i = 0; i < lanes; ++i) {
        edge[i] = whole + i < columns ? x[whole + i] : -HUGE_VALF;
      }
      tail = hn::Load(d, edge);
    }
    Vector most = tail;
    for (size_t i = 0; i < whole; i += lanes) most = hn::Max(most, hn::LoadU(d, x + i));
    const Vector max = hn::MaxOfLanes(d, most);
    Vector sums = hn::Zero(d);
    for (size_t i = 0; i < whole; i += lanes) {
      const Vector e = Compute<VectorOp::kExp>(d, hn::Sub(hn::LoadU(d, x + i), max), max, max);
      hn::StoreU(e, d, p + i);
      sums = hn::Add(sums, e);
    }
    if (whole < columns) {
      tail = hn::IfThenZeroElse(hn::Eq(tail, hn::Set(d, -HUGE_VALF)),
                                Compute<VectorOp::kExp>(d, hn::Sub(tail, max), max, max));
      sums = hn::Add(sums, tail);
    }
    const Vector sum = hn::SumOfLanes(d, sums);
    for (size_t i = 0; i < whole; i += lanes) {
      hn::StoreU(hn::Div(hn::LoadU(d, p + i), sum), d, p + i);
    }
    if (whole < columns) {
      hn::Store(hn::Div(tail, sum), d, edge);
      for (size_t i = whole; i < columns; ++i) p[i] = edge[i - whole];
    }
    if (log_sum != nullptr) log_sum[r] = hn::GetLane(max) + std::log(hn::GetLane(sum));
  }
}

void SumColumnsImpl(const float* x, size_t rows, size_t columns, float* out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= columns; j += lanes) {
    Vector sum = hn::Zero(d);
    for (size_t r = 0; r < rows; ++r) sum = hn::Add(sum, hn::LoadU(d, x + r * columns + j));
    hn::StoreU(sum, d, out + j);
  }
  for (; j < columns; ++j) {
    float sum = 0;
    for (size_t r = 0; r < rows; ++r) sum += x[r * columns + j];
    out[j] = sum;
  }
}

void SumRowsImpl(const float* x, size_t rows, size_t columns, float* out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  for (size_t r = 0; r < rows; ++r, x += columns) {
    Vector sum = hn::Zero(d);
    size_t j = 0;
    for (; j + lanes <= columns; j += lanes) sum = hn::Add(sum, hn::LoadU(d, x + j));
    float total = hn::GetLane(hn::SumOfLanes(d, sum));
    for (; j < columns; ++j) total += x[j];
    out[r] = total;
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {

HWY_EXPORT(ApplyVectorOpImpl);
HWY_EXPORT(SoftmaxRowsImpl);
HWY_EXPORT(SumColumnsImpl);
HWY_EXPORT(SumRowsImpl);

void ApplyVectorOp(VectorOp op, float alpha, const float* a, const float* b, float* out,
                   size_t count) {
  HWY_DYNAMIC_DISPATCH(ApplyVectorOpImpl)(op, alpha, a, b, out, count);
}
void SoftmaxRows(const float* x, size_t rows, size_t columns, float* p, float* log_sum) {
  HWY_DYNAMIC_DISPATCH(SoftmaxRowsImpl)(x, rows, columns, p, log_sum);
}
void SumColumns(const float* x, size_t rows, size_t columns, float* out) {
  HWY_DYNAMIC_DISPATCH(SumColumnsImpl)(x, rows, columns, out);
}
void SumRows(const float* x, size_t rows, size_t columns, float* out) {
  HWY_DYNAMIC_DISPATCH(SumRowsImpl)(x, rows, columns, out);
}

}  // namespace ingot::cpu
#endif
