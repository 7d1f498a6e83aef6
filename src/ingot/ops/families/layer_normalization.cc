// LayerNormalization and RMSNormalization over the axes from `axis` on, and the fused gradients.
//
// With x a row of N elements, r = 1 / sqrt(var(x) + epsilon) (RMS: 1 / sqrt(mean(x^2) + epsilon)),
// h = (x - mean(x)) r (RMS: x r) and g = dY * Scale:
//   dX = r (g - mean(g) - h mean(g h))      (RMS: without mean(g))
//   dScale = sum over rows of dY * h, dBias = sum over rows of dY.
// The gradient finds mean and r again: a row is in the nearest cache then, and nothing is kept.
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterLayerNormalization(ir::OpRegistry& registry);

namespace {

using ir::Attribute;
using ir::Attributes;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

// Statistics are kept in f32, but of f64 in f64.
DType StatisticsType(DType dtype) {
  return dtype == DType::kF64 ? DType::kF64 : DType::kF32;
}

// Scale and bias (`input`) have the shape of what is normalised.
void RequireNormalizedShape(const InferContext& context, size_t input, const Type& x, int axis) {
  if (!context.HasInput(input) || !context.input(input).has_rank()) return;
  const ir::Dimensions& given = context.input(input).dims();
  const ir::Dimensions expected(x.dims().begin() + axis, x.dims().end());
  bool fits = given.size() == expected.size();
  for (size_t i = 0; fits && i < given.size(); ++i) {
    fits = !given[i].is_static() || !expected[i].is_static() || given[i] == expected[i];
  }
  if (fits) return;
  throw Error(ErrorCode::kInvalidInput,
              "input " + std::to_string(input) + " is " + context.input(input).ToString() +
                  ", but " + x.ToString() + " is normalised over " + ir::ToString(expected),
              "scale and bias need the extents of the axes from `axis` on");
}

void RequireEpsilon(const ir::Node& node) {
  const double epsilon = node.GetFloat("epsilon");
  if (epsilon >= 0) return;
  throw Error(ErrorCode::kInvalidInput, "attribute 'epsilon' is " + std::to_string(epsilon),
              "expected 0 or more");
}

// X as [rows, length].
struct Rows {
  int64_t rows = 1, length = 1;

  Rows(const TensorView& x, int64_t axis_attribute) {
    const int axis = NormalizeAxis(axis_attribute, x.rank());
    for (int i = 0; i < x.rank(); ++i) (i < axis ? rows : length) *= x.dim(i);
  }
};

// Mean and reciprocal standard deviation of a row; kMean false: of RMSNormalization, mean 0.
template <bool kMean, typename T>
std::pair<double, double> Statistics(const T* x, int64_t length, double epsilon) {
  double mean = 0;
  for (int64_t j = 0; kMean && j < length; ++j) mean += static_cast<double>(x[j]);
  mean /= static_cast<double>(length);
  if (!kMean) mean = 0;
  double squares = 0;
  for (int64_t j = 0; j < length; ++j) {
    const double centred = static_cast<double>(x[j]) - mean;
    squares += centred * centred;
  }
  return {mean, 1 / std::sqrt(squares / static_cast<double>(length) + epsilon)};
}

void StoreStatistic(const ir::ReferenceCall& call, size_t output, int64_t row, double value) {
  if (output >= call.outputs.size() || call.output(output).data == nullptr) return;
  const TensorView& view = call.output(output);
  if (view.dtype == DType::kF64) {
    view.as<double>()[row] = value;
  } else {
    view.as<float>()[row] = static_cast<float>(value);
  }
}

double LoadStatistic(const ir::ReferenceCall& call, size_t input, int64_t row) {
  if (!call.has_input(input)) return 0;
  const TensorView& view = call.input(input);
  return view.dtype == DType::kF64 ? view.as<double>()[row] : double{view.as<float>()[row]};
}

template <bool kMean>
void ForwardReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Rows rows(x, call.node.GetInt("axis"));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* scale = call.input(1).as<T>();
    const T* bias = call.has_input(2) ? call.input(2).as<T>() : nullptr;
    for (int64_t i = 0; i < rows.rows; ++i) {
      const T* from = x.as<T>() + i * rows.length;
      T* to = call.output().as<T>() + i * rows.length;
      const auto [mean, inverse] = Statistics<kMean>(from, rows.length, epsilon);
      for (int64_t j = 0; j < rows.length; ++j) {
        const double h = (static_cast<double>(from[j]) - mean) * inverse;
        const double y = h * static_cast<double>(scale[j]);
        to[j] = static_cast<T>(bias == nullptr ? y : y + static_cast<double>(bias[j]));
      }
      StoreStatistic(call, 1, i, mean);
      StoreStatistic(call, 2, i, inverse);
    }
  });
}

