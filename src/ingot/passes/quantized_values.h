// What the passes over quantised graphs know of bytes that stand for numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ingot/ir/graph.h"

namespace ingot::passes {

bool IsBytes(DType dtype);  // u8 or i8

// Bytes with constant scales and one constant zero point.
struct Quantized {
  ir::Value* bytes = nullptr;
  std::vector<float> scales;  // one, or one for each place of an axis
  int64_t zero = 0;
};
std::optional<Quantized> QuantizedOf(ir::Value* bytes, const ir::Value* scale,
                                     const ir::Value* zero);
// Of a DequantizeLinear to f32; of its axis where it has several scales.
std::optional<Quantized> DequantizedFrom(const ir::Value* value, int64_t axis);

// A QuantizeLinear to bytes with one constant scale.
struct Quantizer {
  float scale = 1;
  int64_t zero = 0;
  DType type = DType::kF32;
};
std::optional<Quantizer> QuantizerOf(const ir::Node* node);

}  // namespace ingot::passes
