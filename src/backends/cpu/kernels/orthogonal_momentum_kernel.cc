// ingot.OrthogonalMomentum of f32: the products of the iteration run on the kernels for large ones.
#include <algorithm>
#include <cmath>

#include "backends/cpu/blocked_matmul.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/ops/orthogonal_momentum.h"

namespace ingot::cpu {
namespace {

// Floats of a block in scratch, so that the next one begins on a cache line.
size_t Lines(size_t floats) {
  return (floats + 15) / 16 * 16;
}

class OrthogonalMomentumKernel : public runtime::Kernel {
 public:
  OrthogonalMomentumKernel(ops::MatrixSize size, double momentum, bool nesterov)
      : rows_(static_cast<size_t>(size.rows)),
        columns_(static_cast<size_t>(size.columns)),
        m_(std::min(rows_, columns_)),
        n_(std::max(rows_, columns_)),
        scale_(static_cast<float>(ops::MuonScale(size))),
        momentum_(static_cast<float>(momentum)),
        nesterov_(nesterov) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    auto* x = reinterpret_cast<float*>(scratch);
    float* next = x + Lines(m_ * n_);
    float* a = next + Lines(m_ * n_);
    float* b = a + Lines(m_ * m_);
    float* rest = b + Lines(m_ * m_);
    Move(static_cast<const float*>(operands[0]), static_cast<const float*>(operands[1]), x,
         static_cast<float*>(operands[3]));
    Normalise(x);
    for (int i = 0; i < ops::kNewtonSchulzSteps; ++i) {
      Product(x, x, true, m_, m_, n_, a, rest);
      Product(a, a, false, m_, m_, m_, b, rest);
      Combine(ops::kNewtonSchulzB, a, ops::kNewtonSchulzC, b, m_ * m_);
      Product(b, x, false, m_, n_, m_, next, rest);
      Combine(ops::kNewtonSchulzA, x, 1, next, m_ * n_);
      std::swap(x, next);
    }
    auto* d = static_cast<float*>(operands[2]);
    for (size_t i = 0; i < rows_; ++i) {
      for (size_t j = 0; j < columns_; ++j) d[i * columns_ + j] = scale_ * x[At(i, j)];
    }
  }
  size_t scratch_bytes() const override {
    const size_t products =
        std::max({BlockedMatMulScratchFloats(m_, m_, n_), BlockedMatMulScratchFloats(m_, m_, m_),
                  BlockedMatMulScratchFloats(m_, n_, m_)});
    return (2 * Lines(m_ * n_) + 2 * Lines(m_ * m_) + products) * sizeof(float);
  }
  std::string name() const override { return "orthogonal_momentum_f32"; }

 private:
  // Of element [i, j] in the matrix as it is turned.
  size_t At(size_t i, size_t j) const { return rows_ > columns_ ? j * n_ + i : i * n_ + j; }

  void Move(const float* g, const float* before, float* x, float* after) const {
    for (size_t i = 0; i < rows_; ++i) {
      for (size_t j = 0; j < columns_; ++j) {
        const size_t at = i * columns_ + j;
        const float b = before[at] + (1 - momentum_) * (g[at] - before[at]);
        after[at] = b;
        x[At(i, j)] = nesterov_ ? g[at] + momentum_ * (b - g[at]) : b;
      }
    }
  }

  void Normalise(float* x) const {
    double sum = 0;
    for (size_t i = 0; i < m_ * n_; ++i) sum += static_cast<double>(x[i]) * x[i];
    const auto factor = static_cast<float>(1 / (std::sqrt(sum) + ops::kNewtonSchulzEpsilon));
    for (size_t i = 0; i < m_ * n_; ++i) x[i] *= factor;
  }

  // y = s x + t y.
  static void Combine(double s, const float* x, double t, float* y, size_t count) {
    const auto fs = static_cast<float>(s);
    const auto ft = static_cast<float>(t);
    for (size_t i = 0; i < count; ++i) y[i] = fs * x[i] + ft * y[i];
  }

  static void Product(const float* a, const float* b, bool transposed, size_t m, size_t n, size_t k,
                      float* c, float* scratch) {
    MatMulArguments arguments;
    arguments.a = a;
    arguments.a_row_stride = k;
    arguments.b = b;
    arguments.b_stride = transposed ? k : n;
    arguments.b_transposed = transposed;
    arguments.c = c;
    arguments.c_stride = n;
    arguments.m = m;
    arguments.n = n;
    arguments.k = k;
    arguments.scratch = scratch;
    BlockedMatMul(arguments);
  }

  size_t rows_, columns_;
  size_t m_, n_;  // of the matrix as it is turned: no more rows than columns
  float scale_;
  float momentum_;
  bool nesterov_;
};

}  // namespace

KernelPointer MakeOrthogonalMomentumKernel(const ir::Node& node) {
  const ir::Type& type = node.input(0)->type();
  if (!type.is_static() || type.dtype() != DType::kF32 || type.shape().size() == 0) return nullptr;
  if (node.input(1)->type().dtype() != DType::kF32) return nullptr;
  return std::make_shared<OrthogonalMomentumKernel>(ops::MatrixSizeOf(type.shape().dims()),
                                                    node.GetFloat("momentum"),
                                                    node.GetInt("nesterov") != 0);
}

}  // namespace ingot::cpu
