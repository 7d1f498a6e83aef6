// MatMulNBits of f32, with the weights as they are stored.
#include <algorithm>

#include "backends/cpu/inference_kernels.h"
#include "backends/cpu/narrow_product.h"
#include "ingot/ir/op.h"
#include "ingot/ops/definition.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {
namespace {

class NarrowKernel : public runtime::SharedKernel {
 public:
  // `zeros`: [n][blocks] floats.
  NarrowKernel(const NarrowMatrix& matrix, std::shared_ptr<const std::byte> zeros, size_t rows,
               bool bias, size_t output)
      : matrix_(matrix), zeros_(std::move(zeros)), rows_(rows), bias_(bias), output_(output) {
    matrix_.zeros = reinterpret_cast<const float*>(zeros_.get());
  }

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    runtime::NoTeam alone;
    RunShared(operands, scratch, 0, alone);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    NarrowMatrix matrix = matrix_;
    matrix.weights = static_cast<const uint8_t*>(operands[1]);
    matrix.scales = static_cast<const float*>(operands[2]);
    auto* prepared = reinterpret_cast<float*>(scratch);
    PrepareNarrow(matrix, static_cast<const float*>(operands[0]), rows_, prepared);
    const auto* bias = bias_ ? static_cast<const float*>(operands[5]) : nullptr;
    auto* y = static_cast<float*>(operands[output_]);
    const size_t pieces = matrix.n * matrix.k * rows_ < (size_t{1} << 18)
                              ? 1
                              : std::min(matrix.n, team.threads() * 4);
    const auto run = [&](size_t i, size_t) {
      NarrowProduct(matrix, prepared, rows_, matrix.n * i / pieces, matrix.n * (i + 1) / pieces,
                    bias, y);
    };
    if (pieces == 1) return run(0, 0);
    team.ForEach(pieces, run);
  }
  size_t scratch_bytes() const override {
    return rows_ * NarrowScratchFloats(matrix_) * sizeof(float);
  }
  std::string name() const override {
    return matrix_.bits == 4 ? "narrow_matmul_i4" : "narrow_matmul_i8";
  }

 private:
  NarrowMatrix matrix_;
  std::shared_ptr<const std::byte> zeros_;
  size_t rows_;
  bool bias_;
  size_t output_;
};

// The zero point of each block: packed like the weights, floats, or the middle.
void UnpackZeros(const NarrowMatrix& m, const Tensor* given, float* to) {
  const auto bits = static_cast<size_t>(m.bits);
  const size_t column_bytes = (m.blocks * bits + 7) / 8;
  for (size_t n = 0; n < m.n; ++n) {
    for (size_t b = 0; b < m.blocks; ++b) {
      float zero = m.bits == 4 ? 8 : 128;
      if (given != nullptr && given->dtype() == DType::kF32) {
        zero = given->data<float>()[n * m.blocks + b];
      } else if (given != nullptr) {
        const uint8_t byte = given->data<uint8_t>()[n * column_bytes + b * bits / 8];
        zero = static_cast<float>(m.bits == 8 ? byte : byte >> (b % 2 * 4) & 15);
      }
      to[n * m.blocks + b] = zero;
    }
  }
}

}  // namespace

PackedKernelPointer MakeMatMulNBitsKernel(const ir::Node& node, PackedWeights& weights) {
  const Tensor* w = ops::ConstantValue(node.input(1));
  const Tensor* scales = ops::ConstantValue(node.input(2));
  const ir::Type& x = node.input(0)->type();
  if (w == nullptr || scales == nullptr || scales->dtype() != DType::kF32) return nullptr;
  if (!x.is_static() || x.dtype() != DType::kF32 || node.input(4) != nullptr) return nullptr;
  const Tensor* zeros = nullptr;
  if (node.input(3) != nullptr) {
    zeros = ops::ConstantValue(node.input(3));
    if (zeros == nullptr || (zeros->dtype() != DType::kU8 && zeros->dtype() != DType::kF32)) {
      return nullptr;
    }
  }
  NarrowMatrix matrix;
  matrix.bits = static_cast<int>(node.GetInt("bits"));
  matrix.n = static_cast<size_t>(node.GetInt("N"));
  matrix.k = static_cast<size_t>(node.GetInt("K"));
  matrix.block = static_cast<size_t>(node.GetInt("block_size"));
  matrix.blocks = (matrix.k + matrix.block - 1) / matrix.block;
  if (matrix.bits != 4 && matrix.bits != 8) return nullptr;
  const int64_t rows = x.shape().size() / static_cast<int64_t>(matrix.k);
  if (rows == 0 || (node.input(5) != nullptr && node.input(5)->type().dtype() != DType::kF32)) {
    return nullptr;
  }
  const Tensor& source = zeros == nullptr ? *scales : *zeros;
  std::shared_ptr<const std::byte> unpacked = weights.Get(
      source, "zeros of " + std::to_string(matrix.bits) + " bits",
      matrix.n * matrix.blocks * sizeof(float),
      [matrix, given = zeros == nullptr ? Tensor() : *zeros](std::byte* to) {
        UnpackZeros(matrix, given.empty() ? nullptr : &given, reinterpret_cast<float*>(to));
      });
  return std::make_shared<NarrowKernel>(matrix, std::move(unpacked), static_cast<size_t>(rows),
                                        node.input(5) != nullptr, node.inputs().size());
}

}  // namespace ingot::cpu
