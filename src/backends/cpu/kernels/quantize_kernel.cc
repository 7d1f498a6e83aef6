// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear of bytes, with one scale for all.
#include <algorithm>
#include <cmath>

#include "backends/cpu/byte_rows.h"
#include "backends/cpu/kernel_factories.h"
#include "ingot/ir/op.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {
namespace {

enum class Direction : uint8_t { kQuantize, kDequantize, kDynamic };

class QuantizeKernel : public runtime::SharedKernel {
 public:
  QuantizeKernel(Direction direction, bool is_signed, bool has_zero, int64_t count, size_t inputs)
      : direction_(direction),
        signed_(is_signed),
        has_zero_(has_zero),
        count_(count),
        inputs_(inputs) {}

  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    if (direction_ == Direction::kDynamic) return RunDynamic(operands);
    RunRange(operands, 0, count_);
  }
  void RunShared(std::span<void* const> operands, std::byte* scratch, size_t /*scratch_stride*/,
                 runtime::Team& team) const override {
    if (direction_ == Direction::kDynamic || team.threads() == 1 || count_ < (1 << 17)) {
      return Run(operands, scratch);
    }
    const auto pieces = static_cast<int64_t>(team.threads()) * 2;
    team.ForEach(static_cast<size_t>(pieces), [&](size_t index, size_t) {
      const auto i = static_cast<int64_t>(index);
      RunRange(operands, count_ * i / pieces, count_ * (i + 1) / pieces);
    });
  }
  std::string name() const override {
    switch (direction_) {
      case Direction::kQuantize:
        return "quantize_i8";
      case Direction::kDequantize:
        return "dequantize_i8";
      case Direction::kDynamic:
        break;
    }
    return "dynamic_quantize_u8";
  }

 private:
  void RunRange(std::span<void* const> operands, int64_t begin, int64_t end) const {
    const float scale = *static_cast<const float*>(operands[1]);
    int32_t zero = 0;
    if (has_zero_) {
      zero = signed_ ? static_cast<int32_t>(*static_cast<const int8_t*>(operands[2]))
                     : static_cast<int32_t>(*static_cast<const uint8_t*>(operands[2]));
    }
    if (direction_ == Direction::kQuantize) {
      QuantizeBytes(static_cast<const float*>(operands[0]) + begin, scale, zero, signed_,
                    end - begin, static_cast<std::byte*>(operands[inputs_]) + begin);
    } else {
      DequantizeBytes(static_cast<const std::byte*>(operands[0]) + begin, signed_, scale, zero,
                      end - begin, static_cast<float*>(operands[inputs_]) + begin);
    }
  }

  void RunDynamic(std::span<void* const> operands) const {
    const auto* x = static_cast<const float*>(operands[0]);
    float low = 0, high = 0;
    FindRange(x, count_, low, high);
    const float scale = low == high ? 1.0F : (high - low) / 255.0F;
    const float zero = std::clamp(std::nearbyint(0.0F - low / scale), 0.0F, 255.0F);
    *static_cast<float*>(operands[2]) = scale;
    *static_cast<uint8_t*>(operands[3]) = static_cast<uint8_t>(zero);
    QuantizeBytes(x, scale, static_cast<int32_t>(zero), false, count_, operands[1]);
  }

  Direction direction_;
  bool signed_, has_zero_;
  int64_t count_;
  size_t inputs_;
};

bool HoldsBytes(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kI8;
}

}  // namespace

KernelPointer MakeQuantizeKernel(const ir::Node& node) {
  const ir::Type& x = node.input(0)->type();
  if (!x.is_static()) return nullptr;
  const int64_t count = x.shape().size();
  if (node.op_type() == "DynamicQuantizeLinear") {
    if (x.dtype() != DType::kF32 || node.output()->type().dtype() != DType::kU8) return nullptr;
    return std::make_shared<QuantizeKernel>(Direction::kDynamic, false, false, count, 1);
  }
  const ir::Type& scale = node.input(1)->type();
  if (!scale.is_static() || scale.shape().size() != 1 || scale.dtype() != DType::kF32) {
    return nullptr;
  }
  const ir::Value* zero = node.input(2);
  if (zero != nullptr && (!zero->type().is_static() || zero->type().shape().size() != 1)) {
    return nullptr;
  }
  const bool quantizes = node.op_type() == "QuantizeLinear";
  const DType bytes = quantizes ? node.output()->type().dtype() : x.dtype();
  const DType floats = quantizes ? x.dtype() : node.output()->type().dtype();
  if (!HoldsBytes(bytes) || floats != DType::kF32) return nullptr;
  return std::make_shared<QuantizeKernel>(quantizes ? Direction::kQuantize : Direction::kDequantize,
                                          bytes == DType::kI8, zero != nullptr, count,
                                          node.inputs().size());
}

}  // namespace ingot::cpu
