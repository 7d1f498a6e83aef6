// Softmax and LogSoftmax of f32 over the last axis.
#include <algorithm>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/vector_ops.h"
#include "ingot/ir/op.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

class SoftmaxKernel : public runtime::SharedKernel {
 public:
  SoftmaxKernel(size_t rows, size_t columns, bool logarithm)
      : rows_(rows), columns_(columns), logarithm_(logarithm) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto* x = static_cast<const float*>(operands[0]);
    auto* y = static_cast<float*>(operands[1]);
    if (!logarithm_) {
      SoftmaxRows(x, rows_, columns_, y, nullptr);
      return;
    }
    // The probabilities go to scratch, so that y may be x.
    auto* p = reinterpret_cast<float*>(scratch);
    for (size_t r = 0; r < rows_; ++r) {
      float log_sum = 0;
      SoftmaxRows(x + r * columns_, 1, columns_, p, &log_sum);
      for (size_t i = 0; i < columns_; ++i) y[r * columns_ + i] = x[r * columns_ + i] - log_sum;
    }
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    if (team.threads() == 1 || logarithm_ || rows_ * columns_ < (size_t{1} << 14)) {
      return Run(operands, scratch);
    }
    const auto* x = static_cast<const float*>(operands[0]);
    auto* y = static_cast<float*>(operands[1]);
    const size_t pieces = std::min(rows_, team.threads() * 4);
    team.ForEach(pieces, [&](size_t i, size_t) {
      const size_t begin = rows_ * i / pieces, end = rows_ * (i + 1) / pieces;
      SoftmaxRows(x + begin * columns_, end - begin, columns_, y + begin * columns_, nullptr);
    });
  }
  size_t scratch_bytes() const override { return logarithm_ ? columns_ * sizeof(float) : 0; }
  std::string name() const override { return logarithm_ ? "log_softmax_f32" : "softmax_f32"; }

 private:
  size_t rows_;
  size_t columns_;
  bool logarithm_;
};

}  // namespace

KernelPointer MakeSoftmaxKernel(const ir::Node& node) {
  const ir::Type& type = node.input(0)->type();
  if (!type.is_static() || type.dtype() != DType::kF32 || type.rank() == 0) return nullptr;
  const Shape shape = type.shape();
  if (NormalizeAxis(node.GetInt("axis"), shape.rank()) != shape.rank() - 1) return nullptr;
  const auto columns = static_cast<size_t>(shape[shape.rank() - 1]);
  if (columns == 0) return nullptr;
  return std::make_shared<SoftmaxKernel>(static_cast<size_t>(shape.size()) / columns, columns,
                                         node.op_type() == "LogSoftmax");
}

}  // namespace ingot::cpu
