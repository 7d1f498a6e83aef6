// Matrix products: MatMul (NumPy's, with broadcast batches) and Gemm.
//
// The gradients of products of two matrices are Gemm nodes with transA or transB set, never a
// Transpose, so that passes find x^T d where a weight gradient is computed.
#include "ingot/ops/matmul.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterMatmul(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

// ---- MatMul ----

void MatMulReference(const ir::ReferenceCall& call) {
  DispatchNumeric("MatMul", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    // Unsigned, so that integers wrap around.
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;
    T* out = call.output().as<T>();
    ForEachProduct<Sum, T>(call.input(0), call.input(1), false, false,
                           [&](int64_t first, const std::vector<Sum>& sums) {
                             std::transform(sums.begin(), sums.end(), out + first,
                                            [](Sum sum) { return static_cast<T>(sum); });
                           });
  });
}

// alpha * op(a) * op(b) of two matrices.
Value* GradientProduct(Builder& b, Value* left, bool transpose_left, Value* right,
                       bool transpose_right, double alpha = 1) {
  Attributes attributes;
  if (transpose_left) attributes["transA"] = int64_t{1};
  if (transpose_right) attributes["transB"] = int64_t{1};
  if (alpha != 1) attributes["alpha"] = alpha;
  return b.Op("Gemm", {left, right}, std::move(attributes));
}

Value* TransposeMatrices(Builder& b, Value* x) {
  std::vector<int64_t> permutation(static_cast<size_t>(x->type().rank()));
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[permutation.size() - 1], permutation[permutation.size() - 2]);
  return b.Op("Transpose", {x}, {{"perm", permutation}});
}

// The same elements with an axis of extent 1 inserted last, or before the last.
Value* WithAxis(Builder& b, Value* x, bool last) {
  // In the shape given to Reshape 0 stands for the extent that x has there.
  std::vector<int64_t> shape(static_cast<size_t>(x->type().rank()), 0);
  if (last) {
    shape.push_back(1);
  } else {
    shape.back() = 1;
    shape.push_back(-1);
  }
  return b.Op("Reshape", {x, b.Ints(shape)});
}

// All leading axes merged: [..., N] -> [*, N]; N is known.
Value* AsMatrix(Builder& b, Value* x) {
  return b.Op("Reshape", {x, b.Ints({-1, x->type().dim(-1).value()})});
}

// A row on the left: y[..., n] = sum_k a[k] * b[..., k, n].
void RowGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* left = context.input(0);
  Value* right = context.input(1);
  Value* dy = WithAxis(b, context.output_gradient(), /*last=*/false);  // [..., 1, N]
  if (context.wants(0)) {
    Value* rows = b.Op("ReduceSum", {b.Mul(right, dy), b.Ints({-1})}, {{"keepdims", int64_t{0}}});
    context.SetInputGradient(0, b.SumToLike(rows, left));
  }
  if (context.wants(1)) {
    context.SetInputGradient(1, b.SumToLike(b.Mul(WithAxis(b, left, /*last=*/true), dy), right));
  }
}

// A column on the right: y[..., m] = sum_k a[..., m, k] * b[k].
void ColumnGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* dy = WithAxis(b, context.output_gradient(), /*last=*/true);  // [..., M, 1]
  for (size_t i = 0; i < 2; ++i) {
    if (!context.wants(i)) continue;
    context.SetInputGradient(i, b.SumToLike(b.Mul(dy, context.input(1 - i)), context.input(i)));
  }
}

void MatricesGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* left = context.input(0);
  Value* right = context.input(1);
  Value* dy = context.output_gradient();
  const bool plain = left->type().rank() == 2 && right->type().rank() == 2;
  // One weight matrix for all batches: its gradient is one product over all rows.
  const bool shared = right->type().rank() == 2 && left->type().dim(-1).is_static() &&
                      dy->type().dim(-1).is_static();
  if (context.wants(0)) {
    Value* d = plain ? GradientProduct(b, dy, false, right, true)
                     : b.SumToLike(b.Op("MatMul", {dy, TransposeMatrices(b, right)}), left);
    context.SetInputGradient(0, d);
  }
  if (!context.wants(1)) return;
  if (plain) {
    context.SetInputGradient(1, GradientProduct(b, left, true, dy, false));
  } else if (shared) {
    context.SetInputGradient(1,
                             GradientProduct(b, AsMatrix(b, left), true, AsMatrix(b, dy), false));
  } else {
    Value* d = b.Op("MatMul", {TransposeMatrices(b, left), dy});
    context.SetInputGradient(1, b.SumToLike(d, right));
  }
}

void MatMulGradient(GradientContext& context) {
  const int left = context.input(0)->type().rank();
  const int right = context.input(1)->type().rank();
  if (left == 1 && right == 1) {
    Builder& b = context.builder();
    for (size_t i = 0; i < 2; ++i) {
      if (!context.wants(i)) continue;
      context.SetInputGradient(i, b.Mul(context.output_gradient(), context.input(1 - i)));
    }
  } else if (left == 1) {
    RowGradient(context);
  } else if (right == 1) {
    ColumnGradient(context);
  } else {
    MatricesGradient(context);
  }
}

