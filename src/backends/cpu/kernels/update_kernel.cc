// ingot.Adam and ingot.Sgd as update kernels: f32 vectorised, f64 in plain loops.
#include <cmath>

#include "backends/cpu/kernel_table.h"
#include "backends/cpu/optimizer.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

double ScalarAt(const void* at, DType dtype) {
  double value = 0;
  ConvertElements(at, dtype, &value, DType::kF64, 1);
  return value;
}

// Operands: w, g, learning_rate, step, m, v, w', m', v'.
class Adam : public runtime::UpdateKernel {
 public:
  explicit Adam(const ir::Node& node)
      : dtype_(node.input(0)->type().dtype()),
        rate_type_(node.input(2)->type().dtype()),
        beta1_(node.GetFloat("beta1")),
        beta2_(node.GetFloat("beta2")),
        epsilon_(node.GetFloat("epsilon")),
        weight_decay_(node.GetFloat("weight_decay")),
        decoupled_(node.GetInt("decoupled") != 0) {}

  size_t derived_count() const override { return 3; }
  void Derive(std::span<void* const> operands, double* derived) const override {
    const double rate = ScalarAt(operands[2], rate_type_);
    const auto step = static_cast<double>(*static_cast<const int64_t*>(operands[3]));
    derived[0] = rate / (1 - std::pow(beta1_, step));
    derived[1] = std::sqrt(1 - std::pow(beta2_, step));
    derived[2] = decoupled_ ? 1 - rate * weight_decay_ : 1;
  }

  bool Run(std::span<void* const> operands, const double* derived, int64_t count) const override {
    return dtype_ == DType::kF64 ? RunDouble(operands, derived, count)
                                 : RunFloat(operands, derived, count);
  }
  std::string name() const override { return "adam_" + std::string(Name(dtype_)); }

 private:
  bool RunFloat(std::span<void* const> o, const double* derived, int64_t count) const {
    const AdamRange range = {
        static_cast<const float*>(o[0]), static_cast<const float*>(o[1]),
        static_cast<const float*>(o[4]), static_cast<const float*>(o[5]),
        static_cast<float*>(o[6]),       static_cast<float*>(o[7]),
        static_cast<float*>(o[8]),       static_cast<size_t>(count)};
    AdamNumbers n;
    n.beta1 = static_cast<float>(beta1_);
    n.beta2 = static_cast<float>(beta2_);
    n.epsilon = static_cast<float>(epsilon_);
    n.one_minus_beta1 = static_cast<float>(1 - beta1_);
    n.one_minus_beta2 = static_cast<float>(1 - beta2_);
    n.step_size = static_cast<float>(derived[0]);
    n.inverse_root = static_cast<float>(1 / derived[1]);
    n.keep = static_cast<float>(derived[2]);
    n.gradient_decay = decoupled_ ? 0.0f : static_cast<float>(weight_decay_);
    return AdamUpdate(range, n);
  }

  bool RunDouble(std::span<void* const> o, const double* derived, int64_t count) const {
    const auto* w = static_cast<const double*>(o[0]);
    const auto* gradient = static_cast<const double*>(o[1]);
    const auto* m = static_cast<const double*>(o[4]);
    const auto* v = static_cast<const double*>(o[5]);
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) {
      double g = gradient[i];
      finite = finite && std::isfinite(g);
      if (!decoupled_) g += weight_decay_ * w[i];
      const double new_m = m[i] + (1 - beta1_) * (g - m[i]);
      const double new_v = v[i] * beta2_ + (1 - beta2_) * g * g;
      const double root = std::sqrt(new_v) / derived[1] + epsilon_;
      static_cast<double*>(o[6])[i] = w[i] * derived[2] - derived[0] * (new_m / root);
      static_cast<double*>(o[7])[i] = new_m;
      static_cast<double*>(o[8])[i] = new_v;
    }
    return finite;
  }

  DType dtype_;
  DType rate_type_;
  double beta1_, beta2_, epsilon_, weight_decay_;
  bool decoupled_;
};

// Operands: w, g, learning_rate, [momentum], w', [momentum'].
class Sgd : public runtime::UpdateKernel {
 public:
  explicit Sgd(const ir::Node& node)
      : dtype_(node.input(0)->type().dtype()),
        rate_type_(node.input(2)->type().dtype()),
        inputs_(node.inputs().size()),
        outputs_(node.outputs().size()),
        momentum_(node.GetFloat("momentum")),
        weight_decay_(node.GetFloat("weight_decay")),
        nesterov_(node.GetInt("nesterov") != 0),
        has_momentum_(node.input(3) != nullptr) {}

  bool Run(std::span<void* const> o, const double* /*derived*/, int64_t count) const override {
    const double rate = ScalarAt(o[2], rate_type_);
    void* buffer = has_momentum_ ? o[3] : nullptr;
    void* new_buffer = has_momentum_ && outputs_ > 1 ? o[inputs_ + 1] : nullptr;
    if (dtype_ == DType::kF64) return RunDouble(o, buffer, new_buffer, rate, count);
    const SgdRange range = {static_cast<const float*>(o[0]), static_cast<const float*>(o[1]),
                            static_cast<const float*>(buffer), static_cast<float*>(o[inputs_]),
                            static_cast<float*>(new_buffer), static_cast<size_t>(count)};
    return SgdUpdate(range, static_cast<float>(rate), static_cast<float>(momentum_),
                     static_cast<float>(weight_decay_), nesterov_);
  }
  std::string name() const override { return "sgd_" + std::string(Name(dtype_)); }

 private:
  bool RunDouble(std::span<void* const> o, void* buffer, void* new_buffer, double rate,
                 int64_t count) const {
    const auto* w = static_cast<const double*>(o[0]);
    const auto* gradient = static_cast<const double*>(o[1]);
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) {
      double g = gradient[i];
      finite = finite && std::isfinite(g);
      g += weight_decay_ * w[i];
      if (buffer != nullptr) {
        const double kept = momentum_ * static_cast<const double*>(buffer)[i] + g;
        static_cast<double*>(new_buffer)[i] = kept;
        g = nesterov_ ? g + momentum_ * kept : kept;
      }
      static_cast<double*>(o[inputs_])[i] = w[i] - rate * g;
    }
    return finite;
  }

  DType dtype_;
  DType rate_type_;
  size_t inputs_, outputs_;
  double momentum_, weight_decay_;
  bool nesterov_;
  bool has_momentum_;
};

}  // namespace

std::shared_ptr<const runtime::UpdateKernel> MakeUpdateKernel(const ir::Node& node) {
  const DType dtype = node.input(0)->type().dtype();
  if (dtype != DType::kF32 && dtype != DType::kF64) return nullptr;
  if (node.op().FullName() == "ingot.Adam") return std::make_shared<Adam>(node);
  if (node.op().FullName() == "ingot.Sgd") return std::make_shared<Sgd>(node);
  return nullptr;
}

}  // namespace ingot::cpu
