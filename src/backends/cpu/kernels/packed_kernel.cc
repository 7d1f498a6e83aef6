// Products and convolutions of f32 whose weights are constants: packed once (packed_product.h).
#include <algorithm>
#include <cstring>

#include "backends/cpu/depthwise.h"
#include "backends/cpu/epilogue_names.h"
#include "backends/cpu/inference_kernels.h"
#include "backends/cpu/packed_product.h"
#include "backends/cpu/winograd.h"
#include "ingot/ir/op.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/fused_convolution.h"

namespace ingot::cpu {
namespace {

using Packed = std::shared_ptr<const std::byte>;

// Multiplications of a depthwise convolution that take some microseconds.
constexpr int64_t kWorthSharing = int64_t{3} << 16;

// The operands' numbers; -1 where absent.
struct OperandNumbers {
  int bias = -1, residual = -1, y = 0;

  PackedOperands Bind(std::span<void* const> operands, const Epilogue& epilogue) const {
    const auto floats = [&](int i) {
      return i < 0 ? nullptr : static_cast<float*>(operands[static_cast<size_t>(i)]);
    };
    return {floats(0), floats(bias), floats(residual), floats(y), epilogue};
  }
};

// `Product` is PackedProduct or WinogradProduct.
template <typename Product>
class PackedKernel : public runtime::SharedKernel {
 public:
  PackedKernel(Product product, Packed packed, Epilogue epilogue, OperandNumbers operands,
               std::string name)
      : product_(std::move(product)),
        packed_(std::move(packed)),
        epilogue_(epilogue),
        at_(operands),
        name_(std::move(name)) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    runtime::NoTeam alone;
    RunShared(operands, scratch, 0, alone);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    const PackedOperands call = at_.Bind(operands, epilogue_);
    product_.Run(reinterpret_cast<const float*>(packed_.get()), call, scratch, scratch_stride,
                 team);
  }
  size_t scratch_bytes() const override { return product_.scratch_bytes(); }
  std::string name() const override { return name_; }

 private:
  Product product_;
  Packed packed_;
  Epilogue epilogue_;
  OperandNumbers at_;
  std::string name_;
};

class DepthwiseKernel : public runtime::SharedKernel {
 public:
  DepthwiseKernel(const ConvolutionShape& shape, Packed packed, Epilogue epilogue,
                  OperandNumbers operands)
      : shape_(shape), packed_(std::move(packed)), epilogue_(epilogue), at_(operands) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    DepthwiseRows(shape_, Weights(), at_.Bind(operands, epilogue_), 0, Rows());
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    const int64_t work = Rows() * shape_.columns.output * shape_.channels * shape_.rows.kernel *
                         shape_.columns.kernel;
    if (team.threads() == 1 || work < kWorthSharing) return Run(operands, scratch);
    const PackedOperands call = at_.Bind(operands, epilogue_);
    // Some rows each, which are computed by twos.
    const int64_t pieces =
        std::clamp<int64_t>(Rows() / 3, 1, static_cast<int64_t>(team.threads()) * 4);
    team.ForEach(static_cast<size_t>(pieces), [&](size_t index, size_t) {
      const auto i = static_cast<int64_t>(index);
      DepthwiseRows(shape_, Weights(), call, Rows() * i / pieces, Rows() * (i + 1) / pieces);
    });
  }
  std::string name() const override { return "depthwise_f32"; }

 private:
  int64_t Rows() const { return shape_.samples * shape_.rows.output; }
  const float* Weights() const { return reinterpret_cast<const float*>(packed_.get()); }

  ConvolutionShape shape_;
  Packed packed_;
  Epilogue epilogue_;
  OperandNumbers at_;
};

bool IsStaticF32(const ir::Value* value) {
  return value != nullptr && value->type().is_static() && value->type().dtype() == DType::kF32;
}

// What the packed bytes depend on besides the weights.
std::string LayoutOf(const PackedProduct& product, const char* order) {
  const ConvolutionShape& s = product.shape();
  std::string layout = order;
  for (const int64_t number : {s.rows.kernel, s.columns.kernel, s.columns.dilation, s.channels,
                               s.outputs, s.groups, static_cast<int64_t>(Tiles().width())}) {
    layout += ' ' + std::to_string(number);
  }
  return layout;
}

// Weights in ONNX's order of convolutions, or of [N, K]; else as [K, N].
Packed Pack(const PackedProduct& product, const Tensor& weights, bool by_outputs,
            PackedWeights& cache) {
  const auto* from = reinterpret_cast<const float*>(weights.raw());
  return cache.Get(
      weights, LayoutOf(product, by_outputs ? "OIHW" : "KN"),
      product.packed_floats() * sizeof(float), [product, from, by_outputs](std::byte* to) {
        auto* floats = reinterpret_cast<float*>(to);
        by_outputs ? product.PackFilters(from, floats) : product.PackMatrix(from, floats);
      });
}

ConvolutionAxis AxisOf(const ops::WindowAxis& axis) {
  return {axis.input.value(), axis.output.value(), axis.kernel,
          axis.stride,        axis.dilation,       axis.pad_begin};
}

}  // namespace

