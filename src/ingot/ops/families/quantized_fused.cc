// ingot.QuantizedConv and ingot.QuantizedMatMul: products of bytes with what follows them, made by
// the passes of inference from the quantised forms of ONNX.
//
//   sum = sum of (X - x_zero) * (W - w_zero), a whole number;
//   v = epilogue((sum + bias) * scale + offset), in f32;
//   Y = v (y_type f32), or v rounded to nearest even plus y_zero, saturated to a byte.
// scale, bias and offset have one number for each output channel (column). X is [N, spatial..., C]
// where channels_last is 1; W is [O, C / group, kernel...] always.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/epilogue.h"
#include "ingot/ops/fused_convolution.h"
#include "ingot/ops/matmul.h"

namespace ingot::ops {

void RegisterQuantizedFused(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::ReferenceCall;
using ir::Type;

constexpr size_t kScale = 2, kBias = 3, kOffset = 4;

void CheckBytes(const InferContext& context, size_t i) {
  const DType dtype = context.input(i).dtype();
  if (dtype == DType::kU8 || dtype == DType::kI8) return;
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " +
                                            context.input(i).ToString() + ", expected u8 or i8");
}

DType ResultType(const ir::Node& node) {
  const int64_t number = node.GetInt("y_type");
  const auto dtype = static_cast<DType>(number);
  if (number == 1 || number == 2 || number == 3) return dtype;
  throw Error(ErrorCode::kInvalidInput,
              "y_type is " + std::to_string(number) + ", expected f32, u8 or i8");
}

// RandomBytes without their zero point, in f64.
Tensor CentredAt(const TensorView& x, int64_t zero) {
  Tensor result(DType::kF64, Shape(x.dims));
  ConvertElements(x.data, x.dtype, result.raw(), DType::kF64, x.size());
  for (double& value : result.data<double>()) value -= static_cast<double>(zero);
  return result;
}

std::vector<float> Floats32(const ReferenceCall& call, size_t input) {
  if (!call.has_input(input)) return {};
  const TensorView& view = call.input(input);
  std::vector<float> values(static_cast<size_t>(view.size()));
  ConvertElements(view.data, view.dtype, values.data(), DType::kF32, view.size());
  return values;
}

// `channel_of(i)`: which number of scale, bias and offset belongs to output i.
template <typename Channel>
void Finish(const ReferenceCall& call, const Tensor& sums, const Channel& channel_of) {
  const ir::Node& node = call.node;
  const TensorView& y = call.output();
  const std::string& epilogue = node.GetString("epilogue");
  const double alpha = node.GetFloat("alpha"), beta = node.GetFloat("beta");
  const auto zero = static_cast<float>(node.GetInt("y_zero"));
  const std::vector<float> scale = Floats32(call, kScale), offset = Floats32(call, kOffset);
  for (int64_t i = 0; i < y.size(); ++i) {
    const auto channel = static_cast<size_t>(channel_of(i));
    double sum = sums.data<double>()[static_cast<size_t>(i)];
    if (call.has_input(kBias)) sum += call.input(kBias).as<int32_t>()[channel];
    float value = static_cast<float>(sum) * scale[channel];
    if (!offset.empty()) value += offset[channel];
    value = static_cast<float>(ApplyEpilogue(epilogue, alpha, beta, value));
    if (y.dtype == DType::kF32) y.as<float>()[i] = value;
    const float rounded = std::nearbyint(value) + zero;
    if (y.dtype == DType::kU8) {
      y.as<uint8_t>()[i] = static_cast<uint8_t>(std::clamp(rounded, 0.0F, 255.0F));
    }
    if (y.dtype == DType::kI8) {
      y.as<int8_t>()[i] = static_cast<int8_t>(std::clamp(rounded, -128.0F, 127.0F));
    }
  }
}

// [O, C, taps...] -> [taps..., C, O].
Tensor FilterLast(const Tensor& w) {
  const std::vector<int64_t>& dims = w.shape().dims();
  std::vector<int64_t> moved(dims.begin() + 2, dims.end());
  moved.push_back(dims[1]);
  moved.push_back(dims[0]);
  Tensor result(DType::kF64, Shape(moved));
  const int64_t taps = dims[0] * dims[1] == 0 ? 0 : w.size() / (dims[0] * dims[1]);
  const double* from = w.data<double>().data();
  for (int64_t o = 0; o < dims[0]; ++o) {
    for (int64_t c = 0; c < dims[1]; ++c) {
      for (int64_t t = 0; t < taps; ++t) {
        result.data<double>()[static_cast<size_t>((t * dims[1] + c) * dims[0] + o)] = *from++;
      }
    }
  }
  return result;
}

void RunConv(const ReferenceCall& call) {
  const Tensor x = CentredAt(call.input(0), call.node.GetInt("x_zero"));
  Tensor w = CentredAt(call.input(1), call.node.GetInt("w_zero"));
  const Convolution convolution = FusedConvolutionOf(
      call.node, Type::Tensor(DType::kF64, x.shape()), Type::Tensor(DType::kF64, w.shape()));
  if (convolution.channels_last) w = FilterLast(w);
  Tensor sums(DType::kF64, Shape(call.output().dims));
  ConvolveForward(convolution, x.view(), w.view(), TensorView(), sums.view());
  const TensorView& y = call.output();
  const int64_t channels = convolution.outputs.value();
  int64_t inner = 1;  // elements from one channel to the next
  for (int axis = 2; !convolution.channels_last && axis < y.rank(); ++axis) inner *= y.dim(axis);
  Finish(call, sums, [=](int64_t i) { return i / inner % channels; });
}

void RunMatMul(const ReferenceCall& call) {
  const Tensor a = CentredAt(call.input(0), call.node.GetInt("x_zero"));
  const Tensor w = CentredAt(call.input(1), call.node.GetInt("w_zero"));
  Tensor sums(DType::kF64, Shape(call.output().dims));
  ForEachProduct<double, double>(a.view(), w.view(), false, call.node.GetInt("trans_b") != 0,
                                 [&](int64_t begin, const std::vector<double>& matrix) {
                                   std::copy(matrix.begin(), matrix.end(),
                                             sums.data<double>().begin() + begin);
                                 });
  const int64_t columns = call.output().dim(-1);
  Finish(call, sums, [=](int64_t i) { return i % columns; });
}

OpCase::Input RandomBytes(Shape shape, DType dtype, int64_t seed) {
  std::vector<int64_t> values;
  uint64_t state = static_cast<uint64_t>(seed) * 2654435761U + 12345;
  for (int64_t i = 0; i < shape.size(); ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto byte = static_cast<int64_t>(state >> 56);
    values.push_back(dtype == DType::kI8 ? byte - 128 : byte);
  }
  return Integers(std::move(shape), values, dtype);
}

OpCase::Input Numbers(int64_t count, float first, float step) {
  OpCase::Input input;
  input.shape = Shape{count};
  Tensor tensor(DType::kF32, input.shape);
  for (int64_t i = 0; i < count; ++i) {
    tensor.data<float>()[static_cast<size_t>(i)] = first + step * static_cast<float>(i);
  }
  input.value = tensor;
  input.differentiable = false;
  return input;
}

// Steps are powers of two, so that rounding is exact whatever the order.
std::vector<OpCase> ConvCases() {
  using Ints = std::vector<int64_t>;
  const Ints ones = {1, 1, 1, 1};
  std::vector<OpCase> cases;
  // 3 * 2 + 1 * -1 = 5, + 1 = 6, * 1/2 = 3, rounded, + 10.
  cases.push_back(ExpectedOnly(
      "by_hand",
      {Integers({1, 2, 1}, {5, 3}, DType::kU8), Integers({1, 2, 1}, {2, -1}, DType::kI8),
       Numbers(1, 0.5F, 0), Integers({1}, {1}, DType::kI32)},
      {13}, {{"x_zero", int64_t{2}}, {"y_type", int64_t{2}}, {"y_zero", int64_t{10}}}));
  for (const int64_t type : {1, 2, 3}) {
    for (const bool is_signed : {false, true}) {
      const DType x = is_signed ? DType::kI8 : DType::kU8;
      cases.push_back(
          OpCase{.name = "planes_" + std::to_string(type) + (is_signed ? "s" : "u"),
                 .inputs = {RandomBytes({2, 6, 7, 5}, x, 1),
                            RandomBytes({9, 5, 3, 3}, DType::kI8, 2), Numbers(9, 0.0009765625F, 0),
                            Integers({9}, {1, -2, 3, 4, 5, 6, 7, 8, -900}, DType::kI32),
                            Numbers(9, 0.5F, 0.25F)},
                 .attributes = {{"pads", ones},
                                {"channels_last", int64_t{1}},
                                {"x_zero", int64_t{is_signed ? -3 : 120}},
                                {"y_zero", int64_t{is_signed ? 5 : 100}},
                                {"y_type", type}},
                 .gradient = false});
    }
  }
  cases.push_back(
      OpCase{.name = "depthwise",
             .inputs = {RandomBytes({1, 9, 8, 20}, DType::kU8, 3),
                        RandomBytes({20, 1, 3, 3}, DType::kU8, 4), Numbers(20, 0.0078125F, 0)},
             .attributes = {{"pads", ones},
                            {"group", int64_t{20}},
                            {"strides", Ints{2, 2}},
                            {"channels_last", int64_t{1}},
                            {"x_zero", int64_t{128}},
                            {"w_zero", int64_t{127}},
                            {"y_type", int64_t{2}},
                            {"epilogue", std::string("relu")}},
             .gradient = false});
  cases.push_back(
      OpCase{.name = "one_by_one",
             .inputs = {RandomBytes({3, 4, 5, 33}, DType::kU8, 5),
                        RandomBytes({40, 33, 1, 1}, DType::kI8, 6), Numbers(40, 0.0009765625F, 0)},
             .attributes = {{"channels_last", int64_t{1}},
                            {"x_zero", int64_t{10}},
                            {"y_type", int64_t{2}},
                            {"y_zero", int64_t{30}}},
             .gradient = false});
  return cases;
}

std::vector<OpCase> MatMulCases() {
  std::vector<OpCase> cases;
  cases.push_back(
      ExpectedOnly("by_hand",
                   {Integers({1, 2}, {5, 3}, DType::kU8), Integers({2, 1}, {2, -1}, DType::kI8),
                    Numbers(1, 0.5F, 0), Absent(), Numbers(1, 4, 0)},
                   {6.5}, {{"x_zero", int64_t{2}}}));
  for (const int64_t rows : {1, 2, 3, 13}) {
    cases.push_back(OpCase{
        .name = "rows_" + std::to_string(rows),
        .inputs = {RandomBytes({rows, 37}, DType::kU8, rows), RandomBytes({37, 70}, DType::kI8, 7),
                   Numbers(70, 0.0009765625F, 0)},
        .attributes = {{"x_zero", int64_t{101}}, {"y_type", int64_t{3}}, {"y_zero", int64_t{-7}}},
        .gradient = false});
  }
  cases.push_back(OpCase{
      .name = "transposed",
      .inputs = {RandomBytes({2, 3, 24}, DType::kI8, 8), RandomBytes({17, 24}, DType::kI8, 9),
                 Numbers(17, 0.0009765625F, 0.0009765625F)},
      .attributes = {{"trans_b", int64_t{1}}, {"epilogue", std::string("relu")}},
      .gradient = false});
  return cases;
}

std::vector<ir::AttributeSpec> CommonAttributes() {
  return {
      IntAttribute("x_zero", 0), IntAttribute("w_zero", 0),           IntAttribute("y_zero", 0),
      IntAttribute("y_type", 1), StringAttribute("epilogue", "none"), FloatAttribute("alpha", 0),
      FloatAttribute("beta", 0)};
}

std::vector<ir::Port> Ports() {
  return {Required("X", "TX"), Required("W", "TW"), Required("scale", "TS"), Optional("bias", "TB"),
          Optional("offset", "TS")};
}

}  // namespace