std::vector<OpCase> MatMulCases() {
  const auto random = [](const char* name, Shape a, Shape b, bool gradient = true) {
    return OpCase{.name = name,
                  .inputs = {Uniform(std::move(a)), Uniform(std::move(b))},
                  .gradient = gradient};
  };
  return {
      OpCase{.name = "by_hand",
             .inputs = {Floats({2, 3}, {1, 2, 3, 4, 5, 6}), Floats({3, 2}, {1, 0, -1, 2, 0.5, 1})},
             .expected = {{0.5, 7, 2, 16}}},
      OpCase{.name = "batches_by_hand",
             .inputs = {Floats({2, 1, 2}, {1, 2, 3, 4}), Floats({2, 1}, {10, 1})},
             .expected = {{12, 34}}},
      OpCase{.name = "vectors",
             .inputs = {Floats({3}, {1, 2, 3}), Floats({3}, {4, 5, 6})},
             .expected = {{32}}},
      OpCase{.name = "row",
             .inputs = {Floats({2}, {1, 10}), Floats({2, 3}, {1, 2, 3, 4, 5, 6})},
             .expected = {{41, 52, 63}}},
      OpCase{.name = "column",
             .inputs = {Floats({3, 2}, {1, 2, 3, 4, 5, 6}), Floats({2}, {1, 10})},
             .expected = {{21, 43, 65}}},
      ExpectedOnly(
          "i32",
          {Integers({1, 2}, {65536, 3}, DType::kI32), Integers({2, 1}, {65536, -7}, DType::kI32)},
          {-21}),
      random("ragged", {7, 13}, {13, 5}),
      random("single", {1, 1}, {1, 1}),
      random("outer", {5, 1}, {1, 4}),
      random("batched", {2, 3, 4, 5}, {2, 3, 5, 2}),
      random("shared_weight", {2, 3, 4}, {4, 5}),
      random("both_broadcast", {2, 1, 3, 4}, {3, 4, 2}),
      random("row_batched", {4}, {3, 4, 2}),
      random("column_batched", {3, 2, 4}, {4}),
      random("empty_sum", {2, 0}, {0, 3}),
      random("no_rows", {0, 4}, {4, 3}),
      random("dense_layer", {128, 784}, {784, 64}, false),
      random("ragged_large", {37, 65}, {65, 131}, false),
      random("square", {128, 128}, {128, 128}, false),
  };
}

OpDefinition MatMul() {
  OpDefinition op;
  op.name = "MatMul";
  op.since_version = 13;
  op.summary = "Y = A B for matrices, leading axes broadcast, as NumPy's matmul.";
  op.inputs = {Required("A"), Required("B")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kNumeric);
    context.SetOutput(0, ProductType(context.input(0), context.input(1), false, false));
  };
  op.gradient = MatMulGradient;
  op.reference = MatMulReference;
  op.cases = MatMulCases();
  return op;
}

// ---- Gemm ----

bool Flag(const ir::Node& node, const char* name) {
  return node.GetInt(name) != 0;
}

void InferGemm(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  for (size_t i = 0; i < 2; ++i) {
    const Type& type = context.input(i);
    if (!type.has_rank() || type.rank() == 2) continue;
    throw Error(ErrorCode::kInvalidInput,
                "input " + std::to_string(i) + (i == 0 ? " (A) is " : " (B) is ") +
                    type.ToString() + ", expected a matrix",
                "Flatten it first, or use MatMul, which takes batches of matrices");
  }
  const Type type = ProductType(context.input(0), context.input(1), Flag(context.node(), "transA"),
                                Flag(context.node(), "transB"));
  if (context.HasInput(2) && context.input(2).has_rank() && type.has_rank()) {
    const ir::Dimensions& c = context.input(2).dims();
    const Type sum = type.WithDims(ir::BroadcastDimensions(type.dims(), c));
    if (c.size() > 2 || (type.is_static() && sum.is_static() && !(sum == type))) {
      throw Error(ErrorCode::kInvalidInput, "input 2 (C) is " + context.input(2).ToString() +
                                                ", which cannot be broadcast to the product " +
                                                type.ToString());
    }
  }
  context.SetOutput(0, type);
}

void GemmReference(const ir::ReferenceCall& call) {
  const double alpha = call.node.GetFloat("alpha");
  const double beta = call.node.GetFloat("beta");
  const TensorView& y = call.output();
  DispatchFloat("Gemm", y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool has_c = call.has_input(2);
    const T* c = has_c ? call.input(2).as<T>() : nullptr;
    StridedIndex<1> index(y.dims, {has_c ? BroadcastStrides(call.input(2).dims, y.dims)
                                         : std::vector<int64_t>(y.dims.size(), 0)});
    ForEachProduct<double, T>(
        call.input(0), call.input(1), Flag(call.node, "transA"), Flag(call.node, "transB"),
        [&](int64_t, const std::vector<double>& sums) {
          for (size_t i = 0; i < sums.size(); ++i, index.Next()) {
            const double product = alpha * sums[i];
            y.as<T>()[i] = static_cast<T>(has_c ? product + beta * double{c[index[0]]} : product);
          }
        });
  });
}

