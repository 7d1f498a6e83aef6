// Products of quantised tensors: MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv, and QGemm
// of ONNX Runtime. The integer sums are exact: products of bytes are added in f64, which holds
// every whole number up to 2^53.
#include <algorithm>
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/ops/convolution.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/matmul.h"
#include "ingot/ops/quantization.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::InferContext;
using ir::ReferenceCall;
using ir::Type;

// A quantised tensor without its zero point, in f64. `axis` is the one along which there are
// several zero points; those of higher rank broadcast.
Tensor Centred(const TensorView& x, const TensorView* zero, int axis) {
  const std::vector<double> values = QuantizedValues(x);
  Tensor result = Tensor::Of<double>(Shape(x.dims), std::span<const double>(values));
  if (zero == nullptr || zero->data == nullptr) return result;
  const std::vector<double> zeros = QuantizedValues(*zero);
  const std::span<double> out = result.data<double>();
  if (zero->rank() <= 1) {
    const QuantizationGrid grid(x.dims, zero->dims, axis, 0);
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] -= zeros[static_cast<size_t>(grid[static_cast<int64_t>(i)])];
    }
    return result;
  }
  StridedIndex<1> index(x.dims, {BroadcastStrides(zero->dims, x.dims)});
  for (size_t i = 0; i < out.size(); ++i, index.Next())
    out[i] -= zeros[static_cast<size_t>(index[0])];
  return result;
}

const TensorView* Find(const ReferenceCall& call, size_t i) {
  return call.has_input(i) ? &call.input(i) : nullptr;
}

// Scales are f32 in all models; other floats are rounded to it.
std::vector<float> ScalesOf(const TensorView& view) {
  std::vector<float> scales(static_cast<size_t>(view.size()));
  ConvertElements(view.data, view.dtype, scales.data(), DType::kF32, view.size());
  return scales;
}

float ScaleAt(const std::vector<float>& scales, int64_t i) {
  return scales[scales.size() == 1 ? 0 : static_cast<size_t>(i)];
}

// Which inputs an op has where: x, its scale and zero point, and those of w; -1: none.
struct Places {
  int x, x_scale, x_zero, w, w_scale, w_zero;
};
constexpr Places kInteger = {0, -1, 2, 1, -1, 3};
constexpr Places kQLinear = {0, 1, 2, 3, 4, 5};

const TensorView* Find(const ReferenceCall& call, int i) {
  return i < 0 ? nullptr : Find(call, static_cast<size_t>(i));
}

void CheckQuantized(const InferContext& context, size_t i) {
  const Type& type = context.input(i);
  if (type.is_tensor() && IsQuantizedType(type.dtype())) return;
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " + type.ToString() +
                                            ", expected a quantised tensor");
}

void CheckScale(const InferContext& context, size_t i) {
  const Type& type = context.input(i);
  if (type.is_tensor() && IsFloat(type.dtype())) return;
  throw Error(ErrorCode::kInvalidInput,
              "input " + std::to_string(i) + " is " + type.ToString() + ", expected a scale");
}

void StoreSums(const Tensor& sums, const TensorView& out) {
  for (int64_t i = 0; i < out.size(); ++i) {
    // Beyond 32 bits it wraps around, as hardware does.
    const auto wide = static_cast<int64_t>(sums.data<double>()[static_cast<size_t>(i)]);
    out.as<int32_t>()[i] = static_cast<int32_t>(static_cast<uint32_t>(wide));
  }
}

// sums * multiplier of the channel, rounded, plus the zero point. `inner` elements in a row belong
// to one channel.
void Requantize(const Tensor& sums, const TensorView& x_scale, const TensorView& w_scale,
                const TensorView& y_scale, const TensorView* y_zero, int64_t channels,
                int64_t inner, float alpha, const TensorView& out) {
  const double zero = y_zero == nullptr ? 0.0 : QuantizedValues(*y_zero)[0];
  const std::vector<float> x = ScalesOf(x_scale), w = ScalesOf(w_scale), y = ScalesOf(y_scale);
  std::vector<double> values(static_cast<size_t>(out.size()));
  for (int64_t i = 0; i < out.size(); ++i) {
    const float multiplier =
        alpha * ScaleAt(x, 0) * ScaleAt(w, i / inner % channels) / ScaleAt(y, 0);
    const auto sum = static_cast<float>(sums.data<double>()[static_cast<size_t>(i)]);
    values[static_cast<size_t>(i)] = std::nearbyint(sum * multiplier) + zero;
  }
  StoreQuantized(values, out);
}

// ---- products of matrices ----