void RegisterQuantizedFused(ir::OpRegistry& registry) {
  ir::OpDefinition conv;
  conv.name = "QuantizedConv";
  conv.domain = "ingot";
  conv.summary = "A convolution of bytes with bias, activation and rounding to bytes.";
  conv.inputs = Ports();
  conv.outputs = {Required("Y", "TY")};
  conv.attributes = registry.Get("Conv").attributes;
  for (ir::AttributeSpec& each : CommonAttributes()) conv.attributes.push_back(each);
  conv.infer = [](InferContext& context) {
    CheckBytes(context, 0);
    CheckBytes(context, 1);
    const DType dtype = ResultType(context.node());
    if (!context.input(0).has_rank() || !context.input(1).has_rank()) {
      return context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
    }
    context.SetOutput(
        0, FusedConvolutionOf(context.node(), context.input(0), context.input(1)).y_type(dtype));
  };
  conv.reference = RunConv;
  conv.cases = ConvCases();
  registry.Add(std::move(conv));

  ir::OpDefinition product;
  product.name = "QuantizedMatMul";
  product.domain = "ingot";
  product.summary = "A product of bytes with bias, activation and rounding to bytes.";
  product.inputs = Ports();
  product.outputs = {Required("Y", "TY")};
  product.attributes = CommonAttributes();
  product.attributes.push_back(IntAttribute("trans_b", 0));
  product.infer = [](InferContext& context) {
    CheckBytes(context, 0);
    CheckBytes(context, 1);
    context.SetOutput(0, ProductType(context.input(0), context.input(1), false,
                                     context.node().GetInt("trans_b") != 0)
                             .WithDType(ResultType(context.node())));
  };
  product.reference = RunMatMul;
  product.cases = MatMulCases();
  registry.Add(std::move(product));
}

}  // namespace ingot::ops
