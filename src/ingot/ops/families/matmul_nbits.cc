// MatMulNBits of ONNX Runtime: a product with a matrix of 2, 4 or 8 bits, in blocks along k that
// each have a scale and a zero point.
#include <array>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/matmul.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::InferContext;
using ir::ReferenceCall;
using ir::Type;

struct Layout {
  explicit Layout(const ir::Node& node)
      : k(node.GetInt("K")),
        n(node.GetInt("N")),
        bits(node.GetInt("bits")),
        block(node.GetInt("block_size")) {
    const bool sane = k > 0 && n > 0 && (bits == 2 || bits == 4 || bits == 8) && block >= 16 &&
                      block <= 4096 && (block & (block - 1)) == 0 && k <= int64_t{1} << 40 &&
                      n <= int64_t{1} << 40;
    if (!sane) {
      throw Error(
          ErrorCode::kInvalidInput,
          "K = " + std::to_string(k) + ", N = " + std::to_string(n) +
              ", bits = " + std::to_string(bits) + " and block_size = " + std::to_string(block) +
              ", expected sizes from 1 on, 2, 4 or 8 bits, and blocks of a power of two from "
              "16 on");
    }
    blocks = (k + block - 1) / block;
  }
  int64_t block_bytes() const { return block * bits / 8; }
  int64_t zero_bytes() const { return (blocks * bits + 7) / 8; }  // of one column

  int64_t k, n, bits, block, blocks = 0;
};

void Check(const InferContext& context, size_t i, DType dtype, int64_t count, const char* what) {
  const Type& type = context.input(i);
  const bool fits = type.is_tensor() && type.dtype() == dtype &&
                    (!type.is_static() || type.shape().size() == count);
  if (fits) return;
  throw Error(ErrorCode::kInvalidInput, std::string(what) + " are " + type.ToString() +
                                            ", expected " + std::to_string(count) +
                                            " elements of " + std::string(Name(dtype)));
}

void InferMatMulNBits(InferContext& context) {
  const Layout layout(context.node());
  const DType dtype = context.input(0).dtype();
  if (!IsFloat(dtype)) {
    throw Error(ErrorCode::kInvalidInput,
                "input 0 is " + context.input(0).ToString() + ", expected floats");
  }
  Check(context, 1, DType::kU8, layout.n * layout.blocks * layout.block_bytes(), "the weights");
  Check(context, 2, dtype, layout.n * layout.blocks, "the scales");
  if (context.HasInput(3)) {
    const bool packed = context.input(3).dtype() == DType::kU8;
    Check(context, 3, packed ? DType::kU8 : dtype,
          layout.n * (packed ? layout.zero_bytes() : layout.blocks), "the zero points");
  }
  if (context.HasInput(4)) {
    throw Error(ErrorCode::kUnsupported, "weights in another order (g_idx)");
  }
  if (context.HasInput(5)) Check(context, 5, dtype, layout.n, "the biases");
  const Type weights = Type::Tensor(dtype, Shape{layout.k, layout.n});
  context.SetOutput(0, ProductType(context.input(0), weights, false, false));
}

// Number `i` of those packed from the low bits of `bytes` on.
int64_t Unpacked(const uint8_t* bytes, int64_t i, int64_t bits) {
  const int64_t per_byte = 8 / bits;
  return bytes[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
}

std::vector<float> ToFloats(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.size()));
  ConvertElements(view.data, view.dtype, values.data(), DType::kF32, view.size());
  return values;
}