// One row of dX; adds to dScale and dBias.
template <bool kMean, typename T>
void BackwardRow(const ir::ReferenceCall& call, int64_t row, int64_t length,
                 std::vector<double>& d_scale, std::vector<double>& d_bias) {
  const T* dy = call.input(0).as<T>() + row * length;
  const T* x = call.input(1).as<T>() + row * length;
  const T* scale = call.input(2).as<T>();
  T* dx = call.output().as<T>() + row * length;
  const auto [mean, inverse] = Statistics<kMean>(x, length, call.node.GetFloat("epsilon"));
  const auto n = static_cast<double>(length);
  double sum_g = 0, sum_gh = 0;
  for (int64_t j = 0; j < length; ++j) {
    const double h = (static_cast<double>(x[j]) - mean) * inverse;
    const auto d = static_cast<double>(dy[j]);
    const double g = d * static_cast<double>(scale[j]);
    sum_g += g;
    sum_gh += g * h;
    d_scale[static_cast<size_t>(j)] += d * h;
    d_bias[static_cast<size_t>(j)] += d;
  }
  // What the outputs Mean and InvStdDev add where something depends on them.
  const double d_mean = LoadStatistic(call, 3, row);
  const double d_inverse = LoadStatistic(call, 4, row);
  const double of_mean = kMean ? sum_g / n : 0;
  for (int64_t j = 0; j < length; ++j) {
    const double h = (static_cast<double>(x[j]) - mean) * inverse;
    const double g = static_cast<double>(dy[j]) * static_cast<double>(scale[j]);
    dx[j] = static_cast<T>(inverse * (g - of_mean - h * (sum_gh / n)) + d_mean / n -
                           d_inverse * inverse * inverse * h / n);
  }
}

template <bool kMean>
void BackwardReference(const ir::ReferenceCall& call) {
  const Rows rows(call.input(1), call.node.GetInt("axis"));
  DispatchFloat(call.node.op_type(), call.input(1).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> d_scale(static_cast<size_t>(rows.length), 0);
    std::vector<double> d_bias(static_cast<size_t>(rows.length), 0);
    for (int64_t i = 0; i < rows.rows; ++i) {
      BackwardRow<kMean, T>(call, i, rows.length, d_scale, d_bias);
    }
    for (size_t j = 0; j < d_scale.size(); ++j) {
      call.output(1).as<T>()[j] = static_cast<T>(d_scale[j]);
      if (kMean) call.output(2).as<T>()[j] = static_cast<T>(d_bias[j]);
    }
  });
}

void InferLayerNormForward(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  RequireEpsilon(context.node());
  const Type& x = context.input(0);
  context.SetOutput(0, x);
  const DType statistics = StatisticsType(x.dtype());
  const size_t outputs = context.node().outputs().size();
  if (!x.has_rank()) {
    for (size_t i = 1; i < outputs; ++i) {
      context.SetOutput(i, Type::TensorOfUnknownRank(statistics));
    }
    return;
  }
  const int axis = NormalizeAxis(context.node().GetInt("axis"), x.rank());
  RequireNormalizedShape(context, 1, x, axis);
  RequireNormalizedShape(context, 2, x, axis);
  ir::Dimensions dims = x.dims();
  std::fill(dims.begin() + axis, dims.end(), ir::Dimension(1));
  for (size_t i = 1; i < outputs; ++i) context.SetOutput(i, Type::Tensor(statistics, dims));
}

