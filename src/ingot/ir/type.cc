// Dimensions, types and their broadcasting.
#include "ingot/ir/type.h"

#include <algorithm>

#include "ingot/base/error.h"

namespace ingot::ir {

std::string Dimension::ToString() const {
  if (is_static()) return std::to_string(value_);
  return is_symbolic() ? symbol_ : "?";
}

bool Dimension::SurelyEquals(const Dimension& other) const {
  return (is_static() || is_symbolic()) && *this == other;
}

std::string ToString(const Dimensions& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ", ";
    text += dims[i].ToString();
  }
  return text + "]";
}

Type Type::Tensor(DType dtype, Dimensions dims) {
  Type type = TensorOfUnknownRank(dtype);
  type.dims_ = std::move(dims);
  return type;
}

Type Type::Tensor(DType dtype, const Shape& shape) {
  return Tensor(dtype, Dimensions(shape.dims().begin(), shape.dims().end()));
}

Type Type::TensorOfUnknownRank(DType dtype) {
  Type type;
  type.kind_ = Kind::kTensor;
  type.dtype_ = dtype;
  return type;
}

Type Type::Sequence(Type element) {
  Type type;
  type.kind_ = Kind::kSequence;
  type.element_ = std::make_shared<const Type>(std::move(element));
  return type;
}

Type Type::Optional(Type element) {
  Type type;
  type.kind_ = Kind::kOptional;
  type.element_ = std::make_shared<const Type>(std::move(element));
  return type;
}

const Dimensions& Type::dims() const {
  if (!dims_) {
    throw Error(ErrorCode::kInvalidInput,
                "type " + ToString() + " has no known rank; a tensor of known rank is expected");
  }
  return *dims_;
}

const Dimension& Type::dim(int axis) const {
  return dims()[static_cast<size_t>(NormalizeAxis(axis, rank()))];
}

bool Type::is_static() const {
  return is_tensor() && dims_ && std::all_of(dims_->begin(), dims_->end(), [](const Dimension& d) {
           return d.is_static();
         });
}

Shape Type::shape() const {
  if (!is_static()) {
    throw Error(
        ErrorCode::kInvalidInput,
        "type " + ToString() + " has extents that are not known; a static shape is expected",
        "give the symbolic dimensions a value first");
  }
  std::vector<int64_t> extents;
  extents.reserve(dims_->size());
  for (const Dimension& d : *dims_) extents.push_back(d.value());
  return Shape(std::move(extents));
}

Type Type::WithDType(DType dtype) const {
  Type type = *this;
  type.dtype_ = dtype;
  return type;
}

Type Type::WithDims(Dimensions dims) const {
  Type type = *this;
  type.dims_ = std::move(dims);
  return type;
}

std::string Type::ToString() const {
  switch (kind_) {
    case Kind::kUnknown:
      return "?";
    case Kind::kTensor:
      return std::string(Name(dtype_)) + (dims_ ? ir::ToString(*dims_) : std::string("[...]"));
    case Kind::kSequence:
      return "seq(" + element_->ToString() + ")";
    case Kind::kOptional:
      return "optional(" + element_->ToString() + ")";
  }
  return "?";
}

bool Type::operator==(const Type& other) const {
  if (kind_ != other.kind_ || dtype_ != other.dtype_ || dims_ != other.dims_) return false;
  if (!element_ || !other.element_) return element_ == other.element_;
  return *element_ == *other.element_;
}

namespace {

// One extent of a broadcast. A known extent other than 1 decides, whatever the other turns out to
// be: that one can only be equal or 1.
std::optional<Dimension> BroadcastOne(const Dimension& a, const Dimension& b) {
  if (a.SurelyEquals(b)) return a;
  if (a.value() == 1) return b;
  if (b.value() == 1) return a;
  if (a.is_static() && b.is_static()) return std::nullopt;
  if (a.is_static()) return a;
  if (b.is_static()) return b;
  return Dimension();
}

}  // namespace

Dimensions BroadcastDimensions(const Dimensions& a, const Dimensions& b) {
  const size_t rank = std::max(a.size(), b.size());
  Dimensions result(rank);
  for (size_t i = 0; i < rank; ++i) {  // i counts from the innermost axis
    const Dimension x = i < a.size() ? a[a.size() - 1 - i] : Dimension(1);
    const Dimension y = i < b.size() ? b[b.size() - 1 - i] : Dimension(1);
    const std::optional<Dimension> one = BroadcastOne(x, y);
    if (!one) {
      throw Error(ErrorCode::kInvalidInput,
                  "shapes " + ToString(a) + " and " + ToString(b) +
                      " cannot be broadcast: " + x.ToString() + " against " + y.ToString(),
                  "extents must be equal, or one of them 1, counted from the last axis");
    }
    result[rank - 1 - i] = *one;
  }
  return result;
}

}  // namespace ingot::ir