Tensor Multiply(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                const Shape& shape) {
  Tensor sums(DType::kF64, shape);
  ForEachProduct<double, double>(a.view(), b.view(), transpose_a, transpose_b,
                                 [&](int64_t begin, const std::vector<double>& matrix) {
                                   std::copy(matrix.begin(), matrix.end(),
                                             sums.data<double>().begin() + begin);
                                 });
  return sums;
}

Tensor MatrixSums(const ReferenceCall& call, const Places& places) {
  const TensorView& a = call.input(static_cast<size_t>(places.x));
  const TensorView& b = call.input(static_cast<size_t>(places.w));
  const Tensor left = Centred(a, Find(call, places.x_zero), a.rank() > 1 ? a.rank() - 2 : 0);
  const Tensor right = Centred(b, Find(call, places.w_zero), b.rank() - 1);
  return Multiply(left, false, right, false, Shape(call.output().dims));
}

void InferMatMul(InferContext& context, size_t a, size_t b, DType dtype) {
  CheckQuantized(context, a);
  CheckQuantized(context, b);
  context.SetOutput(0,
                    ProductType(context.input(a), context.input(b), false, false).WithDType(dtype));
}

void RegisterMatMuls(ir::OpRegistry& registry) {
  ir::OpDefinition integer;
  integer.name = "MatMulInteger";
  integer.since_version = 10;
  integer.summary = "A product of quantised matrices without their zero points, in i32.";
  integer.inputs = {Required("A", "T1"), Required("B", "T2"), Optional("a_zero_point", "T1"),
                    Optional("b_zero_point", "T2")};
  integer.outputs = {Required("Y", "T3")};
  integer.infer = [](InferContext& context) { InferMatMul(context, 0, 1, DType::kI32); };
  integer.reference = [](const ReferenceCall& call) {
    StoreSums(MatrixSums(call, kInteger), call.output());
  };
  const OpCase::Input a = Bytes({2, 3}, {11, 7, 3, 10, 6, 2});
  const OpCase::Input b = Bytes({3, 2}, {1, 4, 2, 5, 3, 6});
  integer.cases = {
      ExpectedOnly("plain", {a, b}, {34, 97, 28, 82}),
      ExpectedOnly("zero_points", {a, b, Bytes({}, {12}), Bytes({}, {0})}, {-38, -83, -44, -98}),
      ExpectedOnly("rows_and_columns",
                   {a, Bytes({3, 2}, {-128, 4, 127, 5, 3, 6}, DType::kI8), Bytes({2}, {1, 2}),
                    Bytes({2}, {0, -1}, DType::kI8)},
                   {-1280 + 762 + 6, 50 + 36 + 14, -1024 + 508, 40 + 24})};
  registry.Add(std::move(integer));

  ir::OpDefinition linear;
  linear.name = "QLinearMatMul";
  linear.since_version = 21;
  linear.summary = "A product of quantised matrices, quantised again.";
  linear.inputs = {
      Required("a", "T1"),       Required("a_scale", "TS"),     Required("a_zero_point", "T1"),
      Required("b", "T2"),       Required("b_scale", "TS"),     Required("b_zero_point", "T2"),
      Required("y_scale", "TS"), Required("y_zero_point", "T3")};
  linear.outputs = {Required("y", "T3")};
  linear.infer = [](InferContext& context) {
    for (const size_t i : {1, 4, 6}) CheckScale(context, i);
    InferMatMul(context, 0, 3, context.input(7).dtype());
  };
  linear.reference = [](const ReferenceCall& call) {
    const int64_t columns = call.input(3).rank() > 1 ? call.input(3).dim(-1) : 1;
    Requantize(MatrixSums(call, kQLinear), call.input(1), call.input(4), call.input(6),
               &call.input(7), columns, 1, 1.0F, call.output());
  };
  const OpCase::Input half = FixedFloats({}, {0.5}), zero = Bytes({}, {0});
  linear.cases = {ExpectedOnly("by_hand",
                               {a, half, zero, b, FixedFloats({2}, {0.5, 0.25}), zero,
                                FixedFloats({}, {1}), Bytes({}, {10})},
                               {18, 22, 17, 20})};
  registry.Add(std::move(linear));
}

// ---- QGemm ----

Type QGemmType(const InferContext& context) {
  const ir::Node& node = context.node();
  const DType dtype = context.HasInput(8) ? context.input(8).dtype() : context.input(1).dtype();
  return ProductType(context.input(0), context.input(3), node.GetInt("transA") != 0,
                     node.GetInt("transB") != 0)
      .WithDType(dtype);
}

