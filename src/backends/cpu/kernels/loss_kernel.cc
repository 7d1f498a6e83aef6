// Softmax cross-entropy with its gradient, and top-k hits, for f32 scores and integer labels.
#include <limits>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/vector_ops.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct Plan {
  size_t rows = 0;
  size_t classes = 0;
  DType label_type = DType::kI64;
};

int64_t LabelAt(const void* labels, DType type, size_t row) {
  switch (type) {
    case DType::kU8:
      return static_cast<const uint8_t*>(labels)[row];
    case DType::kI32:
      return static_cast<const int32_t*>(labels)[row];
    default:
      return static_cast<const int64_t*>(labels)[row];
  }
}

// A label outside the classes gives NaN, which the run reports with its samples.
bool IsClass(int64_t label, const Plan& plan) {
  return label >= 0 && label < static_cast<int64_t>(plan.classes);
}

class CrossEntropyKernel : public runtime::Kernel {
 public:
  explicit CrossEntropyKernel(Plan plan) : plan_(plan) {}

  // logits [N, C], labels [N] -> loss [N], probabilities [N, C]
  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* logits = static_cast<const float*>(operands[0]);
    auto* loss = static_cast<float*>(operands[2]);
    SoftmaxRows(logits, plan_.rows, plan_.classes, static_cast<float*>(operands[3]), loss);
    for (size_t row = 0; row < plan_.rows; ++row) {
      const int64_t label = LabelAt(operands[1], plan_.label_type, row);
      loss[row] -= IsClass(label, plan_) ? logits[row * plan_.classes + static_cast<size_t>(label)]
                                         : std::numeric_limits<float>::quiet_NaN();
    }
  }
  std::string name() const override { return "softmax_cross_entropy_f32"; }

 private:
  Plan plan_;
};

class CrossEntropyGradientKernel : public runtime::Kernel {
 public:
  explicit CrossEntropyGradientKernel(Plan plan) : plan_(plan) {}

  // dloss [N], probabilities [N, C], labels [N] -> [N, C]: (p - onehot) * dloss
  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* weight = static_cast<const float*>(operands[0]);
    const auto* p = static_cast<const float*>(operands[1]);
    auto* out = static_cast<float*>(operands[3]);
    for (size_t row = 0; row < plan_.rows; ++row) {
      const int64_t label = LabelAt(operands[2], plan_.label_type, row);
      for (size_t i = 0; i < plan_.classes; ++i) out[i] = p[i] * weight[row];
      if (IsClass(label, plan_)) {
        out[label] = (p[label] - 1.0f) * weight[row];
      } else {
        out[0] = std::numeric_limits<float>::quiet_NaN();
      }
      p += plan_.classes;
      out += plan_.classes;
    }
  }
  std::string name() const override { return "softmax_cross_entropy_gradient_f32"; }

 private:
  Plan plan_;
};

class TopKHitsKernel : public runtime::Kernel {
 public:
  TopKHitsKernel(Plan plan, int64_t k) : plan_(plan), k_(k) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* scores = static_cast<const float*>(operands[0]);
    auto* hits = static_cast<float*>(operands[2]);
    for (size_t row = 0; row < plan_.rows; ++row, scores += plan_.classes) {
      const int64_t label = LabelAt(operands[1], plan_.label_type, row);
      hits[row] = 0;
      if (!IsClass(label, plan_)) continue;
      const auto index = static_cast<size_t>(label);
      int64_t before = 0;
      // As the op defines it: NaN counts as the largest score, and as the smallest of a label.
      for (size_t i = 0; i < plan_.classes; ++i) {
        if (i == index) continue;
        before += !(scores[i] < scores[index] || (scores[i] == scores[index] && i > index));
      }
      hits[row] = before < k_ ? 1.0f : 0.0f;
    }
  }
  std::string name() const override { return "top_k_hits_f32"; }

 private:
  Plan plan_;
  int64_t k_;
};

bool MakePlan(const ir::Value* scores, const ir::Value* labels, Plan& plan) {
  if (!scores->type().is_static() || scores->type().dtype() != DType::kF32 ||
      scores->type().rank() != 2 || !labels->type().is_static() || labels->type().rank() != 1) {
    return false;
  }
  const DType type = labels->type().dtype();
  if (type != DType::kU8 && type != DType::kI32 && type != DType::kI64) return false;
  plan.rows = static_cast<size_t>(scores->type().shape()[0]);
  plan.classes = static_cast<size_t>(scores->type().shape()[1]);
  plan.label_type = type;
  return true;
}

}  // namespace

KernelPointer MakeLossKernel(const ir::Node& node) {
  Plan plan;
  const bool gradient = node.op_type() == "SoftmaxCrossEntropyGradient";
  if (!MakePlan(node.input(gradient ? 1 : 0), node.input(gradient ? 2 : 1), plan)) return nullptr;
  if (node.op_type() == "TopKHits") {
    return std::make_shared<TopKHitsKernel>(plan, node.GetInt("k"));
  }
  if (node.GetFloat("label_smoothing") != 0) return nullptr;
  if (gradient) return std::make_shared<CrossEntropyGradientKernel>(plan);
  return std::make_shared<CrossEntropyKernel>(plan);
}

}  // namespace ingot::cpu
