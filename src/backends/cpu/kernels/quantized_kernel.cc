// Products and convolutions of bytes, multiplied on the integer tile (byte_tiles.h) and brought to
// f32 or bytes; depthwise ones in registers (byte_depthwise.h).
#include <algorithm>
#include <cstring>
#include <functional>

#include "backends/cpu/byte_depthwise.h"
#include "backends/cpu/byte_product.h"
#include "backends/cpu/byte_rows.h"
#include "backends/cpu/byte_winograd.h"
#include "backends/cpu/counts.h"
#include "backends/cpu/depthwise.h"
#include "backends/cpu/epilogue_names.h"
#include "backends/cpu/inference_kernels.h"
#include "ingot/ir/op.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/fused_convolution.h"

namespace ingot::cpu {
namespace {

using Packed = std::shared_ptr<const std::byte>;

constexpr size_t kScale = 2, kBias = 3, kOffset = 4;

// What both kernels know of their node.
struct Quantization {
  bool x_signed = false;
  int32_t x_zero = 0, y_zero = 0;
  RequantizeCall::Type y_type = RequantizeCall::Type::kF32;
  Epilogue epilogue;
  bool has_bias = false, has_offset = false;
  bool sums_alone = false;    // Y is the sums, in i32
  size_t x_zero_operand = 0;  // 0: x_zero
  size_t y = 0;               // operand

  size_t y_size() const { return y_type == RequantizeCall::Type::kF32 ? 4 : 1; }
  int32_t XZero(std::span<void* const> operands) const {
    if (x_zero_operand == 0) return x_zero;
    const void* zero = operands[x_zero_operand];
    return x_signed ? *static_cast<const int8_t*>(zero) : *static_cast<const uint8_t*>(zero);
  }
  RequantizeCall Begin(std::span<void* const> operands) const {
    RequantizeCall call;
    call.scale = static_cast<const float*>(operands[kScale]);
    if (has_bias) call.bias = static_cast<const int32_t*>(operands[kBias]);
    if (has_offset) call.offset = static_cast<const float*>(operands[kOffset]);
    call.epilogue = epilogue;
    call.zero = y_zero;
    call.type = y_type;
    return call;
  }
};

bool ReadNode(const ir::Node& node, Quantization& q) {
  if (!node.input(0)->type().is_static() || !FindEpilogue(node, q.epilogue)) return false;
  q.x_signed = node.input(0)->type().dtype() == DType::kI8;
  q.x_zero = static_cast<int32_t>(node.GetInt("x_zero"));
  q.y_zero = static_cast<int32_t>(node.GetInt("y_zero"));
  if (node.GetInt("y_type") == 2) q.y_type = RequantizeCall::Type::kU8;
  if (node.GetInt("y_type") == 3) q.y_type = RequantizeCall::Type::kI8;
  q.has_bias = node.input(kBias) != nullptr;
  q.has_offset = node.input(kOffset) != nullptr;
  q.y = node.inputs().size();
  return true;
}

// On the tile of bytes: ByteProduct or ByteWinograd.
template <class Product>
class ByteKernel : public runtime::SharedKernel {
 public:
  ByteKernel(const Product& product, Packed packed, const Quantization& q, const char* name)
      : product_(product), packed_(std::move(packed)), q_(q), name_(name) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    runtime::NoTeam alone;
    RunShared(operands, scratch, 0, alone);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    ByteOperands call;
    call.x = static_cast<const std::byte*>(operands[0]);
    call.x_signed = q_.x_signed;
    call.x_zero = q_.XZero(operands);
    if (q_.sums_alone) {
      call.sums = static_cast<int32_t*>(operands[q_.y]);
    } else {
      call.finish = q_.Begin(operands);
      call.finish.to = operands[q_.y];
    }
    product_.Run(packed_.get(), call, scratch, scratch_stride, team);
  }
  size_t scratch_bytes() const override { return product_.scratch_bytes(); }
  std::string name() const override { return name_; }

