// See quantized_values.h.
#include "ingot/passes/quantized_values.h"

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

using ir::Node;
using ir::Value;

bool IsBytes(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kI8;
}

std::optional<Quantized> QuantizedOf(Value* bytes, const Value* scale, const Value* zero) {
  if (!bytes->type().is_tensor() || !IsBytes(bytes->type().dtype())) return std::nullopt;
  const Tensor* scales = ConstantOf(scale);
  if (scales == nullptr || scales->dtype() != DType::kF32 || scales->shape().rank() > 1 ||
      scales->size() == 0) {
    return std::nullopt;
  }
  Quantized result{bytes, {scales->data<float>().begin(), scales->data<float>().end()}, 0};
  if (zero == nullptr) return result;
  const Tensor* zeros = ConstantOf(zero);
  if (zeros == nullptr || zeros->size() == 0) return std::nullopt;
  const std::vector<int64_t> numbers = zeros->ToInts();
  for (const int64_t number : numbers) {
    if (number != numbers[0]) return std::nullopt;
  }
  result.zero = numbers[0];
  return result;
}

std::optional<Quantized> DequantizedFrom(const Value* value, int64_t axis) {
  const Node* node = value == nullptr ? nullptr : value->producer();
  if (!Is(node, "DequantizeLinear") || node->GetInt("block_size", 0) != 0) return std::nullopt;
  if (value->type().dtype() != DType::kF32) return std::nullopt;
  auto result = QuantizedOf(node->input(0), node->input(1), node->input(2));
  if (!result || result->scales.size() == 1) return result;
  int64_t given = node->GetInt("axis", 1);
  if (given < 0 && value->type().has_rank()) given += value->type().rank();
  return given == axis ? result : std::nullopt;
}

std::optional<Quantizer> QuantizerOf(const Node* node) {
  if (!Is(node, "QuantizeLinear")) return std::nullopt;
  const Tensor* scale = ConstantOf(node->input(1));
  const Tensor* zero = node->input(2) == nullptr ? nullptr : ConstantOf(node->input(2));
  if (scale == nullptr || scale->size() != 1 || scale->dtype() != DType::kF32) return std::nullopt;
  if (node->input(2) != nullptr && (zero == nullptr || zero->size() != 1)) return std::nullopt;
  if (!IsBytes(node->output()->type().dtype())) return std::nullopt;
  return Quantizer{scale->data<float>()[0], zero == nullptr ? 0 : zero->ToInts()[0],
                   node->output()->type().dtype()};
}

}  // namespace ingot::passes
