// Products and convolutions of bytes: widened to pairs of i16, multiplied on the integer tile
// (pair_tiles.h), and brought to f32 or bytes. Depthwise ones go through f32, which holds their
// sums exactly.
#include <algorithm>
#include <cstring>
#include <optional>

#include "backends/cpu/byte_product.h"
#include "backends/cpu/counts.h"
#include "backends/cpu/depthwise.h"
#include "backends/cpu/epilogue_names.h"
#include "backends/cpu/inference_kernels.h"
#include "backends/cpu/packed_product.h"
#include "backends/cpu/pair_tiles.h"
#include "backends/cpu/pair_winograd.h"
#include "ingot/ir/op.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/fused_convolution.h"

namespace ingot::cpu {
namespace {

using Packed = std::shared_ptr<const std::byte>;

constexpr size_t kScale = 2, kBias = 3, kOffset = 4;
constexpr int64_t kWorkSums = int64_t{1} << 16;  // sums that stay in the second-level cache

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

// On the tile of bytes.
class QuantizedProductKernel : public runtime::SharedKernel {
 public:
  QuantizedProductKernel(const ByteProduct& product, Packed packed, const Quantization& q)
      : product_(product), packed_(std::move(packed)), q_(q) {}

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
  std::string name() const override { return "quantized_product_i8"; }

 private:
  ByteProduct product_;
  Packed packed_;
  Quantization q_;
};

// One group of samples (or of rows) after another: widened, multiplied, brought to the result.
// Where there are several groups, threads take whole ones; else they share each step.
class QuantizedKernel : public runtime::SharedKernel {
 public:
  // Some samples of a convolution, or rows of a product.
  struct Work {
    PackedProduct product;
    int64_t first_pixel, pixels;                // of its input
    int64_t first_position, positions;          // of its output
    std::optional<PairWinograd> winograd = {};  // instead of the product

    size_t scratch_bytes() const {
      return winograd ? winograd->scratch_bytes() : product.scratch_bytes();
    }
  };

  QuantizedKernel(std::vector<Work> works, int64_t channels, int64_t outputs, Packed packed,
                  const Quantization& quantization)
      : works_(std::move(works)),
        channels_(channels),
        outputs_(outputs),
        packed_(std::move(packed)),
        q_(quantization) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    runtime::NoTeam alone;
    RunShared(operands, scratch, 0, alone);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    if (works_.size() > 1 && team.threads() > 1) {
      team.ForEach(works_.size(), [&](size_t i, size_t thread) {
        runtime::NoTeam alone;
        RunWork(i, operands, scratch + thread * scratch_stride, 0, alone);
      });
      return;
    }
    for (size_t i = 0; i < works_.size(); ++i) {
      RunWork(i, operands, scratch, scratch_stride, team);
    }
  }
  // Pairs, sums, and what the product needs of each thread, one behind the other.
  size_t scratch_bytes() const override {
    size_t most = 0;
    for (const Work& work : works_) {
      most = std::max(most, PairBytes(work) + SumBytes(work) + work.scratch_bytes() + 64);
    }
    return most;
  }
  std::string name() const override {
    return works_[0].winograd ? "quantized_winograd_i8" : "quantized_product_i8";
  }

 private:
  int64_t pairs() const { return (channels_ + 1) / 2; }
  size_t PairBytes(const Work& work) const {
    return (static_cast<size_t>(work.pixels * pairs()) * 4 + 63) / 64 * 64;
  }
  size_t SumBytes(const Work& work) const {
    if (q_.sums_alone) return 0;
    return (static_cast<size_t>(work.positions * outputs_) * 4 + 63) / 64 * 64;
  }

