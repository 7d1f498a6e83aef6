// Conv and the two products of its gradient, channels last, f32, over lines and planes.
#include "backends/cpu/convolution.h"
#include "backends/cpu/depthwise.h"
#include "backends/cpu/depthwise_training.h"
#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/winograd.h"
#include "backends/cpu/winograd_gradient.h"
#include "ingot/base/align.h"
#include "ingot/ir/op.h"
#include "ingot/ops/convolution.h"

namespace ingot::cpu {
namespace {

enum class Product : uint8_t { kForward, kInputGradient, kWeightGradient };

class ConvolutionKernel : public runtime::Kernel {
 public:
  ConvolutionKernel(Product product, const ConvolutionShape& shape, bool bias, size_t output)
      : product_(product), shape_(shape), bias_(bias), output_(output) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    ConvolutionOperands call;
    call.x = static_cast<const float*>(operands[0]);
    call.w = static_cast<const float*>(operands[1]);
    if (bias_) call.bias = static_cast<const float*>(operands[2]);
    call.y = static_cast<float*>(operands[output_]);
    call.scratch = reinterpret_cast<float*>(scratch);
    switch (product_) {
      case Product::kForward:
        return ConvolutionForward(shape_, call);
      case Product::kInputGradient:
        return ConvolutionInputGradient(shape_, call);
      case Product::kWeightGradient:
        return ConvolutionWeightGradient(shape_, call);
    }
  }
  size_t scratch_bytes() const override {
    switch (product_) {
      case Product::kForward:
        return sizeof(float) * ConvolutionForwardScratchFloats(shape_);
      case Product::kInputGradient:
        return sizeof(float) * ConvolutionInputGradientScratchFloats(shape_);
      case Product::kWeightGradient:
        break;
    }
    return sizeof(float) * ConvolutionWeightGradientScratchFloats(shape_);
  }
  std::string name() const override {
    switch (product_) {
      case Product::kForward:
        return "convolution_f32";
      case Product::kInputGradient:
        return "convolution_input_gradient_f32";
      case Product::kWeightGradient:
        break;
    }
    return "convolution_weight_gradient_f32";
  }

 private:
  Product product_;
  ConvolutionShape shape_;
  bool bias_;
  size_t output_;
};

// 3x3 with stride 1, by Winograd's algorithm: the product, or the gradient of its input, which is a
// product of the flipped filters.
class WinogradKernel : public runtime::Kernel {
 public:
  WinogradKernel(bool forward, const ConvolutionShape& shape, bool bias, size_t output)
      : forward_(forward), product_(shape), bias_(bias), output_(output) {
    packed_bytes_ = AlignUp(product_.packed_floats() * sizeof(float));
    const size_t panel = forward ? 0 : 9 * static_cast<size_t>(shape.channels) * Tiles().width();
    work_bytes_ = std::max(AlignUp(product_.scratch_bytes()), AlignUp(panel * sizeof(float)));
  }

  // Filters are transformed in every call: they are worth it where enough tiles use them.
  static bool Pays(const ConvolutionShape& shape) {
    constexpr int64_t kFewestTiles = 32;
    return WinogradGrid(shape, 4).count() >= kFewestTiles && shape.outputs % 16 == 0 &&
           shape.channels % 16 == 0 && shape.rows.pad >= 0 && shape.columns.pad >= 0 &&
           WinogradProduct::Pays(shape);
  }

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const auto* w = static_cast<const float*>(operands[1]);
    auto* packed = reinterpret_cast<float*>(scratch);
    std::byte* work = scratch + packed_bytes_;
    if (forward_) {
      product_.PackRows(w, false, packed);
    } else {
      product_.PackColumns(w, true, reinterpret_cast<float*>(work), packed);
    }
    PackedOperands call;
    call.x = static_cast<const float*>(operands[0]);
    if (bias_) call.bias = static_cast<const float*>(operands[2]);
    call.y = static_cast<float*>(operands[output_]);
    runtime::NoTeam alone;
    product_.Run(packed, call, work, 0, alone);
  }
  size_t scratch_bytes() const override { return packed_bytes_ + work_bytes_; }
  std::string name() const override {
    return forward_ ? "winograd_convolution_f32" : "winograd_convolution_input_gradient_f32";
  }

 private:
  bool forward_;
  WinogradProduct product_;
  bool bias_;
  size_t output_;
  size_t packed_bytes_ = 0, work_bytes_ = 0;
};