void InferLayerNormBackward(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  RequireEpsilon(context.node());
  const Type& x = context.input(1);
  if (x.has_rank()) {
    RequireNormalizedShape(context, 2, x, NormalizeAxis(context.node().GetInt("axis"), x.rank()));
  }
  const Type& dy = context.input(0);
  if (dy.is_static() && x.is_static() && !(dy == x)) {
    throw Error(ErrorCode::kInvalidInput,
                "dY is " + dy.ToString() + " but X is " + x.ToString() + ", expected one shape");
  }
  context.SetOutput(0, x);
  for (size_t i = 1; i < context.node().outputs().size(); ++i) {
    context.SetOutput(i, context.input(2));
  }
}

// Zeros like Y, where the statistics alone are depended on.
Value* OutputGradient(GradientContext& context) {
  if (context.output_gradient(0) != nullptr) return context.output_gradient(0);
  return context.builder().MulScalar(context.output(), 0);
}

template <bool kMean>
void Gradient(GradientContext& context) {
  const ir::Node& node = context.node();
  std::vector<Value*> inputs = {OutputGradient(context), context.input(0), context.input(1)};
  const auto of = [&](size_t i) {
    return i < node.outputs().size() ? context.output_gradient(i) : nullptr;
  };
  if (of(1) != nullptr || of(2) != nullptr) {
    inputs.push_back(of(1));
    inputs.push_back(of(2));
  }
  const std::vector<Value*> gradients = context.builder().Ops(
      kMean ? "ingot.LayerNormalizationGradient" : "ingot.RMSNormalizationGradient",
      std::move(inputs), kMean ? 3 : 2,
      {{"axis", node.GetInt("axis")}, {"epsilon", node.GetFloat("epsilon")}});
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (context.wants(i)) context.SetInputGradient(i, gradients[i]);
  }
}

std::vector<ir::AttributeSpec> NormalizationAttributes() {
  return {IntAttribute("axis", -1), FloatAttribute("epsilon", 1e-5), IntAttribute("stash_type", 1)};
}

OpCase Random(std::string name, std::vector<OpCase::Input> inputs, int64_t axis,
              bool gradient = true, size_t outputs = 1) {
  return OpCase{.name = std::move(name),
                .inputs = std::move(inputs),
                .attributes = {{"axis", Attribute(axis)}},
                .outputs = outputs,
                .gradient = gradient};
}

OpDefinition LayerNormalization() {
  OpDefinition op;
  op.name = "LayerNormalization";
  op.since_version = 17;
  op.summary = "(X - mean) / sqrt(variance + epsilon) * Scale + B over the axes from `axis` on.";
  op.inputs = {Required("X"), Required("Scale"), Optional("B")};
  op.outputs = {Required("Y"), Optional("Mean", "U"), Optional("InvStdDev", "U")};
  op.attributes = NormalizationAttributes();
  op.infer = InferLayerNormForward;
  op.reference = ForwardReference<true>;
  op.gradient = Gradient<true>;
  op.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({2, 2}, {1, 3, 7, 5}), Floats({2}, {2, 3}), Floats({2}, {10, 20})},
             .attributes = {{"epsilon", 3.0}},
             .expected = {{9, 21.5, 11, 18.5}, {2, 6}, {0.5, 0.5}},
             .outputs = 3},
      Random("rows", {Uniform({3, 7}, -2, 3), Uniform({7}), Uniform({7})}, -1),
      Random("no_bias", {Uniform({3, 5}), Uniform({5})}, -1),
      Random("absent_bias", {Uniform({3, 5}), Uniform({5}), Absent()}, 1),
      Random("two_axes", {Uniform({3, 2, 5}), Uniform({2, 5}), Uniform({2, 5})}, 1),
      Random("tokens", {Uniform({2, 3, 9}), Uniform({9}), Uniform({9})}, 2),
      Random("statistics", {Uniform({4, 6}), Uniform({6}), Uniform({6})}, -1, true, 3),
      Random("no_rows", {Uniform({0, 4}), Uniform({4}), Uniform({4})}, -1),
      Random("far_from_zero", {Uniform({5, 33}, 99, 101), Uniform({33}), Uniform({33})}, -1, false,
             3),
      Random("wide", {Uniform({17, 384}, -3, 3), Uniform({384}), Uniform({384})}, -1, false, 3)};
  // Cancellation in X - mean: f32 holds 100 to 4e-6.
  op.cases[8].tolerance = 2e-5;
  return op;
}

