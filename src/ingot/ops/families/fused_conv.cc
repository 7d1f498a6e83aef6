// ingot.FusedConv: a convolution with bias, residual and activation in one kernel, made by the
// passes of inference.
//
// X and the residual are [N, spatial..., C] where channels_last is 1, but W is always as ONNX has
// it, [O, C / group, kernel...]: kernels pack it once, and folding needs no transposed copy.
#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/epilogue.h"
#include "ingot/ops/fused_convolution.h"

namespace ingot::ops {

void RegisterFusedConv(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::Type;

constexpr size_t kBias = 2;
constexpr size_t kResidual = 3;

void InferFusedConv(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const DType dtype = context.input(0).dtype();
  if (!context.input(0).has_rank() || !context.input(1).has_rank()) {
    return context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
  }
  if (context.input(1).rank() < 3) {
    throw Error(ErrorCode::kInvalidInput,
                "W is " + context.input(1).ToString() + ", expected [O, C / group, kernel...]");
  }
  const Convolution convolution =
      FusedConvolutionOf(context.node(), context.input(0), context.input(1));
  const Type y = convolution.y_type(dtype);
  if (context.HasInput(kResidual) && context.input(kResidual).is_static() && y.is_static() &&
      !(context.input(kResidual) == y)) {
    throw Error(ErrorCode::kInvalidInput, "the residual is " + context.input(kResidual).ToString() +
                                              " but the result " + y.ToString());
  }
  context.SetOutput(0, y);
}

// [O, C, taps] -> [taps, C, O] of any element.
template <typename T>
void ToChannelsLast(const TensorView& w, T* to) {
  const int64_t outputs = w.dim(0), inputs = w.dim(1);
  const int64_t taps = outputs * inputs == 0 ? 0 : w.size() / (outputs * inputs);
  const T* from = w.as<T>();
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t c = 0; c < inputs; ++c) {
      for (int64_t t = 0; t < taps; ++t) to[(t * inputs + c) * outputs + o] = *from++;
    }
  }
}

void FusedConvReference(const ir::ReferenceCall& call) {
  const TensorView &x = call.input(0), &w = call.input(1), &y = call.output();
  const Type x_type = Type::Tensor(x.dtype, Shape(x.dims));
  const Type w_type = Type::Tensor(w.dtype, Shape(w.dims));
  const Convolution convolution = FusedConvolutionOf(call.node, x_type, w_type);
  const TensorView bias = call.has_input(kBias) ? call.input(kBias) : TensorView();
  DispatchFloat("ingot.FusedConv", y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Tensor filter(w.dtype, ConvFilterType(w_type, convolution.channels_last).shape());
    if (convolution.channels_last) {
      ToChannelsLast(w, filter.data<T>().data());
    } else {
      std::copy_n(w.as<T>(), w.size(), filter.data<T>().data());
    }
    ConvolveForward(convolution, x, filter.view(), bias, y);
    const std::string& epilogue = call.node.GetString("epilogue");
    const double alpha = call.node.GetFloat("alpha"), beta = call.node.GetFloat("beta");
    for (int64_t i = 0; i < y.size(); ++i) {
      auto value = static_cast<double>(y.as<T>()[i]);
      if (call.has_input(kResidual)) {
        value += static_cast<double>(call.input(kResidual).as<T>()[i]);
      }
      const double result = ApplyEpilogue(epilogue, alpha, beta, value);
      if constexpr (std::is_same_v<T, double>) {
        y.as<T>()[i] = result;
      } else {
        y.as<T>()[i] = static_cast<T>(static_cast<float>(result));
      }
    }
  });
}

