// Elementwise maths on blocks of f32, the pieces that elementwise kernels chain together.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::cpu {

enum class VectorOp : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kNeg,
  kAbs,
  kExp,
  kLog,
  kSqrt,
  kReciprocal,
  kIdentity,
  kRelu,
  kLeakyRelu,
  kElu,
  kSigmoid,
  kTanh,
  kErf,
  kHardSwish,
  kGelu,
  kGeluTanh,
  kRoundToBf16,
  kRoundToF16,
  kReluGradient,
  kLeakyReluGradient,
  kEluGradient,
  kSigmoidGradient,
  kTanhGradient,
  kGeluGradient,
  kGeluTanhGradient,
  // a held at b or above, or at b or below; 1 where it is there by itself, else 0; a where b is not
  // 0.
  kAtLeast,
  kAtMost,
  kIsAtLeast,
  kIsAtMost,
  kKeepWhere,
  // a where b is at least alpha, or at most; else 0.
  kKeepAtLeast,
  kKeepAtMost,
};

// out[i] = op(a[i], b[i]) for i < count; `b` is not read by unary ops; out may be a or b.
void ApplyVectorOp(VectorOp op, float alpha, const float* a, const float* b, float* out,
                   size_t count);

// Softmax of each row: p = exp(x - max) / sum, and, where `log_sum` is not null,
// log_sum[row] = max + log(sum). p may be x.
void SoftmaxRows(const float* x, size_t rows, size_t columns, float* p, float* log_sum);

// out[j] = (add ? out[j] : 0) + sum over rows, downwards, of x[row, j].
void SumColumns(const float* x, size_t rows, size_t columns, float* out);
// out[row] = the sum of x[row, :], in a fixed order that depends on the instruction set.
void SumRows(const float* x, size_t rows, size_t columns, float* out);

}  // namespace ingot::cpu