void RunQGemm(const ReferenceCall& call) {
  const bool transpose_a = call.node.GetInt("transA") != 0;
  const bool transpose_b = call.node.GetInt("transB") != 0;
  const auto alpha = static_cast<float>(call.node.GetFloat("alpha"));
  const Tensor a = Centred(call.input(0), Find(call, size_t{2}), transpose_a ? 1 : 0);
  const Tensor b = Centred(call.input(3), Find(call, size_t{5}), transpose_b ? 0 : 1);
  Tensor sums = Multiply(a, transpose_a, b, transpose_b, Shape(call.output().dims));
  if (call.has_input(6)) {
    const std::vector<double> bias = QuantizedValues(call.input(6));
    StridedIndex<1> index(call.output().dims,
                          {BroadcastStrides(call.input(6).dims, call.output().dims)});
    for (double& sum : sums.data<double>()) {
      sum += bias[static_cast<size_t>(index[0])];
      index.Next();
    }
  }
  const int64_t columns = call.output().dim(-1);
  if (call.has_input(7)) {
    Requantize(sums, call.input(1), call.input(4), call.input(7), Find(call, size_t{8}), columns, 1,
               alpha, call.output());
    return;
  }
  const std::vector<float> x = ScalesOf(call.input(1)), w = ScalesOf(call.input(4));
  std::vector<float> values(static_cast<size_t>(call.output().size()));
  for (size_t i = 0; i < values.size(); ++i) {
    const float scale = alpha * ScaleAt(x, 0) * ScaleAt(w, static_cast<int64_t>(i) % columns);
    values[i] = static_cast<float>(sums.data<double>()[i]) * scale;
  }
  ConvertElements(values.data(), DType::kF32, call.output().data, call.output().dtype,
                  call.output().size());
}

void RegisterQGemm(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "QGemm";
  op.domain = "com.microsoft";
  op.summary = "Gemm of quantised matrices; f32 where no output scale is given.";
  op.inputs = {Required("A", "TA"), Required("a_scale", "T"), Required("a_zero_point", "TA"),
               Required("B", "TB"), Required("b_scale", "T"), Required("b_zero_point", "TB"),
               Optional("C", "TC"), Optional("y_scale", "T"), Optional("y_zero_point", "TYZ")};
  op.outputs = {Required("Y", "TY")};
  op.attributes = {FloatAttribute("alpha", 1), IntAttribute("transA", 0),
                   IntAttribute("transB", 0)};
  op.infer = [](InferContext& context) {
    CheckQuantized(context, 0);
    CheckQuantized(context, 3);
    CheckScale(context, 1);
    CheckScale(context, 4);
    if (context.HasInput(7)) CheckScale(context, 7);
    context.SetOutput(0, QGemmType(context));
  };
  op.reference = RunQGemm;
  const OpCase::Input a = Bytes({1, 3}, {1, 2, 3}), one = FixedFloats({}, {1}),
                      zero = Bytes({}, {0});
  const OpCase::Input b = Bytes({2, 3}, {1, 1, 1, 4, 5, 6}, DType::kI8);
  const OpCase::Input no = Bytes({}, {0}, DType::kI8);
  const ir::Attributes transposed = {{"transB", Attribute(int64_t{1})}};
  op.cases = {
      ExpectedOnly("quantised",
                   {a, one, zero, b, FixedFloats({2}, {0.5, 2}), Bytes({2}, {0, 1}, DType::kI8),
                    Bytes({2}, {4, -6}, DType::kI32), FixedFloats({}, {2}), Bytes({}, {100})},
                   {102, 120}, transposed),
      ExpectedOnly("floats", {a, one, zero, b, FixedFloats({}, {0.5}), no}, {3, 16}, transposed)};
  registry.Add(std::move(op));
}

// ---- convolutions ----

std::vector<ir::AttributeSpec> ConvolutionAttributes() {
  std::vector<ir::AttributeSpec> attributes = WindowAttributeSpecs();
  attributes.push_back(IntAttribute("group", 1));
  attributes.push_back(OptionalAttribute("kernel_shape", ir::AttributeKind::kInts));
  return attributes;
}

void InferConvolution(InferContext& context, size_t x, size_t w, DType dtype) {
  CheckQuantized(context, x);
  CheckQuantized(context, w);
  if (!context.input(x).has_rank() || !context.input(w).has_rank()) {
    context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
    return;
  }
  context.SetOutput(
      0, ConvolutionOf(context.node(), context.input(x), context.input(w)).y_type(dtype));
}