  void RunWork(size_t index, std::span<void* const> operands, std::byte* scratch,
               size_t scratch_stride, runtime::Team& team) const {
    const Work& work = works_[index];
    const int64_t first_pixel = work.first_pixel, first_position = work.first_position;
    const auto* x = static_cast<const std::byte*>(operands[0]) + first_pixel * channels_;
    auto* wide = reinterpret_cast<uint32_t*>(scratch);
    auto* sums = q_.sums_alone ? static_cast<int32_t*>(operands[q_.y]) + first_position * outputs_
                               : reinterpret_cast<int32_t*>(scratch + PairBytes(work));
    const int32_t x_zero = q_.XZero(operands);
    std::byte* rest = scratch + PairBytes(work) + SumBytes(work);
    ForRows(team, work.pixels, channels_, [&](int64_t begin, int64_t end) {
      WidenBytes(x + begin * channels_, q_.x_signed, x_zero, end - begin, channels_,
                 wide + begin * pairs());
    });
    PackedOperands product;
    product.x = reinterpret_cast<const float*>(wide);
    product.y = reinterpret_cast<float*>(sums);
    const auto* packed = reinterpret_cast<const float*>(packed_.get());
    if (work.winograd) {
      work.winograd->Run(packed, product, rest, scratch_stride, team);
    } else {
      work.product.Run(packed, product, rest, scratch_stride, team);
    }
    if (q_.sums_alone) return;
    auto* y = static_cast<std::byte*>(operands[q_.y]) +
              static_cast<size_t>(first_position * outputs_) * q_.y_size();
    ForRows(team, work.positions, outputs_, [&](int64_t begin, int64_t end) {
      RequantizeCall call = q_.Begin(operands);
      call.sums = sums + begin * outputs_;
      call.rows = end - begin;
      call.columns = outputs_;
      call.to = y + static_cast<size_t>(begin * outputs_) * q_.y_size();
      Requantize(call);
    });
  }

  // Some rows for each call; all at once where there are few.
  template <typename Function>
  static void ForRows(runtime::Team& team, int64_t rows, int64_t columns,
                      const Function& function) {
    const bool shares = team.threads() > 1 && rows * columns >= (1 << 16);
    const int64_t pieces =
        shares ? std::min<int64_t>(rows, static_cast<int64_t>(team.threads()) * 2) : 1;
    if (pieces == 1) return function(0, rows);
    team.ForEach(static_cast<size_t>(pieces), [&](size_t index, size_t) {
      const auto i = static_cast<int64_t>(index);
      function(rows * i / pieces, rows * (i + 1) / pieces);
    });
  }

  std::vector<Work> works_;
  int64_t channels_, outputs_;
  Packed packed_;
  Quantization q_;
};

// Some rows of output at a time through f32.
class QuantizedDepthwiseKernel : public runtime::SharedKernel {
 public:
  QuantizedDepthwiseKernel(const ConvolutionShape& shape, Packed packed, const Quantization& q)
      : shape_(shape), packed_(std::move(packed)), q_(q) {
    constexpr int64_t kFloats = int64_t{1} << 15;  // of input that stay in the second-level cache
    rows_ = std::clamp<int64_t>(kFloats / (InputLine() * shape.rows.stride), 1, shape.rows.output);
    pieces_ = CeilDiv(shape.rows.output, rows_);
  }

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    runtime::NoTeam alone;
    RunShared(operands, scratch, 0, alone);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                 runtime::Team& team) const override {
    team.ForEach(static_cast<size_t>(shape_.samples * pieces_), [&](size_t index, size_t thread) {
      const auto i = static_cast<int64_t>(index);
      RunPiece(i / pieces_, i % pieces_, operands, scratch + thread * scratch_stride);
    });
  }
  size_t scratch_bytes() const override {
    return static_cast<size_t>(InputFloats() + rows_ * OutputLine()) * 4 + 128;
  }
  std::string name() const override { return "quantized_depthwise_i8"; }

 private:
  int64_t InputLine() const { return shape_.columns.input * shape_.channels; }
  int64_t OutputLine() const { return shape_.columns.output * shape_.channels; }
  int64_t InputFloats() const {
    const int64_t reach = (shape_.rows.kernel - 1) * shape_.rows.dilation;
    const int64_t rows = (rows_ - 1) * shape_.rows.stride + reach + 1;
    return (std::min(rows, shape_.rows.input) * InputLine() + 15) / 16 * 16;
  }

