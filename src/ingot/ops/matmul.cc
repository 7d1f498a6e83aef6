// Shapes of matrix products.
#include "ingot/ops/matmul.h"

#include <string>

#include "ingot/base/error.h"

namespace ingot::ops {

namespace {

// The two axes of a matrix, in the order of op(x), whatever was before them, and whether they are
// really there.
struct Operand {
  ir::Dimensions batch;
  ir::Dimension rows, columns;
  bool is_vector = false;
};

Operand Split(const ir::Type& type, bool transpose, bool is_left) {
  const ir::Dimensions& dims = type.dims();
  Operand operand;
  if (dims.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                "a scalar cannot be an operand of a matrix product: " + type.ToString());
  }
  if (dims.size() == 1) {
    operand.is_vector = true;
    operand.rows = is_left ? ir::Dimension(1) : dims[0];
    operand.columns = is_left ? dims[0] : ir::Dimension(1);
    return operand;
  }
  operand.batch.assign(dims.begin(), dims.end() - 2);
  operand.rows = type.dim(transpose ? -1 : -2);
  operand.columns = type.dim(transpose ? -2 : -1);
  return operand;
}

}  // namespace

ir::Type ProductType(const ir::Type& a, const ir::Type& b, bool transpose_a, bool transpose_b) {
  if (!a.has_rank() || !b.has_rank()) return ir::Type::TensorOfUnknownRank(a.dtype());
  const Operand left = Split(a, transpose_a, true);
  const Operand right = Split(b, transpose_b, false);
  if (left.columns.is_static() && right.rows.is_static() &&
      left.columns.value() != right.rows.value()) {
    const auto name = [](const ir::Type& type, bool transposed) {
      return type.ToString() + (transposed ? " (transposed)" : "");
    };
    throw Error(ErrorCode::kInvalidInput, "cannot multiply " + name(a, transpose_a) + " by " +
                                              name(b, transpose_b) + ": " +
                                              left.columns.ToString() + " columns against " +
                                              right.rows.ToString() + " rows");
  }
  ir::Dimensions dims = ir::BroadcastDimensions(left.batch, right.batch);
  if (!left.is_vector) dims.push_back(left.rows);
  if (!right.is_vector) dims.push_back(right.columns);
  return ir::Type::Tensor(a.dtype(), std::move(dims));
}

ProductShape ShapeOfProduct(const TensorView& a, const TensorView& b, bool transpose_a,
                            bool transpose_b) {
  ProductShape shape;
  const auto batch_of = [](const TensorView& x) {
    return x.rank() < 2 ? std::span<const int64_t>() : x.dims.first(x.dims.size() - 2);
  };
  shape.m = a.rank() < 2 ? 1 : a.dim(transpose_a ? -1 : -2);
  shape.k = a.rank() < 2 ? a.dim(-1) : a.dim(transpose_a ? -2 : -1);
  shape.n = b.rank() < 2 ? 1 : b.dim(transpose_b ? -2 : -1);
  shape.batch = BroadcastShapes(Shape(batch_of(a)), Shape(batch_of(b))).dims();
  const auto strides_of = [&](const TensorView& x, int64_t matrix) {
    std::vector<int64_t> strides = BroadcastStrides(batch_of(x), shape.batch);
    for (int64_t& stride : strides) stride *= matrix;
    return strides;
  };
  shape.a_strides = strides_of(a, shape.m * shape.k);
  shape.b_strides = strides_of(b, shape.k * shape.n);
  return shape;
}

}  // namespace ingot::ops
