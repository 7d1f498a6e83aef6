// What MatMul, Gemm and FusedMatMul share: the shape of a product and its reference.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/ops/broadcast.h"

namespace ingot::ops {

// The type of op(a) * op(b), where op transposes the last two axes if asked: [..., M, K] times
// [..., K, N], leading axes broadcast; an operand of rank 1 is a row on the left and a column on
// the right, whose axis the result lacks (NumPy's matmul). Throws Error(kInvalidInput) naming both
// types.
ir::Type ProductType(const ir::Type& a, const ir::Type& b, bool transpose_a, bool transpose_b);

// The extents of a product, with static shapes.
struct ProductShape {
  std::vector<int64_t> batch;                 // leading axes of the result
  std::vector<int64_t> a_strides, b_strides;  // of each matrix along `batch`, in elements
  int64_t m = 0, n = 0, k = 0;
  int64_t batch_size() const {
    int64_t size = 1;
    for (const int64_t dim : batch) size *= dim;
    return size;
  }
};
ProductShape ShapeOfProduct(const TensorView& a, const TensorView& b, bool transpose_a,
                            bool transpose_b);

// out[i * n + j] = the sum over p, upwards, of a(i, p) * b(p, j), in Sum's arithmetic.
template <typename Sum, typename T>
void MultiplyMatrices(const T* a, bool transpose_a, const T* b, bool transpose_b, int64_t m,
                      int64_t n, int64_t k, Sum* out) {
  std::fill(out, out + m * n, Sum(0));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
      const Sum left = static_cast<Sum>(transpose_a ? a[p * m + i] : a[i * k + p]);
      Sum* row = out + i * n;
      const int64_t step = transpose_b ? k : 1;
      const T* right = transpose_b ? b + p : b + p * n;
      for (int64_t j = 0; j < n; ++j) row[j] += left * static_cast<Sum>(right[j * step]);
    }
  }
}

// Calls store(index of the first element of the matrix in the result, sums [m, n]) for each matrix
// of a product.
template <typename Sum, typename T, typename F>
void ForEachProduct(const TensorView& a, const TensorView& b, bool transpose_a, bool transpose_b,
                    F&& store) {
  const ProductShape shape = ShapeOfProduct(a, b, transpose_a, transpose_b);
  std::vector<Sum> sums(static_cast<size_t>(shape.m * shape.n));
  StridedIndex<2> index(shape.batch, {shape.a_strides, shape.b_strides});
  const int64_t count = shape.batch_size();
  for (int64_t i = 0; i < count; ++i, index.Next()) {
    MultiplyMatrices(a.as<T>() + index[0], transpose_a, b.as<T>() + index[1], transpose_b, shape.m,
                     shape.n, shape.k, sums.data());
    store(i * shape.m * shape.n, sums);
  }
}

}  // namespace ingot::ops
