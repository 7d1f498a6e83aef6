// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear.
//
// As ONNX Runtime computes them: in f32, rounded to nearest even, saturated.
#include "ingot/ops/quantization.h"

#include <algorithm>
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::InferContext;
using ir::ReferenceCall;
using ir::Type;

std::vector<float> Floats32(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.size()));
  ConvertElements(view.data, view.dtype, values.data(), DType::kF32, view.size());
  return values;
}

std::vector<double> ZeroPoints(const ReferenceCall& call, size_t i, int64_t count) {
  if (call.has_input(i)) return QuantizedValues(call.input(i));
  return std::vector<double>(static_cast<size_t>(count), 0.0);
}

void CheckTensor(const InferContext& context, size_t i) {
  if (context.input(i).is_tensor()) return;
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " +
                                            context.input(i).ToString() + ", expected a tensor");
}

// What QuantizeLinear gives: the type of the zero point, or of `output_dtype`, or u8.
DType QuantizedType(const InferContext& context) {
  const int64_t number = context.node().GetInt("output_dtype");
  const bool given = context.HasInput(2);
  const DType dtype = given         ? context.input(2).dtype()
                      : number == 0 ? DType::kU8
                                    : static_cast<DType>(number);
  if (number < 0 || number > 255 || !IsQuantizedType(dtype)) {
    throw Error(ErrorCode::kUnsupported,
                "it quantises to the element type number " +
                    std::to_string(given ? static_cast<int64_t>(dtype) : number) +
                    ", expected an integer of 2 to 16 bits or an 8-bit float");
  }
  return dtype;
}

QuantizationGrid GridOf(const ReferenceCall& call) {
  return {call.input(0).dims, call.input(1).dims, call.node.GetInt("axis"),
          call.node.GetInt("block_size")};
}

void Quantize(const ReferenceCall& call) {
  const QuantizationGrid grid = GridOf(call);
  const std::vector<float> x = Floats32(call.input(0)), scales = Floats32(call.input(1));
  const std::vector<double> zeros = ZeroPoints(call, 2, call.input(1).size());
  const bool small_float = IsSmallFloat(call.output().dtype);
  std::vector<double> values(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const auto place = static_cast<size_t>(grid[static_cast<int64_t>(i)]);
    const float quotient = x[i] / scales[place];
    values[i] = (small_float ? quotient : std::nearbyint(quotient)) + zeros[place];
  }
  StoreQuantized(values, call.output(), call.node.GetInt("saturate") != 0);
}

void Dequantize(const ReferenceCall& call) {
  const QuantizationGrid grid = GridOf(call);
  const std::vector<double> x = QuantizedValues(call.input(0));
  const std::vector<float> scales = Floats32(call.input(1));
  const std::vector<double> zeros = ZeroPoints(call, 2, call.input(1).size());
  std::vector<float> values(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const auto place = static_cast<size_t>(grid[static_cast<int64_t>(i)]);
    values[i] = static_cast<float>(x[i] - zeros[place]) * scales[place];
  }
  ConvertElements(values.data(), DType::kF32, call.output().data, call.output().dtype,
                  call.output().size());
}

void RegisterQuantize(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "QuantizeLinear";
  op.since_version = 25;
  op.summary = "Each number divided by its scale, rounded to nearest even, plus a zero point.";
  op.inputs = {Required("x", "T1"), Required("y_scale", "T2"), Optional("y_zero_point", "T3")};
  op.outputs = {Required("y", "T3")};
  op.attributes = {IntAttribute("axis", 1), IntAttribute("block_size", 0),
                   IntAttribute("output_dtype", 0), IntAttribute("precision", 0),
                   IntAttribute("saturate", 1)};
  op.infer = [](InferContext& context) {
    CheckTensor(context, 0);
    CheckTensor(context, 1);
    context.SetOutput(0, context.input(0).WithDType(QuantizedType(context)));
  };
  op.reference = Quantize;
  const OpCase::Input x = FixedFloats({2, 3}, {-1, 0.5, 0.75, 2, 2.5, 1000});
  op.cases = {
      ExpectedOnly("bytes", {x, FixedFloats({}, {0.5}), Bytes({}, {128})},
                   {126, 129, 130, 132, 133, 255}),
      ExpectedOnly("default", {x, FixedFloats({}, {0.5})}, {0, 1, 2, 4, 5, 255}),
      ExpectedOnly("signed", {x, FixedFloats({}, {0.5}), Bytes({}, {-3}, DType::kI8)},
                   {-5, -2, -1, 1, 2, 127}),
      ExpectedOnly("axis", {x, FixedFloats({2}, {0.5, 1}), Bytes({2}, {1, 2})},
                   {0, 2, 3, 4, 4, 255}, {{"axis", Attribute(int64_t{0})}}),
      ExpectedOnly("blocks", {x, FixedFloats({2, 2}, {0.5, 0.25, 1, 2})}, {0, 1, 3, 2, 2, 255},
                   {{"axis", Attribute(int64_t{1})}, {"block_size", Attribute(int64_t{2})}})};
  registry.Add(std::move(op));
}

