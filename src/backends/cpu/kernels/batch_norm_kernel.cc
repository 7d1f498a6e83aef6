// BatchNormSums, BatchNormApply and their gradients, BatchNormUpdate; f32 with the channels last
// and sums in f64.
#include <algorithm>
#include <cmath>

#include "backends/cpu/batch_norm_rows.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/ops/batch_norm.h"
#include "ingot/ops/window.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

class SumsKernel : public runtime::Kernel {
 public:
  explicit SumsKernel(ChannelRows size) : size_(size) {}
  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    auto* sums = static_cast<double*>(operands[1]);
    std::fill_n(sums, 2 * size_.channels, 0.0);
    sums[2 * size_.channels] = static_cast<double>(size_.rows);
    AddMoments(size_, static_cast<const float*>(operands[0]), sums, sums + size_.channels);
  }
  std::string name() const override { return "batch_norm_sums_f32"; }

 private:
  ChannelRows size_;
};

class SumsGradientKernel : public runtime::Kernel {
 public:
  explicit SumsGradientKernel(ChannelRows size) : size_(size) {}
  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto* ds = static_cast<const double*>(operands[1]);
    auto* second = reinterpret_cast<double*>(scratch);
    for (size_t c = 0; c < size_.channels; ++c) second[c] = 2 * ds[size_.channels + c];
    AffineChannels(size_, static_cast<const float*>(operands[0]), ds, second,
                   static_cast<float*>(operands[2]));
  }
  size_t scratch_bytes() const override { return size_.channels * sizeof(double); }
  std::string name() const override { return "batch_norm_sums_gradient_f32"; }

 private:
  ChannelRows size_;
};

// Y from X, S, scale and bias; or, of the gradient, dX from dY, S and scale.
class ApplyKernel : public runtime::Kernel {
 public:
  ApplyKernel(ChannelRows size, double epsilon, bool gradient)
      : size_(size), epsilon_(epsilon), gradient_(gradient) {}
  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const size_t channels = size_.channels;
    const auto* sums = static_cast<const double*>(operands[1]);
    const auto* scale = static_cast<const float*>(operands[2]);
    auto* mean = reinterpret_cast<float*>(scratch);
    float* factor = mean + channels;
    float* bias = factor + channels;
    const double count = std::max(sums[2 * channels], 1.0);
    for (size_t c = 0; c < channels; ++c) {
      const double exact = sums[c] / count;
      const double variance = std::max(0.0, sums[channels + c] / count - exact * exact);
      const double slope = double{scale[c]} / std::sqrt(variance + epsilon_);
      mean[c] = gradient_ ? 0.0f : static_cast<float>(exact);
      factor[c] = static_cast<float>(slope);
      // What the rounding of the mean took away goes into the bias.
      bias[c] = gradient_ ? 0.0f
                          : static_cast<float>(double{static_cast<const float*>(operands[3])[c]} -
                                               (exact - double{mean[c]}) * slope);
    }
    NormalizeChannels(size_, static_cast<const float*>(operands[0]), mean, factor, bias,
                      static_cast<float*>(operands[gradient_ ? 3 : 4]));
  }
  size_t scratch_bytes() const override { return 3 * size_.channels * sizeof(float); }
  std::string name() const override {
    return gradient_ ? "batch_norm_apply_input_gradient_f32" : "batch_norm_apply_f32";
  }

 private:
  ChannelRows size_;
  double epsilon_;
  bool gradient_;
};

// dX from dY, X, S, dS and scale.
class InputGradientKernel : public runtime::Kernel {
 public:
  InputGradientKernel(ChannelRows size, double epsilon) : size_(size), epsilon_(epsilon) {}
  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const size_t channels = size_.channels;
    const auto* sums = static_cast<const double*>(operands[2]);
    const auto* ds = static_cast<const double*>(operands[3]);
    const auto* scale = static_cast<const float*>(operands[4]);
    auto* factor = reinterpret_cast<double*>(scratch);
    double* second = factor + channels;
    for (size_t c = 0; c < channels; ++c) {
      const ops::Statistics here =
          ops::StatisticsOf(sums, static_cast<int64_t>(channels), static_cast<int64_t>(c));
      factor[c] = double{scale[c]} * here.InverseDeviation(epsilon_);
      second[c] = 2 * ds[channels + c];
    }
    JoinChannelGradients(size_, static_cast<const float*>(operands[0]), factor,
                         static_cast<const float*>(operands[1]), ds, second,
                         static_cast<float*>(operands[5]));
  }
  size_t scratch_bytes() const override { return 2 * size_.channels * sizeof(double); }
  std::string name() const override { return "batch_norm_input_gradient_f32"; }

 private:
  ChannelRows size_;
  double epsilon_;
};