// The weights as f32 [N, K].
std::vector<float> Dequantized(const ReferenceCall& call, const Layout& layout) {
  const std::vector<float> scales = ToFloats(call.input(2));
  const bool packed = call.has_input(3) && call.input(3).dtype == DType::kU8;
  const std::vector<float> zeros =
      call.has_input(3) && !packed ? ToFloats(call.input(3)) : std::vector<float>();
  std::vector<float> weights(static_cast<size_t>(layout.n * layout.k));
  for (int64_t column = 0; column < layout.n; ++column) {
    for (int64_t p = 0; p < layout.k; ++p) {
      const int64_t block = p / layout.block;
      const int64_t place = column * layout.blocks + block;
      auto zero = static_cast<float>(1 << (layout.bits - 1));
      if (packed) {
        zero = static_cast<float>(Unpacked(
            call.input(3).as<uint8_t>() + column * layout.zero_bytes(), block, layout.bits));
      } else if (!zeros.empty()) {
        zero = zeros[static_cast<size_t>(place)];
      }
      const uint8_t* bytes = call.input(1).as<uint8_t>() + place * layout.block_bytes();
      const auto value = static_cast<float>(Unpacked(bytes, p % layout.block, layout.bits));
      weights[static_cast<size_t>(column * layout.k + p)] =
          (value - zero) * scales[static_cast<size_t>(place)];
    }
  }
  return weights;
}

void Run(const ReferenceCall& call) {
  const Layout layout(call.node);
  const std::vector<float> weights = Dequantized(call, layout);
  const std::vector<float> a = ToFloats(call.input(0));
  const std::vector<float> bias = call.has_input(5)
                                      ? ToFloats(call.input(5))
                                      : std::vector<float>(static_cast<size_t>(layout.n));
  const int64_t rows = call.output().size() / layout.n;
  std::vector<double> sums(static_cast<size_t>(rows * layout.n));
  MultiplyMatrices<double>(a.data(), false, weights.data(), true, rows, layout.n, layout.k,
                           sums.data());
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += bias[i % bias.size()];
  WriteDoubles(sums, call.output());
}

// One row of ones times two columns of 16 weights of 4 bits, or of 8.
std::vector<OpCase> Cases() {
  const auto sizes = [](int64_t k, int64_t n, int64_t bits) {
    return ir::Attributes{{"K", Attribute(k)},
                          {"N", Attribute(n)},
                          {"bits", Attribute(bits)},
                          {"block_size", Attribute(int64_t{16})}};
  };
  const OpCase::Input ones = FixedFloats({1, 16}, std::vector<double>(16, 1.0));
  std::vector<int64_t> bytes(16, 0x98);  // low first: 8, 9
  for (size_t i = 8; i < 16; ++i) bytes[i] = 0x10;
  const OpCase::Input weights = Integers({2, 1, 8}, bytes, DType::kU8);
  const OpCase::Input zeros = Integers({2}, {1, 0}, DType::kU8);
  const OpCase::Input eights = Integers({1, 1, 16}, std::vector<int64_t>(16, 130), DType::kU8);
  return {
      ExpectedOnly("four_bits", {ones, weights, FixedFloats({2}, {0.5, 2})}, {4, -240},
                   sizes(16, 2, 4)),
      ExpectedOnly("zero_points", {ones, weights, FixedFloats({2}, {0.5, 2}), zeros}, {60, 16},
                   sizes(16, 2, 4)),
      ExpectedOnly("eight_bits", {ones, eights, FixedFloats({1}, {0.5})}, {16}, sizes(16, 1, 8))};
}

}  // namespace

void RegisterMatmulNbits(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "MatMulNBits";
  op.domain = "com.microsoft";
  op.summary =
      "A product with weights of a few bits, in blocks with a scale and a zero point each.";
  op.inputs = {Required("A", "T1"),           Required("B", "T2"),     Required("scales", "T1"),
               Optional("zero_points", "T3"), Optional("g_idx", "T4"), Optional("bias", "T1")};
  op.outputs = {Required("Y", "T1")};
  op.attributes = {RequiredAttribute("K", ir::AttributeKind::kInt),
                   RequiredAttribute("N", ir::AttributeKind::kInt), IntAttribute("bits", 4),
                   RequiredAttribute("block_size", ir::AttributeKind::kInt),
                   IntAttribute("accuracy_level", 0)};
  op.infer = InferMatMulNBits;
  op.reference = Run;
  op.cases = Cases();
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