bool FindConvolutionShape(const ops::Convolution& convolution, ConvolutionShape& shape) {
  if (!convolution.channels_last || convolution.windows.empty() || convolution.windows.size() > 2) {
    return false;
  }
  for (const ops::WindowAxis& axis : convolution.windows) {
    if (!axis.input.is_static() || !axis.output.is_static() || axis.kernel < 1 ||
        axis.pad_begin < 0 || axis.output.value() < 1) {
      return false;
    }
  }
  shape.samples = convolution.batch.value();
  shape.channels = convolution.channels.value();
  shape.outputs = convolution.outputs.value();
  shape.groups = convolution.group;
  shape.columns = AxisOf(convolution.windows.back());
  if (convolution.windows.size() == 2) shape.rows = AxisOf(convolution.windows.front());
  return shape.samples > 0 && shape.channels > 0 && shape.outputs > 0;
}

PackedKernelPointer MakePackedConvolutionKernel(const ir::Node& node, PackedWeights& weights) {
  const Tensor* w = ops::ConstantValue(node.input(1));
  if (w == nullptr || !IsStaticF32(node.input(0)) || w->dtype() != DType::kF32) return nullptr;
  ConvolutionShape shape;
  const ops::Convolution convolution =
      ops::FusedConvolutionOf(node, node.input(0)->type(), node.input(1)->type());
  Epilogue epilogue;
  if (!FindConvolutionShape(convolution, shape) || !FindEpilogue(node, epilogue)) return nullptr;
  const int64_t taps = shape.rows.kernel * shape.columns.kernel;
  OperandNumbers at;
  if (node.input(2) != nullptr) at.bias = 2;
  if (node.input(3) != nullptr) at.residual = 3;
  at.y = static_cast<int>(node.inputs().size());
  const auto* from = reinterpret_cast<const float*>(w->raw());  // aligned or not
  if (IsDepthwise(shape)) {
    const int64_t channels = shape.channels;
    Packed packed =
        weights.Get(*w, "depthwise", static_cast<size_t>(taps * channels) * sizeof(float),
                    [=](std::byte* bytes) {
                      auto* to = reinterpret_cast<float*>(bytes);
                      for (int64_t c = 0; c < channels; ++c) {
                        for (int64_t t = 0; t < taps; ++t) {
                          std::memcpy(to + t * channels + c, from + c * taps + t, sizeof(float));
                        }
                      }
                    });
    return std::make_shared<DepthwiseKernel>(shape, std::move(packed), epilogue, at);
  }
  if (WinogradProduct::Pays(shape)) {
    WinogradProduct product(shape);
    Packed packed = weights.Get(
        *w, "winograd " + std::to_string(Tiles().width()), product.packed_floats() * sizeof(float),
        [product, from](std::byte* to) { product.Pack(from, reinterpret_cast<float*>(to)); });
    return std::make_shared<PackedKernel<WinogradProduct>>(std::move(product), std::move(packed),
                                                           epilogue, at, "winograd_f32");
  }
  const bool is_matrix = taps == 1 && shape.groups == 1 && shape.rows.stride == 1 &&
                         shape.columns.stride == 1 && shape.rows.pad == 0 &&
                         shape.columns.pad == 0 && shape.rows.output == shape.rows.input &&
                         shape.columns.output == shape.columns.input;
  PackedProduct product = is_matrix ? PackedProduct::OfMatrices(
                                          shape.samples * shape.rows.output * shape.columns.output,
                                          shape.channels, shape.outputs)
                                    : PackedProduct(shape);
  Packed packed = Pack(product, *w, true, weights);
  return std::make_shared<PackedKernel<PackedProduct>>(
      std::move(product), std::move(packed), epilogue, at,
      is_matrix ? "pointwise_f32" : "convolution_f32");
}

PackedKernelPointer MakePackedMatMulKernel(const ir::Node& node, PackedWeights& weights) {
  const Tensor* w = ops::ConstantValue(node.input(1));
  if (w == nullptr || w->dtype() != DType::kF32 || w->shape().rank() != 2) return nullptr;
  if (!IsStaticF32(node.input(0)) || node.input(0)->type().rank() < 2) return nullptr;
  bool transposed = false;
  Epilogue epilogue;
  if (node.op_type() == "Gemm") {
    if (node.GetFloat("alpha") != 1 || node.GetFloat("beta") != 1 || node.GetInt("transA") != 0) {
      return nullptr;
    }
    transposed = node.GetInt("transB") != 0;
  } else if (node.op_type() == "FusedMatMul") {
    if (node.GetInt("trans_a") != 0 || !FindEpilogue(node, epilogue)) return nullptr;
    if (epilogue.kind == Epilogue::Kind::kReluGradient) return nullptr;
    transposed = node.GetInt("trans_b") != 0;
  }
  const int64_t n = w->shape()[transposed ? 0 : 1], k = w->shape()[transposed ? 1 : 0];
  const int64_t m = k == 0 ? 0 : node.input(0)->type().shape().size() / k;
  if (m == 0 || n == 0) return nullptr;
  OperandNumbers at;
  at.y = static_cast<int>(node.inputs().size());
  if (const ir::Value* bias = node.input(2)) {
    if (!IsStaticF32(bias) || bias->type().shape().size() != n || bias->type().rank() < 1 ||
        bias->type().dim(-1).value() != n) {
      return nullptr;
    }
    at.bias = 2;
  }
  PackedProduct product = PackedProduct::OfMatrices(m, k, n);
  Packed packed = Pack(product, *w, transposed, weights);
  return std::make_shared<PackedKernel<PackedProduct>>(std::move(product), std::move(packed),
                                                       epilogue, at, "packed_matmul_f32");
}

}  // namespace ingot::cpu