// The same algorithm's weight gradient.
class WinogradGradientKernel : public runtime::Kernel {
 public:
  explicit WinogradGradientKernel(const ConvolutionShape& shape, size_t output)
      : gradient_(shape), output_(output) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    gradient_.Run(static_cast<const float*>(operands[0]), static_cast<const float*>(operands[1]),
                  static_cast<float*>(operands[output_]), reinterpret_cast<float*>(scratch));
  }
  size_t scratch_bytes() const override { return sizeof(float) * gradient_.scratch_floats(); }
  std::string name() const override { return "winograd_convolution_weight_gradient_f32"; }

 private:
  WinogradWeightGradient gradient_;
  size_t output_;
};

// Each channel with a filter of its own.
class DepthwiseKernel : public runtime::Kernel {
 public:
  DepthwiseKernel(Product product, const ConvolutionShape& shape, bool bias, size_t output)
      : product_(product), shape_(shape), bias_(bias), output_(output) {
    if (product != Product::kInputGradient) return;
    rows_ = TapsOfInputs(shape.rows);
    columns_ = TapsOfInputs(shape.columns);
  }

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* from = static_cast<const float*>(operands[0]);
    const auto* w = static_cast<const float*>(operands[1]);
    auto* to = static_cast<float*>(operands[output_]);
    switch (product_) {
      case Product::kForward: {
        PackedOperands call;
        call.x = from;
        if (bias_) call.bias = static_cast<const float*>(operands[2]);
        call.y = to;
        return DepthwiseRows(shape_, w, call, 0, shape_.samples * shape_.rows.output);
      }
      case Product::kInputGradient:
        return DepthwiseInputGradient(shape_, rows_, columns_, from, w, to);
      case Product::kWeightGradient:
        return DepthwiseWeightGradient(shape_, from, w, to);
    }
  }
  std::string name() const override {
    switch (product_) {
      case Product::kForward:
        return "depthwise_convolution_f32";
      case Product::kInputGradient:
        return "depthwise_convolution_input_gradient_f32";
      case Product::kWeightGradient:
        break;
    }
    return "depthwise_convolution_weight_gradient_f32";
  }

 private:
  Product product_;
  ConvolutionShape shape_;
  bool bias_;
  size_t output_;
  TapLists rows_, columns_;
};

ConvolutionAxis AxisOf(const ops::WindowAxis& axis) {
  return {axis.input.value(), axis.output.value(), axis.kernel,
          axis.stride,        axis.dilation,       axis.pad_begin};
}

bool IsF32(const ir::Value* value) {
  return value->type().is_static() && value->type().dtype() == DType::kF32;
}

}  // namespace

KernelPointer MakeConvolutionKernel(const ir::Node& node) {
  constexpr int64_t kMostTaps = 64;  // along an axis: what the kernels have tables for
  if (node.GetInt("channels_last") != 1 || !IsF32(node.input(0)) || !IsF32(node.input(1))) {
    return nullptr;
  }
  const ops::Convolution convolution = ops::ConvolutionOf(node);
  if (convolution.windows.empty() || convolution.windows.size() > 2) return nullptr;
  for (const ops::WindowAxis& axis : convolution.windows) {
    if (axis.kernel < 1 || axis.kernel > kMostTaps || axis.pad_begin < 0) return nullptr;
    if (!axis.input.is_static() || !axis.output.is_static()) return nullptr;
  }
  ConvolutionShape shape;
  shape.samples = convolution.batch.value();
  shape.channels = convolution.channels.value();
  shape.outputs = convolution.outputs.value();
  shape.groups = convolution.group;
  if (shape.channels == 0 || shape.outputs == 0) return nullptr;
  shape.columns = AxisOf(convolution.windows.back());
  if (convolution.windows.size() == 2) shape.rows = AxisOf(convolution.windows.front());
  Product product = Product::kForward;
  if (node.op_type() == "ConvInputGradient") product = Product::kInputGradient;
  if (node.op_type() == "ConvWeightGradient") product = Product::kWeightGradient;
  const bool bias = product == Product::kForward && node.input(2) != nullptr;
  if (shape.groups > 1 && IsDepthwise(shape)) {
    return std::make_shared<DepthwiseKernel>(product, shape, bias, node.inputs().size());
  }
  if (product == Product::kForward && convolution.windows.size() == 2 &&
      WinogradKernel::Pays(shape)) {
    return std::make_shared<WinogradKernel>(true, shape, bias, node.inputs().size());
  }
  if (product == Product::kWeightGradient && convolution.windows.size() == 2 &&
      WinogradWeightGradient::Pays(shape)) {
    return std::make_shared<WinogradGradientKernel>(shape, node.inputs().size());
  }
  if (product == Product::kInputGradient && convolution.windows.size() == 2) {
    const ConvolutionShape back = InputGradientShape(shape);
    if (WinogradKernel::Pays(back)) {
      return std::make_shared<WinogradKernel>(false, back, false, node.inputs().size());
    }
  }
  return std::make_shared<ConvolutionKernel>(product, shape, bias, node.inputs().size());
}

}  // namespace ingot::cpu
