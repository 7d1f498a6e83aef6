// The types of values in a graph: tensors with static, symbolic or unknown dimensions, sequences
// and optionals, as ONNX has them. Immutable and cheap to copy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ingot/tensor/dtype.h"
#include "ingot/tensor/shape.h"

namespace ingot::ir {

// One extent: known (64), a symbol that stands for one unknown number throughout a graph ("batch"),
// or unknown until run time ("?").
class Dimension {
 public:
  Dimension() = default;                                         // unknown
  Dimension(int64_t value) : value_(value) {}                    // NOLINT: a number is a dimension
  Dimension(std::string symbol) : symbol_(std::move(symbol)) {}  // NOLINT: and so is a symbol
  Dimension(const char* symbol) : symbol_(symbol) {}             // NOLINT

  bool is_static() const { return value_ >= 0; }
  bool is_symbolic() const { return !symbol_.empty(); }
  int64_t value() const { return value_; }  // -1 unless static
  const std::string& symbol() const { return symbol_; }
  std::string ToString() const;

  // True only when both are surely the same number; two unknowns are not.
  bool SurelyEquals(const Dimension& other) const;
  bool operator==(const Dimension&) const = default;

 private:
  int64_t value_ = -1;
  std::string symbol_;
};

using Dimensions = std::vector<Dimension>;

class Type {
 public:
  enum class Kind { kUnknown, kTensor, kSequence, kOptional };

  Type() = default;  // unknown
  static Type Tensor(DType dtype, Dimensions dims);
  static Type Tensor(DType dtype, const Shape& shape);
  static Type TensorOfUnknownRank(DType dtype);
  static Type Sequence(Type element);
  static Type Optional(Type element);

  Kind kind() const { return kind_; }
  bool is_tensor() const { return kind_ == Kind::kTensor; }
  // Of a tensor; kUndefined otherwise.
  DType dtype() const { return dtype_; }
  bool has_rank() const { return dims_.has_value(); }
  int rank() const { return static_cast<int>(dims().size()); }
  // Throws Error(kInvalidInput) where the rank is unknown.
  const Dimensions& dims() const;
  // Negative axes count from the end.
  const Dimension& dim(int axis) const;
  bool is_static() const;  // a tensor with every extent known
  // Throws Error(kInvalidInput) unless is_static().
  Shape shape() const;
  // Of a sequence or optional.
  const Type& element() const { return *element_; }

  Type WithDType(DType dtype) const;
  Type WithDims(Dimensions dims) const;

  // "f32[batch, 784]", "seq(f32[?])", "optional(i64[])", "f32[...]" for an unknown rank.
  std::string ToString() const;
  bool operator==(const Type& other) const;

 private:
  Kind kind_ = Kind::kUnknown;
  DType dtype_ = DType::kUndefined;
  std::optional<Dimensions> dims_;
  std::shared_ptr<const Type> element_;
};

// Broadcasting of possibly symbolic shapes; an extent of which nothing is sure becomes unknown.
// Throws Error(kInvalidInput) naming both where two static extents cannot be broadcast.
Dimensions BroadcastDimensions(const Dimensions& a, const Dimensions& b);

// "[batch, 784]".
std::string ToString(const Dimensions& dims);

}  // namespace ingot::ir