  void RunPiece(int64_t sample, int64_t piece, std::span<void* const> operands,
                std::byte* scratch) const {
    const int64_t begin = shape_.rows.output * piece / pieces_;
    const int64_t end = shape_.rows.output * (piece + 1) / pieces_;
    // The input rows that the filter meets; those beyond the plane are not read.
    const int64_t reach = (shape_.rows.kernel - 1) * shape_.rows.dilation;
    const int64_t first =
        std::clamp<int64_t>(begin * shape_.rows.stride - shape_.rows.pad, 0, shape_.rows.input);
    const int64_t last = std::clamp<int64_t>(
        (end - 1) * shape_.rows.stride - shape_.rows.pad + reach + 1, first, shape_.rows.input);
    auto* x = reinterpret_cast<float*>(scratch);
    float* y = x + InputFloats();
    DequantizeBytes(static_cast<const std::byte*>(operands[0]) +
                        (sample * shape_.rows.input + first) * InputLine(),
                    q_.x_signed, 1, q_.x_zero, (last - first) * InputLine(), x);
    // A plane of these rows alone, with as much padding as is left above them.
    ConvolutionShape part = shape_;
    part.samples = 1;
    part.rows.input = last - first;
    part.rows.output = end - begin;
    part.rows.pad = first - (begin * shape_.rows.stride - shape_.rows.pad);
    PackedOperands call;
    call.x = x;
    call.y = y;
    DepthwiseRows(part, reinterpret_cast<const float*>(packed_.get()), call, 0, end - begin);
    const int64_t count = (end - begin) * OutputLine();
    RequantizeCall requantize = q_.Begin(operands);
    requantize.columns = shape_.channels;
    auto* to =
        static_cast<std::byte*>(operands[q_.y]) +
        static_cast<size_t>((sample * shape_.rows.output + begin) * OutputLine()) * q_.y_size();
    requantize.exact_sums = y;
    requantize.rows = count / shape_.channels;
    requantize.to = to;
    Requantize(requantize);
  }

  ConvolutionShape shape_;
  Packed packed_;
  Quantization q_;
  int64_t rows_ = 1, pieces_ = 1;  // output rows of a piece at most; pieces of a sample
};

// Byte i of weights without their zero point.
int16_t WeightAt(const Tensor& w, int64_t i, int64_t zero) {
  const auto byte = static_cast<size_t>(i);
  const int64_t value = w.dtype() == DType::kI8 ? static_cast<int64_t>(w.data<int8_t>()[byte])
                                                : static_cast<int64_t>(w.data<uint8_t>()[byte]);
  return static_cast<int16_t>(value - zero);
}

std::string Layout(const char* name, int64_t zero, const ConvolutionShape& s) {
  return std::string(name) + " " + std::to_string(zero) + " " + std::to_string(s.groups) + " " +
         std::to_string(s.columns.dilation) + " " + std::to_string(ByteTiles().width());
}

Packed PackWinograd(const PairWinograd& winograd, const Tensor& w, int64_t zero, int64_t channels,
                    const ConvolutionShape& shape, PackedWeights& weights) {
  return weights.Get(
      w, Layout("i8 winograd", zero, shape), winograd.packed_floats() * sizeof(float),
      [winograd, w, zero, channels](std::byte* to) {
        const auto weight = [&](int64_t o, int64_t c, int64_t tap) {
          return c < channels ? WeightAt(w, (o * channels + c) * 9 + tap, zero) : int16_t{0};
        };
        winograd.Pack(weight, reinterpret_cast<float*>(to));
      });
}

// Rows of one sample after the other, or a few small samples at once: what one thread takes.
// `shape` has pairs of channels.
std::vector<QuantizedKernel::Work> CutConvolution(const ConvolutionShape& shape) {
  std::vector<QuantizedKernel::Work> works;
  const bool winograd = PairWinograd::Pays(shape);
  const int64_t columns = shape.columns.output;
  const int64_t plane = shape.rows.output * columns;
  const int64_t in_plane = shape.rows.input * shape.columns.input;
  const int64_t most = winograd ? kWorkSums : kWorkSums / 4;
  const int64_t rows = std::clamp<int64_t>(most / std::max<int64_t>(columns * shape.outputs, 1), 1,
                                           shape.rows.output);
  const int64_t together =
      rows < shape.rows.output
          ? 1
          : std::clamp<int64_t>(most / (plane * shape.outputs), 1, shape.samples);
  for (int64_t sample = 0; sample < shape.samples; sample += together) {
    ConvolutionShape part = shape;
    part.samples = std::min(together, shape.samples - sample);
    const int64_t pieces = CeilDiv(shape.rows.output, rows);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t begin = shape.rows.output * piece / pieces;
      const int64_t end = shape.rows.output * (piece + 1) / pieces;
      // The input rows that these meet; what is beyond them is padding of the part.
      const int64_t top = begin * shape.rows.stride - shape.rows.pad;
      const int64_t bottom = (end - 1) * shape.rows.stride - shape.rows.pad +
                             (shape.rows.kernel - 1) * shape.rows.dilation + 1;
      const int64_t first = pieces == 1 ? 0 : std::clamp<int64_t>(top, 0, shape.rows.input);
      const int64_t last =
          pieces == 1 ? shape.rows.input : std::clamp<int64_t>(bottom, first, shape.rows.input);
      part.rows.input = last - first;
      part.rows.output = end - begin;
      part.rows.pad = first - top;
      works.push_back(
          {PackedProduct(part, PairTiles()), sample * in_plane + first * shape.columns.input,
           part.samples * part.rows.input * shape.columns.input, sample * plane + begin * columns,
           part.samples * part.rows.output * columns});
      if (winograd) works.back().winograd.emplace(part);
    }
  }
  return works;
}

