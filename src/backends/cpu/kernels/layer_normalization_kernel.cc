// LayerNormalization, RMSNormalization and their gradients of f32.
#include <algorithm>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/normalization.h"
#include "ingot/ir/op.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

class NormalizationKernel : public runtime::SharedKernel {
 public:
  NormalizationKernel(const RowNormalization& rows, size_t inputs, size_t outputs)
      : rows_(rows), inputs_(inputs), outputs_(outputs) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    RunRows(operands, 0, rows_.rows);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    const size_t pieces = std::min(rows_.rows, team.threads() * 2);
    if (team.threads() == 1 || rows_.rows * rows_.length < (size_t{1} << 15)) {
      return Run(operands, scratch);
    }
    team.ForEach(pieces, [&](size_t i, size_t) {
      RunRows(operands, rows_.rows * i / pieces, rows_.rows * (i + 1) / pieces);
    });
  }
  std::string name() const override {
    return rows_.centred ? "layer_normalization_f32" : "rms_normalization_f32";
  }

 private:
  void RunRows(std::span<void* const> operands, size_t begin, size_t end) const {
    // Y, and one number a row of the statistics.
    const auto out = [&](size_t i, size_t width) {
      float* first = i < outputs_ ? static_cast<float*>(operands[inputs_ + i]) : nullptr;
      return first == nullptr ? nullptr : first + begin * width;
    };
    RowNormalization rows = rows_;
    rows.rows = end - begin;
    rows.x = static_cast<const float*>(operands[0]) + begin * rows.length;
    rows.scale = static_cast<const float*>(operands[1]);
    const auto* bias = inputs_ > 2 ? static_cast<const float*>(operands[2]) : nullptr;
    NormalizeRows(rows, bias, out(0, rows.length), out(1, 1), out(2, 1));
  }

  RowNormalization rows_;
  size_t inputs_;
  size_t outputs_;
};

class NormalizationGradientKernel : public runtime::Kernel {
 public:
  NormalizationGradientKernel(const RowNormalization& rows, size_t inputs)
      : rows_(rows), inputs_(inputs) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    RowNormalization rows = rows_;
    rows.x = static_cast<const float*>(operands[1]);
    rows.scale = static_cast<const float*>(operands[2]);
    const auto out = [&](size_t i) { return static_cast<float*>(operands[inputs_ + i]); };
    NormalizeRowsGradient(rows, static_cast<const float*>(operands[0]), out(0), out(1),
                          rows_.centred ? out(2) : nullptr);
  }
  std::string name() const override {
    return rows_.centred ? "layer_normalization_gradient_f32" : "rms_normalization_gradient_f32";
  }

 private:
  RowNormalization rows_;
  size_t inputs_;
};

}  // namespace

KernelPointer MakeLayerNormalizationKernel(const ir::Node& node) {
  const bool gradient = node.domain() == "ingot";
  // Gradients of the statistics are left to the reference.
  if (gradient && (node.input(3) != nullptr || node.input(4) != nullptr)) return nullptr;
  for (const ir::Value* input : node.inputs()) {
    if (input == nullptr) continue;
    if (!input->type().is_static() || input->type().dtype() != DType::kF32) return nullptr;
  }
  const Shape shape = node.input(gradient ? 1 : 0)->type().shape();
  const int axis = NormalizeAxis(node.GetInt("axis"), shape.rank());
  RowNormalization rows;
  rows.rows = rows.length = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    (i < axis ? rows.rows : rows.length) *= static_cast<size_t>(shape[i]);
  }
  rows.epsilon = static_cast<float>(node.GetFloat("epsilon"));
  rows.centred = node.op_type().rfind("RMS", 0) != 0;
  if (gradient) return std::make_shared<NormalizationGradientKernel>(rows, node.inputs().size());
  return std::make_shared<NormalizationKernel>(rows, node.inputs().size(), node.outputs().size());
}

}  // namespace ingot::cpu
