// The static shape of a tensor: its extents, outermost first; row-major layout everywhere.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace ingot {

class Shape {
 public:
  Shape() = default;  // a scalar: rank 0, one element
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}
  explicit Shape(std::span<const int64_t> dims) : dims_(dims.begin(), dims.end()) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  // Axis in [-rank, rank); throws Error(kInvalidInput) outside.
  int64_t dim(int axis) const;
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  const std::vector<int64_t>& dims() const { return dims_; }

  // Product of the extents (1 for a scalar); throws Error(kInvalidInput) on overflow or a
  // negative extent.
  int64_t size() const;

  // "[128, 784]"; "[]" for a scalar.
  std::string ToString() const;

  bool operator==(const Shape&) const = default;

 private:
  std::vector<int64_t> dims_;
};

// Maps a possibly negative axis into [0, rank); throws Error(kInvalidInput) outside [-rank, rank).
int NormalizeAxis(int64_t axis, int rank);

// Row-major strides in elements.
std::vector<int64_t> Strides(std::span<const int64_t> dims);

// Multidirectional (NumPy) broadcasting; throws Error(kInvalidInput) naming both shapes.
Shape BroadcastShapes(const Shape& a, const Shape& b);

}  // namespace ingot