 private:
  Product product_;
  Packed packed_;
  Quantization q_;
  const char* name_;
};

// Weights without their zero point.
struct Weights {
  Tensor tensor;  // holds the bytes
  const std::byte* bytes = nullptr;
  bool is_signed = false;
  int32_t zero = 0;

  Weights(const Tensor& w, int64_t w_zero)
      : tensor(w),
        bytes(w.raw()),
        is_signed(w.dtype() == DType::kI8),
        zero(static_cast<int32_t>(w_zero)) {}
  // Whether they are bytes without their zero point too.
  ByteProduct::Weights Kind() const {
    return (is_signed && zero == 0) || (!is_signed && zero == 128) ? ByteProduct::Weights::kBytes
                                                                   : ByteProduct::Weights::kWide;
  }
  int16_t At(int64_t i) const {
    const auto byte = std::to_integer<uint8_t>(bytes[i]);
    return static_cast<int16_t>((is_signed ? static_cast<int8_t>(byte) : int32_t{byte}) - zero);
  }
};

std::string Layout(const char* name, int64_t zero, const ConvolutionShape& s) {
  return std::string(name) + " " + std::to_string(zero) + " " + std::to_string(s.groups) + " " +
         std::to_string(s.columns.dilation) + " " + std::to_string(ByteTiles().width());
}

// Writes the filter of an output: of each tap the channels of the group.
std::function<void(int64_t output, int16_t* line)> FiltersOf(const Weights& w, int64_t in_group,
                                                             int64_t taps) {
  return [=](int64_t o, int16_t* line) {
    const int64_t first = o * in_group * taps;
    if (taps == 1 && w.is_signed && w.zero == 0) {
      const auto* from = reinterpret_cast<const int8_t*>(w.bytes) + first;
      std::copy(from, from + in_group, line);
      return;
    }
    for (int64_t tap = 0; tap < taps; ++tap, line += in_group) {
      for (int64_t c = 0; c < in_group; ++c) line[c] = w.At(first + c * taps + tap);
    }
  };
}

// The largest size of the sums of any output, whatever the bytes of x; `depth` weights each.
int64_t MostSum(const Weights& w, int64_t outputs, int64_t depth, const Quantization& q) {
  const int64_t least = (q.x_signed ? -128 : 0) - q.x_zero, most = least + 255;
  int64_t result = 0;
  for (int64_t o = 0; o < outputs; ++o) {
    int32_t above = 0, below = 0;
    for (int64_t i = o * depth; i < (o + 1) * depth; ++i) {
      const int32_t value = w.At(i);
      above += std::max(value, 0);
      below -= std::min(value, 0);
    }
    result = std::max({result, most * above - least * below, most * below - least * above});
  }
  return result;
}

}  // namespace

PackedKernelPointer MakeQuantizedConvolutionKernel(const ir::Node& node, PackedWeights& weights) {
  const Tensor* w = ops::ConstantValue(node.input(1));
  Quantization q;
  if (w == nullptr || !ReadNode(node, q)) return nullptr;
  ConvolutionShape shape;
  if (!FindConvolutionShape(
          ops::FusedConvolutionOf(node, node.input(0)->type(), node.input(1)->type()), shape)) {
    return nullptr;
  }
  const int64_t w_zero = node.GetInt("w_zero");
  const int64_t in_group = shape.channels / shape.groups;
  const int64_t taps = shape.rows.kernel * shape.columns.kernel;
  const Weights filters(*w, w_zero);
  const auto fill = FiltersOf(filters, in_group, taps);
  if (IsDepthwise(shape)) {
    const ByteDepthwise depthwise(shape);
    Packed packed = weights.Get(*w, Layout("i8 depthwise", w_zero, shape), depthwise.packed_bytes(),
                                [=](std::byte* to) { depthwise.Pack(fill, to); });
    return std::make_shared<ByteKernel<ByteDepthwise>>(depthwise, std::move(packed), q,
                                                       "quantized_depthwise_i8");
  }
  const int64_t side =
      WinogradGrid::Covers(shape)
          ? ByteWinograd::SideFor(shape, MostSum(filters, shape.outputs, taps * in_group, q))
          : 0;
  if (side > 0) {
    const ByteWinograd winograd(shape, side);
    Packed packed =
        weights.Get(*w, Layout(side == 4 ? "i8 winograd 4" : "i8 winograd 2", w_zero, shape),
                    winograd.packed_bytes(), [=](std::byte* to) { winograd.Pack(fill, to); });
    return std::make_shared<ByteKernel<ByteWinograd>>(winograd, std::move(packed), q,
                                                      "quantized_winograd_i8");
  }
  const ByteProduct product(shape, filters.Kind());
  Packed packed =
      weights.Get(*w, Layout("i8 OIHW", w_zero, shape) + product.layout(), product.packed_bytes(),
                  [=](std::byte* to) { product.Pack(fill, to); });
  return std::make_shared<ByteKernel<ByteProduct>>(product, std::move(packed), q,
                                                   "quantized_product_i8");
}