std::vector<OpCase> FusedConvCases() {
  using Ints = std::vector<int64_t>;
  std::vector<OpCase> cases;
  const auto add = [&](std::string name, std::vector<OpCase::Input> inputs,
                       ir::Attributes attributes) {
    cases.push_back(OpCase{.name = std::move(name),
                           .inputs = std::move(inputs),
                           .attributes = std::move(attributes),
                           .gradient = false});
  };
  const Ints ones = {1, 1, 1, 1};
  cases.push_back(OpCase{.name = "by_hand",
                         .inputs = {Floats({1, 1, 1, 3}, {1, 2, -3}), Floats({1, 1, 1, 2}, {1, 1}),
                                    Floats({1}, {-1}), Floats({1, 1, 1, 2}, {1, -2})},
                         .attributes = {{"epilogue", std::string("relu")}},
                         .expected = {{3, 0}},
                         .gradient = false});
  for (const std::string& epilogue : EpilogueNames()) {
    add(epilogue, {Uniform({2, 6, 7, 5}, -3, 3), Uniform({4, 5, 3, 3}), Uniform({4})},
        {{"pads", ones},
         {"channels_last", int64_t{1}},
         {"epilogue", epilogue},
         {"alpha", -0.5},
         {"beta", 0.75}});
  }
  add("residual",
      {Uniform({2, 9, 9, 16}), Uniform({32, 16, 3, 3}), Uniform({32}), Uniform({2, 9, 9, 32})},
      {{"pads", ones}, {"channels_last", int64_t{1}}, {"epilogue", std::string("relu")}});
  add("strided",
      {Uniform({1, 11, 11, 3}), Uniform({20, 3, 5, 5}), Absent(), Uniform({1, 6, 6, 20})},
      {{"pads", Ints{2, 2, 2, 2}}, {"strides", Ints{2, 2}}, {"channels_last", int64_t{1}}});
  add("depthwise", {Uniform({2, 10, 9, 24}), Uniform({24, 1, 3, 3}), Uniform({24})},
      {{"pads", ones},
       {"group", int64_t{24}},
       {"channels_last", int64_t{1}},
       {"epilogue", std::string("clip")},
       {"alpha", 0.0},
       {"beta", 6.0}});
  add("depthwise_strided", {Uniform({1, 10, 9, 19}), Uniform({19, 1, 5, 5}), Uniform({19})},
      {{"pads", Ints{2, 2, 2, 2}},
       {"strides", Ints{2, 2}},
       {"group", int64_t{19}},
       {"channels_last", int64_t{1}}});
  add("groups", {Uniform({1, 6, 6, 12}), Uniform({24, 4, 3, 3}), Uniform({24})},
      {{"group", int64_t{3}}, {"channels_last", int64_t{1}}});
  add("dilated", {Uniform({1, 9, 10, 4}), Uniform({8, 4, 3, 3}), Uniform({8})},
      {{"pads", Ints{2, 2, 2, 2}}, {"dilations", Ints{2, 2}}, {"channels_last", int64_t{1}}});
  add("one_by_one", {Uniform({2, 5, 5, 24}), Uniform({40, 24, 1, 1}), Uniform({40})},
      {{"channels_last", int64_t{1}}, {"epilogue", std::string("silu")}});
  add("line", {Uniform({2, 14, 6}), Uniform({5, 6, 3}), Uniform({5})},
      {{"pads", Ints{1, 1}}, {"channels_last", int64_t{1}}});
  add("channels_first", {Uniform({1, 3, 6, 6}), Uniform({4, 3, 3, 3}), Uniform({4})},
      {{"pads", ones}, {"epilogue", std::string("tanh")}});
  return cases;
}

}  // namespace

Type ConvFilterType(const Type& w, bool channels_last) {
  if (!channels_last) return w;
  ir::Dimensions kernel(w.dims().begin() + 2, w.dims().end());
  return FilterType(w.dtype(), w.dim(0), w.dim(1), kernel, true);
}

Convolution FusedConvolutionOf(const ir::Node& node, const Type& x, const Type& w) {
  return ConvolutionOf(node, x, ConvFilterType(w, ChannelsLast(node)));
}

void RegisterFusedConv(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "FusedConv";
  op.domain = "ingot";
  op.summary = "epilogue(X * W + B + residual), W as in Conv whatever the layout of X.";
  op.inputs = {Required("X"), Required("W"), Optional("B"), Optional("residual")};
  op.outputs = {Required("Y")};
  op.attributes = registry.Get("Conv").attributes;
  op.attributes.push_back(StringAttribute("epilogue", "none"));
  op.attributes.push_back(FloatAttribute("alpha", 0));
  op.attributes.push_back(FloatAttribute("beta", 0));
  op.infer = InferFusedConv;
  op.reference = FusedConvReference;
  op.cases = FusedConvCases();
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