void RegisterDequantize(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "DequantizeLinear";
  op.since_version = 25;
  op.summary = "Each number without its zero point, times its scale.";
  op.inputs = {Required("x", "T1"), Required("x_scale", "T2"), Optional("x_zero_point", "T1")};
  op.outputs = {Required("y", "T3")};
  op.attributes = {IntAttribute("axis", 1), IntAttribute("block_size", 0),
                   IntAttribute("output_dtype", 0)};
  op.infer = [](InferContext& context) {
    CheckTensor(context, 0);
    CheckTensor(context, 1);
    const int64_t number = context.node().GetInt("output_dtype");
    const DType dtype = number == 0 ? context.input(1).dtype() : static_cast<DType>(number);
    if (number < 0 || number > 255 || !IsFloat(dtype)) {
      throw Error(ErrorCode::kInvalidInput, "the scale is " + context.input(1).ToString() +
                                                " and the output type number " +
                                                std::to_string(number) + ", expected floats");
    }
    context.SetOutput(0, context.input(0).WithDType(dtype));
  };
  op.reference = Dequantize;
  const OpCase::Input x = Bytes({2, 3}, {0, 128, 255, 1, 2, 3});
  op.cases = {
      ExpectedOnly("bytes", {x, FixedFloats({}, {0.5}), Bytes({}, {128})},
                   {-64, 0, 63.5, -63.5, -63, -62.5}),
      ExpectedOnly("no_zero_point",
                   {Bytes({3}, {1 << 30, -7, 0}, DType::kI32), FixedFloats({}, {2})},
                   {2147483648.0, -14, 0}),
      ExpectedOnly("axis", {x, FixedFloats({3}, {1, 2, 4}), Bytes({3}, {0, 128, 255})},
                   {0, 0, 0, 1, -252, -1008}),
      ExpectedOnly("blocks", {x, FixedFloats({1, 3}, {1, 2, 4})}, {0, 256, 1020, 1, 4, 12},
                   {{"axis", Attribute(int64_t{0})}, {"block_size", Attribute(int64_t{2})}})};
  registry.Add(std::move(op));
}

void DynamicQuantize(const ReferenceCall& call) {
  const std::vector<float> x = Floats32(call.input(0));
  float low = 0, high = 0;
  for (const float value : x) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const float scale = low == high ? 1.0F : (high - low) / 255.0F;
  const float zero = std::clamp(std::nearbyint(0.0F - low / scale), 0.0F, 255.0F);
  std::vector<double> values(x.size());
  for (size_t i = 0; i < x.size(); ++i) values[i] = std::nearbyint(x[i] / scale) + zero;
  StoreQuantized(values, call.output(0));
  ConvertElements(&scale, DType::kF32, call.output(1).data, call.output(1).dtype, 1);
  StoreQuantized({zero}, call.output(2));
}

void RegisterDynamicQuantize(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "DynamicQuantizeLinear";
  op.since_version = 11;
  op.summary = "Quantised to bytes by the range of its own values, which includes 0.";
  op.inputs = {Required("x", "T1")};
  op.outputs = {Required("y", "T2"), Required("y_scale", "T1"), Required("y_zero_point", "T2")};
  op.infer = [](InferContext& context) {
    CheckTensor(context, 0);
    const DType dtype = context.input(0).dtype();
    if (!IsFloat(dtype)) {
      throw Error(ErrorCode::kInvalidInput,
                  "input 0 is " + context.input(0).ToString() + ", expected floats");
    }
    context.SetOutput(0, context.input(0).WithDType(DType::kU8));
    context.SetOutput(1, Type::Tensor(dtype, Shape{}));
    context.SetOutput(2, Type::Tensor(DType::kU8, Shape{}));
  };
  op.reference = DynamicQuantize;
  op.cases = {OpCase{.name = "by_hand",
                     .inputs = {FixedFloats({4}, {-2, 0, 0.5, 29.875})},
                     .expected = {{0, 16, 20, 255}, {0.125}, {16}},
                     .outputs = 3,
                     .gradient = false},
              OpCase{.name = "zeros",
                     .inputs = {FixedFloats({2}, {0, 0})},
                     .expected = {{0, 0}, {1}, {0}},
                     .outputs = 3,
                     .gradient = false}};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterQuantization(ir::OpRegistry& registry) {
  RegisterQuantize(registry);
  RegisterDequantize(registry);
  RegisterDynamicQuantize(registry);
}

}  // namespace ingot::ops