// With Y = alpha A' B' + beta C: dA' = alpha dY B'^T, dB' = alpha A'^T dY, dC = beta dY.
void GemmGradient(GradientContext& context) {
  Builder& b = context.builder();
  const bool transpose_a = Flag(context.node(), "transA");
  const bool transpose_b = Flag(context.node(), "transB");
  const double alpha = context.node().GetFloat("alpha");
  const double beta = context.node().GetFloat("beta");
  Value* left = context.input(0);
  Value* right = context.input(1);
  Value* dy = context.output_gradient();
  if (context.wants(0)) {
    context.SetInputGradient(0, transpose_a
                                    ? GradientProduct(b, right, transpose_b, dy, true, alpha)
                                    : GradientProduct(b, dy, false, right, !transpose_b, alpha));
  }
  if (context.wants(1)) {
    context.SetInputGradient(1, transpose_b
                                    ? GradientProduct(b, dy, true, left, transpose_a, alpha)
                                    : GradientProduct(b, left, !transpose_a, dy, false, alpha));
  }
  if (context.wants(2)) {
    Value* sum = b.SumToLike(dy, context.input(2));
    context.SetInputGradient(2, beta == 1 ? sum : b.MulScalar(sum, beta));
  }
}

std::vector<OpCase> GemmCases() {
  std::vector<OpCase> cases = {
      OpCase{
          .name = "by_hand",
          .inputs = {Floats({1, 2}, {1, 2}), Floats({2, 2}, {3, 4, 5, 6}), Floats({2}, {10, 20})},
          .attributes = {{"alpha", 2.0}, {"beta", 0.5}},
          .expected = {{31, 42}}},
      OpCase{.name = "transposed_by_hand",
             .inputs = {Floats({2, 1}, {1, 2}), Floats({2, 2}, {3, 5, 4, 6})},
             .attributes = {{"transA", int64_t{1}}, {"transB", int64_t{1}}},
             .expected = {{13, 16}}},
      OpCase{.name = "no_bias", .inputs = {Uniform({5, 7}), Uniform({7, 3})}},
      OpCase{.name = "absent_bias", .inputs = {Uniform({2, 3}), Uniform({3, 2}), Absent()}},
      OpCase{.name = "column_bias", .inputs = {Uniform({5, 7}), Uniform({7, 3}), Uniform({5, 1})}},
      OpCase{.name = "scalar_bias", .inputs = {Uniform({5, 7}), Uniform({7, 3}), Uniform({})}},
      OpCase{.name = "full_bias", .inputs = {Uniform({5, 7}), Uniform({7, 3}), Uniform({5, 3})}},
      OpCase{.name = "empty_sum", .inputs = {Uniform({2, 0}), Uniform({0, 3}), Uniform({3})}},
      OpCase{.name = "dense_layer",
             .inputs = {Uniform({128, 784}), Uniform({784, 64}), Uniform({64})},
             .gradient = false},
      OpCase{.name = "weight_gradient",
             .inputs = {Uniform({128, 784}), Uniform({128, 64})},
             .attributes = {{"transA", int64_t{1}}},
             .gradient = false},
  };
  for (const bool a : {false, true}) {
    for (const bool b : {false, true}) {
      cases.push_back(OpCase{
          .name = std::string(a ? "a_transposed" : "a_plain") + (b ? "_b_transposed" : "_b_plain"),
          .inputs = {Uniform(a ? Shape{7, 5} : Shape{5, 7}), Uniform(b ? Shape{3, 7} : Shape{7, 3}),
                     Uniform({3})},
          .attributes = {
              {"transA", int64_t{a}}, {"transB", int64_t{b}}, {"alpha", 0.75}, {"beta", -1.5}}});
    }
  }
  return cases;
}

OpDefinition Gemm() {
  OpDefinition op;
  op.name = "Gemm";
  op.since_version = 13;
  op.summary = "Y = alpha A' B' + beta C, where A' and B' are matrices, transposed if asked.";
  op.inputs = {Required("A"), Required("B"), Optional("C")};
  op.outputs = {Required("Y")};
  op.attributes = {FloatAttribute("alpha", 1), FloatAttribute("beta", 1), IntAttribute("transA", 0),
                   IntAttribute("transB", 0)};
  op.infer = InferGemm;
  op.gradient = GemmGradient;
  op.reference = GemmReference;
  op.cases = GemmCases();
  return op;
}

}  // namespace

void RegisterMatmul(ir::OpRegistry& registry) {
  registry.Add(MatMul());
  registry.Add(Gemm());
}

}  // namespace ingot::ops