// dS, dscale and dbias from X, S, scale and dY.
class ApplySumsGradientKernel : public runtime::Kernel {
 public:
  ApplySumsGradientKernel(ChannelRows size, double epsilon) : size_(size), epsilon_(epsilon) {}
  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const size_t channels = size_.channels;
    const auto* sums = static_cast<const double*>(operands[1]);
    const auto* scale = static_cast<const float*>(operands[2]);
    auto* mean = reinterpret_cast<double*>(scratch);
    double* sum = mean + channels;
    double* centred = sum + channels;
    const auto statistics = [&](size_t c) {
      return ops::StatisticsOf(sums, static_cast<int64_t>(channels), static_cast<int64_t>(c));
    };
    for (size_t c = 0; c < channels; ++c) mean[c] = statistics(c).mean;
    std::fill_n(sum, 2 * channels, 0.0);
    AddGradientMoments(size_, static_cast<const float*>(operands[0]), mean,
                       static_cast<const float*>(operands[3]), sum, centred);
    auto* ds = static_cast<double*>(operands[4]);
    auto* d_scale = static_cast<float*>(operands[5]);
    auto* d_bias = static_cast<float*>(operands[6]);
    std::fill_n(ds, 2 * channels + 1, 0.0);
    for (size_t c = 0; c < channels; ++c) {
      const ops::Statistics here = statistics(c);
      const double inverse = here.InverseDeviation(epsilon_);
      const ops::ChannelGradient gradient{sum[c], centred[c] * inverse};
      ops::AddSumsGradient(here, inverse, scale[c], gradient, static_cast<int64_t>(c),
                           static_cast<int64_t>(channels), ds);
      d_scale[c] = static_cast<float>(gradient.normalised);
      d_bias[c] = static_cast<float>(gradient.sum);
    }
  }
  size_t scratch_bytes() const override { return 3 * size_.channels * sizeof(double); }
  std::string name() const override { return "batch_norm_apply_sums_gradient_f32"; }

 private:
  ChannelRows size_;
  double epsilon_;
};

// New running mean and variance from those before and S.
class UpdateKernel : public runtime::Kernel {
 public:
  UpdateKernel(int64_t channels, double momentum) : channels_(channels), momentum_(momentum) {}
  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* mean = static_cast<const float*>(operands[0]);
    const auto* variance = static_cast<const float*>(operands[1]);
    const auto* sums = static_cast<const double*>(operands[2]);
    for (int64_t c = 0; c < channels_; ++c) {
      const ops::Running moved =
          ops::Moved({mean[c], variance[c]}, ops::StatisticsOf(sums, channels_, c), momentum_);
      static_cast<float*>(operands[3])[c] = static_cast<float>(moved.mean);
      static_cast<float*>(operands[4])[c] = static_cast<float>(moved.variance);
    }
  }
  std::string name() const override { return "batch_norm_update_f32"; }

 private:
  int64_t channels_;
  double momentum_;
};

}  // namespace

KernelPointer MakeBatchNormUpdateKernel(const ir::Node& node) {
  const ir::Type& mean = node.input(0)->type();
  if (!mean.is_static() || mean.dtype() != DType::kF32 ||
      node.input(1)->type().dtype() != DType::kF32 ||
      node.input(2)->type().dtype() != DType::kF64) {
    return nullptr;
  }
  return std::make_shared<UpdateKernel>(mean.shape().size(), node.GetFloat("momentum"));
}

KernelPointer MakeBatchNormKernel(const ir::Node& node) {
  const ir::Type& x = node.input(0)->type();
  if (!ops::ChannelsLast(node) || !x.is_static() || x.dtype() != DType::kF32) return nullptr;
  const bool is_whole_gradient = node.op_type() == "BatchNormInputGradient";
  const ir::Value* sums =
      node.op_type() == "BatchNormSums" ? node.output() : node.input(is_whole_gradient ? 2 : 1);
  if (sums->type().dtype() != DType::kF64) return nullptr;
  const Shape shape = x.shape();
  ChannelRows size;
  size.channels = static_cast<size_t>(shape[shape.rank() - 1]);
  size.rows = 1;
  for (int i = 0; i + 1 < shape.rank(); ++i) size.rows *= static_cast<size_t>(shape[i]);
  if (node.op_type() == "BatchNormSums") return std::make_shared<SumsKernel>(size);
  if (node.op_type() == "BatchNormSumsGradient") return std::make_shared<SumsGradientKernel>(size);
  if (is_whole_gradient) {
    return std::make_shared<InputGradientKernel>(size, node.GetFloat("epsilon"));
  }
  if (node.op_type() == "BatchNormApplySumsGradient") {
    return std::make_shared<ApplySumsGradientKernel>(size, node.GetFloat("epsilon"));
  }
  return std::make_shared<ApplyKernel>(size, node.GetFloat("epsilon"),
                                       node.op_type() == "BatchNormApplyInputGradient");
}

}  // namespace ingot::cpu