PackedKernelPointer MakeDepthwise(const ConvolutionShape& shape, const Tensor& w, int64_t w_zero,
                                  const Quantization& q, PackedWeights& weights) {
  const int64_t taps = shape.rows.kernel * shape.columns.kernel, channels = shape.channels;
  if (taps > 256) return nullptr;  // sums beyond what f32 holds
  Packed packed = weights.Get(
      w, Layout("i8 depthwise", w_zero, shape), static_cast<size_t>(taps * channels) * 4,
      [taps, channels, w, w_zero](std::byte* bytes) {
        auto* to = reinterpret_cast<float*>(bytes);
        for (int64_t i = 0; i < channels * taps; ++i) {
          to[i % taps * channels + i / taps] = static_cast<float>(WeightAt(w, i, w_zero));
        }
      });
  return std::make_shared<QuantizedDepthwiseKernel>(shape, std::move(packed), q);
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
  if (IsDepthwise(shape)) return MakeDepthwise(shape, *w, w_zero, q, weights);
  const int64_t in_group = shape.channels / shape.groups;
  const int64_t taps = shape.rows.kernel * shape.columns.kernel;
  ConvolutionShape paired = shape;
  paired.channels = (in_group + 1) / 2 * shape.groups;
  if (PairWinograd::Pays(paired)) {
    std::vector<QuantizedKernel::Work> works = CutConvolution(paired);
    Packed packed = PackWinograd(*works[0].winograd, *w, w_zero, in_group, shape, weights);
    return std::make_shared<QuantizedKernel>(std::move(works), shape.channels, shape.outputs,
                                             std::move(packed), q);
  }
  const ByteProduct product(shape);
  Packed packed = weights.Get(*w, Layout("i8 OIHW", w_zero, shape), product.packed_bytes(),
                              [product, w = *w, w_zero, in_group, taps](std::byte* to) {
                                product.Pack(
                                    [&](int64_t o, int16_t* line) {
                                      const int64_t first = o * in_group * taps;
                                      for (int64_t c = 0; c < in_group; ++c) {
                                        for (int64_t tap = 0; tap < taps; ++tap) {
                                          line[tap * in_group + c] =
                                              WeightAt(w, first + c * taps + tap, w_zero);
                                        }
                                      }
                                    },
                                    to);
                              });
  return std::make_shared<QuantizedProductKernel>(product, std::move(packed), q);
}

namespace {

PackedKernelPointer MakeMatMul(const Tensor& w, int64_t w_zero, bool transposed, int64_t elements,
                               const Quantization& q, PackedWeights& weights) {
  const int64_t n = w.shape()[transposed ? 0 : 1], k = w.shape()[transposed ? 1 : 0];
  const int64_t rows = k == 0 ? 0 : elements / k;
  if (rows == 0 || n == 0) return nullptr;
  const ByteProduct product = ByteProduct::OfMatrices(rows, k, n);
  Packed packed =
      weights.Get(w, Layout(transposed ? "i8 NK" : "i8 KN", w_zero, ConvolutionShape()),
                  product.packed_bytes(), [product, w, w_zero, transposed, n, k](std::byte* to) {
                    product.Pack(
                        [&](int64_t o, int16_t* line) {
                          for (int64_t c = 0; c < k; ++c) {
                            line[c] = WeightAt(w, transposed ? o * k + c : c * n + o, w_zero);
                          }
                        },
                        to);
                  });
  return std::make_shared<QuantizedProductKernel>(product, std::move(packed), q);
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
