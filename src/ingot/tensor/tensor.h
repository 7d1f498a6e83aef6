// Tensor: a typed, shaped, row-major view of a shared buffer. TensorView: the same without
// ownership.
//
// Copying a Tensor shares its bytes; Clone copies them. Distinct tensors may be used from distinct
// threads; one tensor's bytes are not synchronised. Buffers are aligned to 64 bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/tensor/dtype.h"
#include "ingot/tensor/shape.h"

namespace ingot {

inline constexpr size_t kAlignment = 64;

// Allocates `bytes` zeroed bytes aligned to kAlignment; throws Error(kOutOfMemory) saying how many.
std::shared_ptr<std::byte> AllocateBytes(size_t bytes);

// What kernels see: neither owns nor allocates. `dims` must outlive the view.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kUndefined;
  std::span<const int64_t> dims;

  int rank() const { return static_cast<int>(dims.size()); }
  int64_t size() const {
    int64_t n = 1;
    for (const int64_t d : dims) n *= d;
    return n;
  }
  int64_t dim(int axis) const { return dims[static_cast<size_t>(axis < 0 ? axis + rank() : axis)]; }
  size_t bytes() const { return static_cast<size_t>(size()) * ItemSize(dtype); }
  // The elements as T; T must be the C++ type of dtype.
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

class Tensor {
 public:
  Tensor() = default;                       // empty: dtype kUndefined
  Tensor(DType dtype, const Shape& shape);  // zeroed
  // A view of bytes that something else keeps alive through `owner`.
  Tensor(DType dtype, const Shape& shape, std::shared_ptr<std::byte> owner, size_t offset = 0);

  // From values: Tensor::Of<float>({2, 2}, {1, 2, 3, 4}); throws Error(kInvalidInput) on a wrong
  // count.
  template <typename T>
  static Tensor Of(const Shape& shape, std::span<const T> values) {
    Tensor tensor(DTypeOf<T>(), shape);
    if (static_cast<int64_t>(values.size()) != tensor.size()) {
      throw Error(ErrorCode::kInvalidInput, "shape " + shape.ToString() + " does not hold " +
                                                std::to_string(values.size()) + " values");
    }
    std::copy(values.begin(), values.end(), tensor.template data<T>().begin());
    return tensor;
  }
  template <typename T>
  static Tensor Of(const Shape& shape, std::initializer_list<T> values) {
    return Of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }
  template <typename T>
  static Tensor Scalar(T value) {
    return Of<T>(Shape{}, std::span<const T>(&value, 1));
  }

  // A string tensor; throws Error(kInvalidInput) on a wrong count.
  static Tensor OfStrings(const Shape& shape, std::vector<std::string> texts);

  bool empty() const { return dtype_ == DType::kUndefined; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return size_; }
  size_t bytes() const { return static_cast<size_t>(size_) * ItemSize(dtype_); }

  std::byte* raw() { return data_; }
  const std::byte* raw() const { return data_; }

  // The elements; throws Error(kInvalidInput) when T is not the tensor's type.
  template <typename T>
  std::span<T> data() {
    CheckType(DTypeOf<T>());
    return {reinterpret_cast<T*>(data_), static_cast<size_t>(size_)};
  }
  template <typename T>
  std::span<const T> data() const {
    CheckType(DTypeOf<T>());
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(size_)};
  }

  // The view is valid while this tensor lives and is not assigned to.
  TensorView view() { return {data_, dtype_, shape_.dims()}; }
  TensorView view() const { return {const_cast<std::byte*>(data_), dtype_, shape_.dims()}; }

  Tensor Clone() const;
  // The same bytes under another shape of the same size; throws Error(kInvalidInput) otherwise.
  Tensor Reshape(const Shape& shape) const;
  // Converts every element (float to integer truncates; to bool: not zero).
  Tensor Cast(DType dtype) const;
  // Every element as double, whatever the type; for tests, printing and folding.
  std::vector<double> ToDoubles() const;
  // Every element as int64; for shapes and axes.
  std::vector<int64_t> ToInts() const;

  // The elements of a string tensor; throws Error(kInvalidInput) for other types.
  std::vector<std::string> ToStrings() const;
  // A string tensor whose elements were copied from string tensors among `from` keeps their text
  // alive from now on.
  void KeepTexts(std::span<const Tensor> from);

  // "f32[2, 3]".
  std::string Describe() const;

 private:
  void CheckType(DType wanted) const;

  DType dtype_ = DType::kUndefined;
  Shape shape_;
  int64_t size_ = 0;
  std::shared_ptr<std::byte> owner_;
  std::byte* data_ = nullptr;
  // What the handles of a string tensor point into; null for other types.
  using Texts = std::vector<std::shared_ptr<const std::vector<std::string>>>;
  std::shared_ptr<const Texts> texts_;
};

// Converts `count` elements from one type to another; both are arithmetic (IsArithmetic).
void ConvertElements(const void* from, DType from_type, void* to, DType to_type, int64_t count);

}  // namespace ingot