namespace {

PackedKernelPointer MakeMatMul(const Tensor& w, int64_t w_zero, bool transposed, int64_t elements,
                               const Quantization& q, PackedWeights& weights) {
  const int64_t n = w.shape()[transposed ? 0 : 1], k = w.shape()[transposed ? 1 : 0];
  const int64_t rows = k == 0 ? 0 : elements / k;
  if (rows == 0 || n == 0) return nullptr;
  const ByteProduct product = ByteProduct::OfMatrices(rows, k, n, Weights(w, w_zero).Kind());
  Packed packed = weights.Get(
      w, Layout(transposed ? "i8 NK" : "i8 KN", w_zero, ConvolutionShape()) + product.layout(),
      product.packed_bytes(),
      [product, values = Weights(w, w_zero), transposed, n, k](std::byte* to) {
        product.Pack(
            [&](int64_t o, int16_t* line) {
              for (int64_t c = 0; c < k; ++c) {
                line[c] = values.At(transposed ? o * k + c : c * n + o);
              }
            },
            to);
      });
  return std::make_shared<ByteKernel<ByteProduct>>(product, std::move(packed), q,
                                                   "quantized_product_i8");
}

bool IsBytes(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kI8;
}

}  // namespace

PackedKernelPointer MakeQuantizedMatMulKernel(const ir::Node& node, PackedWeights& weights) {
  const Tensor* w = ops::ConstantValue(node.input(1));
  Quantization q;
  if (w == nullptr || w->shape().rank() != 2 || !ReadNode(node, q)) return nullptr;
  return MakeMatMul(*w, node.GetInt("w_zero"), node.GetInt("trans_b") != 0,
                    node.input(0)->type().shape().size(), q, weights);
}

// One zero point for all of A, and a constant one for all of B.
PackedKernelPointer MakeMatMulIntegerKernel(const ir::Node& node, PackedWeights& weights) {
  const Tensor* w = ops::ConstantValue(node.input(1));
  const ir::Type& a = node.input(0)->type();
  if (w == nullptr || w->shape().rank() != 2 || !IsBytes(w->dtype()) || !a.is_static() ||
      !IsBytes(a.dtype()) || a.rank() < 2) {
    return nullptr;
  }
  Quantization q;
  q.sums_alone = true;
  q.x_signed = a.dtype() == DType::kI8;
  q.y = node.inputs().size();
  if (const ir::Value* zero = node.input(2)) {
    if (!zero->type().is_static() || zero->type().shape().size() != 1) return nullptr;
    q.x_zero_operand = 2;
  }
  int64_t w_zero = 0;
  if (node.input(3) != nullptr) {
    const Tensor* zero = ops::ConstantValue(node.input(3));
    if (zero == nullptr || zero->size() == 0) return nullptr;
    const std::vector<int64_t> zeros = zero->ToInts();
    w_zero = zeros[0];
    for (const int64_t each : zeros) {
      if (each != w_zero) return nullptr;
    }
  }
  return MakeMatMul(*w, w_zero, false, a.shape().size(), q, weights);
}

}  // namespace ingot::cpu
