// What the ops on quantised tensors share: integers of any width as numbers, scales and zero points
// for a tensor, an axis or blocks of an axis, and rounding as ONNX has it.
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// Every element as a number. Takes each type that quantised tensors have.
std::vector<double> QuantizedValues(const TensorView& view);
// Numbers as elements of a type: integers, of which whole numbers are expected, saturate; small
// floats are rounded, and saturate where asked for.
void StoreQuantized(const std::vector<double>& values, const TensorView& view,
                    bool saturate = true);
// The least and the largest number of an integer type.
double LowestOf(DType dtype);
double HighestOf(DType dtype);
// Whether QuantizeLinear can give this type: an integer of 2 to 16 bits, or a float of 4 or 8.
bool IsQuantizedType(DType dtype);
bool IsSmallFloat(DType dtype);

// Which element of a scale (or zero point) belongs to element i of a tensor.
class QuantizationGrid {
 public:
  // `scale` has one element, one for each place along `axis`, or (block_size > 0) one for each
  // block of places along it. Throws Error(kInvalidInput), naming both, where it has another shape.
  QuantizationGrid(std::span<const int64_t> x, std::span<const int64_t> scale, int64_t axis,
                   int64_t block_size);

  int64_t operator[](int64_t i) const {
    if (count_ == 1) return 0;
    const int64_t outer = i / (inner_ * extent_);
    const int64_t place = i / inner_ % extent_;
    if (block_ == 0) return place;
    return (outer * blocks_ + place / block_) * inner_ + i % inner_;
  }

 private:
  int64_t count_ = 1, inner_ = 1, extent_ = 1, block_ = 0, blocks_ = 1;
};

}  // namespace ingot::ops