OpDefinition LayerNormalizationGradient() {
  OpDefinition op;
  op.name = "LayerNormalizationGradient";
  op.domain = "ingot";
  op.summary = "d(X), d(Scale) and d(B) of LayerNormalization from d(Y), X and Scale.";
  op.inputs = {Required("dY"), Required("X"), Required("Scale"), Optional("dMean", "U"),
               Optional("dInvStdDev", "U")};
  op.outputs = {Required("dX"), Required("dScale"), Required("dB")};
  op.attributes = NormalizationAttributes();
  op.infer = InferLayerNormBackward;
  op.reference = BackwardReference<true>;
  op.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({1, 2}, {1, 0}), Floats({1, 2}, {1, 3}), Floats({2}, {1, 1})},
             .attributes = {{"epsilon", 3.0}},
             .expected = {{0.1875, -0.1875}, {-0.5, 0}, {1, 0}},
             .outputs = 3,
             .gradient = false},
      Random("rows", {Uniform({5, 7}), Uniform({5, 7}), Uniform({7})}, -1, false, 3),
      Random("two_axes", {Uniform({3, 2, 5}), Uniform({3, 2, 5}), Uniform({2, 5})}, 1, false, 3),
      Random("no_rows", {Uniform({0, 4}), Uniform({0, 4}), Uniform({4})}, -1, false, 3),
      Random("wide", {Uniform({19, 384}), Uniform({19, 384}, -3, 3), Uniform({384})}, -1, false,
             3)};
  return op;
}

OpDefinition RmsNormalization() {
  OpDefinition op;
  op.name = "RMSNormalization";
  op.since_version = 23;
  op.summary = "X / sqrt(mean of squares + epsilon) * scale over the axes from `axis` on.";
  op.inputs = {Required("X"), Required("scale")};
  op.outputs = {Required("Y")};
  op.attributes = NormalizationAttributes();
  op.infer = InferLayerNormForward;
  op.reference = ForwardReference<false>;
  op.gradient = Gradient<false>;
  op.cases = {OpCase{.name = "by_hand",
                     .inputs = {Floats({1, 2}, {1, 7}), Floats({2}, {1, 10})},
                     .attributes = {{"epsilon", 0.0}},
                     .expected = {{0.2, 14}}},
              Random("rows", {Uniform({3, 7}, -2, 3), Uniform({7})}, -1),
              Random("two_axes", {Uniform({3, 2, 5}), Uniform({2, 5})}, 1),
              Random("no_rows", {Uniform({0, 4}), Uniform({4})}, -1),
              Random("wide", {Uniform({17, 384}, -3, 3), Uniform({384})}, -1, false)};
  return op;
}

OpDefinition RmsNormalizationGradient() {
  OpDefinition op;
  op.name = "RMSNormalizationGradient";
  op.domain = "ingot";
  op.summary = "d(X) and d(scale) of RMSNormalization from d(Y), X and scale.";
  op.inputs = {Required("dY"), Required("X"), Required("scale")};
  op.outputs = {Required("dX"), Required("dScale")};
  op.attributes = NormalizationAttributes();
  op.infer = InferLayerNormBackward;
  op.reference = BackwardReference<false>;
  op.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({1, 2}, {1, 0}), Floats({1, 2}, {1, 7}), Floats({2}, {1, 1})},
             .attributes = {{"epsilon", 0.0}},
             .expected = {{0.196, -0.028}, {0.2, 0}},
             .outputs = 2,
             .gradient = false},
      Random("rows", {Uniform({5, 7}), Uniform({5, 7}), Uniform({7})}, -1, false, 2),
      Random("no_rows", {Uniform({0, 4}), Uniform({0, 4}), Uniform({4})}, -1, false, 2),
      Random("wide", {Uniform({19, 384}), Uniform({19, 384}, -3, 3), Uniform({384})}, -1, false,
             2)};
  return op;
}

}  // namespace

void RegisterLayerNormalization(ir::OpRegistry& registry) {
  registry.Add(LayerNormalization());
  registry.Add(LayerNormalizationGradient());
  registry.Add(RmsNormalization());
  registry.Add(RmsNormalizationGradient());
}

}  // namespace ingot::ops