Tensor ConvolutionSums(const ReferenceCall& call, const Places& places) {
  const TensorView& x = call.input(static_cast<size_t>(places.x));
  const TensorView& w = call.input(static_cast<size_t>(places.w));
  const Tensor data = Centred(x, Find(call, places.x_zero), 1);
  const Tensor weights = Centred(w, Find(call, places.w_zero), 0);
  Tensor sums(DType::kF64, Shape(call.output().dims));
  const Convolution convolution = ConvolutionOf(call.node, Type::Tensor(DType::kF64, data.shape()),
                                                Type::Tensor(DType::kF64, weights.shape()));
  ConvolveForward(convolution, data.view(), weights.view(), TensorView{}, sums.view());
  return sums;
}

void RegisterConvolutions(ir::OpRegistry& registry) {
  ir::OpDefinition integer;
  integer.name = "ConvInteger";
  integer.since_version = 10;
  integer.summary = "A convolution of quantised tensors without their zero points, in i32.";
  integer.inputs = {Required("x", "T1"), Required("w", "T2"), Optional("x_zero_point", "T1"),
                    Optional("w_zero_point", "T2")};
  integer.outputs = {Required("y", "T3")};
  integer.attributes = ConvolutionAttributes();
  integer.infer = [](InferContext& context) { InferConvolution(context, 0, 1, DType::kI32); };
  integer.reference = [](const ReferenceCall& call) {
    StoreSums(ConvolutionSums(call, kInteger), call.output());
  };
  const OpCase::Input x = Bytes({1, 1, 3, 3}, {2, 3, 4, 5, 6, 7, 8, 9, 10});
  const OpCase::Input ones = Bytes({1, 1, 2, 2}, {1, 1, 1, 1});
  const ir::Attributes padded = {{"pads", Attribute(std::vector<int64_t>{1, 1, 1, 1})}};
  integer.cases = {ExpectedOnly("plain", {x, ones, Bytes({}, {1})}, {12, 16, 24, 28}),
                   ExpectedOnly("padded", {x, ones, Bytes({}, {1})},
                                {1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9}, padded)};
  registry.Add(std::move(integer));

  ir::OpDefinition linear;
  linear.name = "QLinearConv";
  linear.since_version = 10;
  linear.summary = "A convolution of quantised tensors with a bias in i32, quantised again.";
  linear.inputs = {
      Required("x", "T1"),      Required("x_scale", "S"),       Required("x_zero_point", "T1"),
      Required("w", "T2"),      Required("w_scale", "S"),       Required("w_zero_point", "T2"),
      Required("y_scale", "S"), Required("y_zero_point", "T3"), Optional("B", "T4")};
  linear.outputs = {Required("y", "T3")};
  linear.attributes = ConvolutionAttributes();
  linear.infer = [](InferContext& context) {
    for (const size_t i : {1, 4, 6}) CheckScale(context, i);
    InferConvolution(context, 0, 3, context.input(7).dtype());
  };
  linear.reference = [](const ReferenceCall& call) {
    Tensor sums = ConvolutionSums(call, kQLinear);
    const int64_t channels = call.input(3).dim(0);
    int64_t inner = 1;
    for (int axis = 2; axis < call.output().rank(); ++axis) inner *= call.output().dim(axis);
    if (call.has_input(8)) {
      const std::vector<double> bias = QuantizedValues(call.input(8));
      const std::span<double> out = sums.data<double>();
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] += bias.at(static_cast<size_t>(static_cast<int64_t>(i) / inner % channels));
      }
    }
    Requantize(sums, call.input(1), call.input(4), call.input(6), &call.input(7), channels, inner,
               1.0F, call.output());
  };
  linear.cases = {ExpectedOnly(
      "by_hand",
      {x, FixedFloats({}, {0.5}), Bytes({}, {1}),
       Bytes({2, 1, 3, 3}, {1, 1, 1, 1, 1, 1, 1, 1, 1, -1, 0, 0, 0, 0, 0, 0, 0, 1}, DType::kI8),
       FixedFloats({2}, {1, 0.5}), Bytes({2}, {0, 0}, DType::kI8), FixedFloats({}, {0.25}),
       Bytes({}, {10}), Bytes({2}, {-5, 0}, DType::kI32)},
      {90, 18})};
  registry.Add(std::move(linear));
}

}  // namespace

void RegisterQuantizedProducts(ir::OpRegistry& registry) {
  RegisterMatMuls(registry);
  RegisterQGemm(registry);
  RegisterConvolutions(registry);
}

}  // namespace ingot::ops
