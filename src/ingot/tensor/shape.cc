// Sizes, strides and broadcasting of shapes.
#include "ingot/tensor/shape.h"

#include <algorithm>

#include "ingot/base/error.h"

namespace ingot {

int64_t Shape::dim(int axis) const {
  return dims_[static_cast<size_t>(NormalizeAxis(axis, rank()))];
}

int64_t Shape::size() const {
  int64_t size = 1;
  for (const int64_t dim : dims_) {
    if (dim < 0 || __builtin_mul_overflow(size, dim, &size)) {
      throw Error(ErrorCode::kInvalidInput, "shape " + ToString() + " is negative or too large");
    }
  }
  return size;
}

std::string Shape::ToString() const {
  std::string text = "[";
  for (size_t i = 0; i < dims_.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims_[i]);
  }
  return text + "]";
}

int NormalizeAxis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    throw Error(
        ErrorCode::kInvalidInput,
        "axis " + std::to_string(axis) + " is outside a tensor of rank " + std::to_string(rank));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<int64_t> Strides(std::span<const int64_t> dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i > 1; --i) strides[i - 2] = strides[i - 1] * dims[i - 1];
  return strides;
}

Shape BroadcastShapes(const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.dims().size(), b.dims().size());
  std::vector<int64_t> dims(rank, 1);
  for (size_t i = 0; i < rank; ++i) {
    const size_t skip_a = rank - a.dims().size();
    const size_t skip_b = rank - b.dims().size();
    const int64_t x = i < skip_a ? 1 : a.dims()[i - skip_a];
    const int64_t y = i < skip_b ? 1 : b.dims()[i - skip_b];
    if (x != y && x != 1 && y != 1) {
      throw Error(ErrorCode::kInvalidInput, "shapes " + a.ToString() + " and " + b.ToString() +
                                                " cannot be broadcast together");
    }
    dims[i] = x == 1 ? y : x;
  }
  return Shape(std::move(dims));
}

}  // namespace ingot
