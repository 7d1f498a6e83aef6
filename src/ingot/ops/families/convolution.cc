// Conv over any number of spatial axes, and the two products of its gradient:
// ingot.ConvInputGradient and ingot.ConvWeightGradient. All three are linear in either operand, so
// each one's gradient is made of the other two.
//
// The gradient ops take the shape of their result from an attribute where it is known when the
// graph is built, and else from an input of which only the shape counts.
#include "ingot/ops/convolution.h"

#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterConvolution(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

using Ints = std::vector<int64_t>;

// ---- shape rules ----

// The reference needs static types; the nodes of a reference call have them.
Convolution ConvolutionOfCall(const ir::ReferenceCall& call, const TensorView& x,
                              const TensorView& w) {
  return ConvolutionOf(call.node, Type::Tensor(x.dtype, Shape(x.dims)),
                       Type::Tensor(w.dtype, Shape(w.dims)));
}

bool RanksKnown(const InferContext& context) {
  return context.input(0).has_rank() && context.input(1).has_rank();
}

void InferConv(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const DType dtype = context.input(0).dtype();
  if (!RanksKnown(context)) return context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
  const Convolution convolution = ConvolutionOf(context.node());
  if (context.HasInput(2)) {
    const Type& bias = context.input(2);
    const bool fits =
        !bias.has_rank() ||
        (bias.rank() == 1 && (!bias.dim(0).is_static() || !convolution.outputs.is_static() ||
                              bias.dim(0) == convolution.outputs));
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput, "the bias is " + bias.ToString() + ", but W has " +
                                                convolution.outputs.ToString() +
                                                " output channels");
    }
  }
  context.SetOutput(0, convolution.y_type(dtype));
}

void InferInputGradient(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const DType dtype = context.input(0).dtype();
  if (!RanksKnown(context)) return context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
  const Convolution convolution = ConvolutionOf(context.node());
  ir::Dimensions spatial;
  for (const WindowAxis& axis : convolution.windows) spatial.push_back(axis.input);
  context.SetOutput(0, ActivationType(dtype, convolution.batch, convolution.channels, spatial,
                                      convolution.channels_last));
}

void InferWeightGradient(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const DType dtype = context.input(0).dtype();
  if (!RanksKnown(context)) return context.SetOutput(0, Type::TensorOfUnknownRank(dtype));
  const Convolution convolution = ConvolutionOf(context.node());
  ir::Dimensions kernel;
  for (const WindowAxis& axis : convolution.windows) {
    kernel.push_back(axis.kernel < 0 ? ir::Dimension() : ir::Dimension(axis.kernel));
  }
  const ir::Dimension& channels = convolution.channels;
  const ir::Dimension in_group =
      channels.is_static() ? ir::Dimension(channels.value() / convolution.group) : ir::Dimension();
  context.SetOutput(
      0, FilterType(dtype, convolution.outputs, in_group, kernel, convolution.channels_last));
}

// ---- gradients ----

// The extents where all are known.
bool AllStatic(const ir::Dimensions& dims, Ints& extents) {
  for (const ir::Dimension& dim : dims) {
    if (!dim.is_static()) return false;
    extents.push_back(dim.value());
  }
  return true;
}

// A gradient op of (a, b) whose result has the shape of `like`.
Value* ProductLike(GradientContext& context, const char* op, Value* a, Value* b, Value* like,
                   const char* attribute, const ir::Dimensions& extents) {
  Attributes attributes = WindowAttributes(context.node());
  attributes.erase("kernel_shape");
  Ints known;
  if (AllStatic(extents, known)) {
    attributes[attribute] = known;
    return context.builder().Op(op, {a, b}, std::move(attributes));
  }
  return context.builder().Op(op, {a, b, like}, std::move(attributes));
}

Value* InputGradient(GradientContext& context, Value* dy, Value* w, Value* x) {
  return ProductLike(context, "ingot.ConvInputGradient", dy, w, x, "spatial_shape",
                     SpatialDimensions(x->type(), ChannelsLast(context.node())));
}

Value* WeightGradient(GradientContext& context, Value* x, Value* dy, Value* w) {
  return ProductLike(context, "ingot.ConvWeightGradient", x, dy, w, "kernel_shape",
                     KernelDimensions(w->type(), ChannelsLast(context.node())));
}

Value* Forward(GradientContext& context, Value* x, Value* w) {
  Attributes attributes = WindowAttributes(context.node());
  attributes.erase("kernel_shape");
  return context.builder().Op("Conv", {x, w}, std::move(attributes));
}

// The sum over all axes but the channels'.
Value* SumPerChannel(GradientContext& context, Value* dy) {
  const int rank = dy->type().rank();
  Ints axes = {0};
  for (const int64_t axis : SpatialAxes(rank, ChannelsLast(context.node()))) axes.push_back(axis);
  Builder& b = context.builder();
  return b.Op("ReduceSum", {dy, b.Ints(axes)}, {{"keepdims", int64_t{0}}});
}

void ConvGradient(GradientContext& context) {
  Value* x = context.input(0);
  Value* w = context.input(1);
  Value* dy = context.output_gradient();
  if (context.wants(0)) context.SetInputGradient(0, InputGradient(context, dy, w, x));
  if (context.wants(1)) context.SetInputGradient(1, WeightGradient(context, x, dy, w));
  if (context.wants(2)) context.SetInputGradient(2, SumPerChannel(context, dy));
}

// dX = InputGradient(dY, W); g is the gradient of dX.
void InputGradientGradient(GradientContext& context) {
  Value* dy = context.input(0);
  Value* w = context.input(1);
  Value* g = context.output_gradient();
  if (context.wants(0)) context.SetInputGradient(0, Forward(context, g, w));
  if (context.wants(1)) context.SetInputGradient(1, WeightGradient(context, g, dy, w));
}

// dW = WeightGradient(X, dY); g is the gradient of dW.
void WeightGradientGradient(GradientContext& context) {
  Value* x = context.input(0);
  Value* dy = context.input(1);
  Value* g = context.output_gradient();
  if (context.wants(0)) context.SetInputGradient(0, InputGradient(context, dy, g, x));
  if (context.wants(1)) context.SetInputGradient(1, Forward(context, x, g));
}

// ---- definitions ----

// A shape of attributes and operands: the cases of all three ops are made from these.
struct Example {
  const char* name;
  Shape x, w;
  Shape y;  // for the gradients
  Attributes attributes = {};
  bool gradient = true;
};

Attributes Last(Attributes attributes = {}) {
  attributes["channels_last"] = int64_t{1};
  return attributes;
}

std::vector<Example> Examples() {
  return {
      {"line", {2, 3, 7}, {4, 3, 3}, {2, 4, 5}},
      {"line_last", {2, 7, 3}, {3, 3, 4}, {2, 5, 4}, Last()},
      {"plane", {2, 3, 5, 6}, {4, 3, 3, 2}, {2, 4, 3, 5}},
      {"plane_last", {2, 5, 6, 3}, {3, 2, 3, 4}, {2, 3, 5, 4}, Last()},
      {"space", {1, 2, 3, 4, 3}, {2, 2, 2, 3, 2}, {1, 2, 2, 2, 2}},
      {"space_last", {1, 3, 4, 3, 2}, {2, 3, 2, 2, 2}, {1, 2, 2, 2, 2}, Last()},
      {"strided_padded",
       {1, 2, 6, 5},
       {3, 2, 3, 3},
       {1, 3, 4, 3},
       {{"strides", Ints{2, 2}}, {"pads", Ints{1, 0, 2, 2}}}},
      {"strided_padded_last",
       {1, 6, 5, 2},
       {3, 3, 2, 3},
       {1, 4, 3, 3},
       Last({{"strides", Ints{2, 2}}, {"pads", Ints{1, 0, 2, 2}}})},
      {"dilated", {1, 2, 7, 6}, {2, 2, 3, 2}, {1, 2, 3, 3}, {{"dilations", Ints{2, 3}}}},
      {"dilated_last", {1, 7, 6, 2}, {3, 2, 2, 2}, {1, 3, 3, 2}, Last({{"dilations", Ints{2, 3}}})},
      {"grouped", {2, 6, 4, 4}, {4, 3, 3, 3}, {2, 4, 2, 2}, {{"group", int64_t{2}}}},
      {"grouped_last", {2, 4, 4, 6}, {3, 3, 3, 4}, {2, 2, 2, 4}, Last({{"group", int64_t{2}}})},
      {"depthwise",
       {2, 5, 4, 4},
       {5, 1, 3, 3},
       {2, 5, 4, 4},
       {{"group", int64_t{5}}, {"pads", Ints{1, 1, 1, 1}}}},
      {"depthwise_last",
       {2, 4, 4, 5},
       {3, 3, 1, 5},
       {2, 4, 4, 5},
       Last({{"group", int64_t{5}}, {"pads", Ints{1, 1, 1, 1}}})},
      {"depthwise_twofold_last",
       {1, 4, 4, 3},
       {3, 3, 1, 6},
       {1, 2, 2, 6},
       Last({{"group", int64_t{3}}})},
      {"same_upper",
       {1, 2, 6, 5},
       {2, 2, 3, 2},
       {1, 2, 3, 3},
       {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Ints{2, 2}}}},
      {"same_lower_last",
       {1, 6, 5, 2},
       {3, 2, 2, 2},
       {1, 3, 3, 2},
       Last({{"auto_pad", std::string("SAME_LOWER")}, {"strides", Ints{2, 2}}})},
      {"pointwise_last", {3, 2, 2, 5}, {1, 1, 5, 7}, {3, 2, 2, 7}, Last()},
      {"pointwise_strided_last",
       {2, 5, 5, 3},
       {1, 1, 3, 4},
       {2, 3, 3, 4},
       Last({{"strides", Ints{2, 2}}})},
      {"no_samples", {0, 2, 4, 4}, {3, 2, 3, 3}, {0, 3, 2, 2}},
      {"no_samples_last", {0, 4, 4, 2}, {3, 3, 2, 3}, {0, 2, 2, 3}, Last()},
      {"wide_last",
       {2, 9, 11, 19},
       {3, 3, 19, 37},
       {2, 9, 11, 37},
       Last({{"pads", Ints{1, 1, 1, 1}}}),
       false},
      {"first_layer_last", {2, 13, 12, 1}, {3, 3, 1, 32}, {2, 11, 10, 32}, Last(), false},
      {"grouped_wide_last",
       {2, 7, 6, 24},
       {3, 3, 8, 30},
       {2, 4, 3, 30},
       Last({{"group", int64_t{3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}),
       false},
      {"depthwise_wide_last",
       {2, 8, 9, 43},
       {3, 3, 1, 43},
       {2, 4, 5, 43},
       Last({{"group", int64_t{43}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}),
       false},
  };
}

OpCase ForwardCase(const Example& example) {
  return OpCase{.name = example.name,
                .inputs = {Uniform(example.x), Uniform(example.w)},
                .attributes = example.attributes,
                .gradient = example.gradient};
}

Ints Without(const Shape& shape, std::initializer_list<int> axes) {
  Ints rest;
  for (int i = 0; i < shape.rank(); ++i) {
    bool left_out = false;
    for (const int axis : axes) left_out = left_out || (axis + shape.rank()) % shape.rank() == i;
    if (!left_out) rest.push_back(shape[i]);
  }
  return rest;
}

OpCase InputGradientCase(const Example& example) {
  OpCase test = ForwardCase(example);
  const bool last = example.attributes.count("channels_last") > 0;
  test.inputs[0] = Uniform(example.y);
  test.attributes["spatial_shape"] =
      last ? Without(example.x, {0, -1}) : Without(example.x, {0, 1});
  return test;
}

OpCase WeightGradientCase(const Example& example) {
  OpCase test = ForwardCase(example);
  const bool last = example.attributes.count("channels_last") > 0;
  test.inputs[1] = Uniform(example.y);
  test.attributes["kernel_shape"] =
      last ? Without(example.w, {-1, -2}) : Without(example.w, {0, 1});
  return test;
}

OpCase::Input Like(Shape shape) {
  OpCase::Input input = Uniform(std::move(shape));
  input.differentiable = false;
  return input;
}

OpDefinition Conv() {
  OpDefinition op;
  op.name = "Conv";
  op.since_version = 11;
  op.summary = "Y = X * W + B: windows of X, joined with the weights of each output channel.";
  op.inputs = {Required("X"), Required("W"), Optional("B")};
  op.outputs = {Required("Y")};
  op.attributes = WindowAttributeSpecs();
  op.attributes.push_back(IntAttribute("group", 1));
  op.attributes.push_back(OptionalAttribute("kernel_shape", ir::AttributeKind::kInts));
  op.infer = InferConv;
  op.gradient = ConvGradient;
  op.reference = [](const ir::ReferenceCall& call) {
    ConvolveForward(ConvolutionOfCall(call, call.input(0), call.input(1)), call.input(0),
                    call.input(1), call.has_input(2) ? call.input(2) : TensorView{}, call.output());
  };
  const OpCase::Input square = Floats({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const OpCase::Input kernel = Floats({1, 1, 2, 2}, {1, 2, 3, 4});
  op.cases = {
      ExpectedCase("plane_by_hand", {square, kernel}, {37, 47, 67, 77}),
      ExpectedCase("bias_by_hand",
                   {Floats({1, 1, 4}, {1, 2, 3, 4}), Floats({2, 1, 3}, {1, 0, -1, 1, 1, 1}),
                    Floats({2}, {10, 100})},
                   {8, 8, 106, 109}),
      ExpectedCase("bias_last_by_hand",
                   {Floats({1, 4, 1}, {1, 2, 3, 4}), Floats({3, 1, 2}, {1, 1, 0, 1, -1, 1}),
                    Floats({2}, {10, 100})},
                   {8, 106, 8, 109}, Last()),
      ExpectedCase("pads_by_hand", {square, kernel}, {4, 18, 0, 36, 77, 0, 0, 0, 0},
                   {{"pads", Ints{1, 1, 3, 2}}, {"strides", Ints{2, 2}}}),
      ExpectedCase("dilation_by_hand", {square, kernel}, {1 + 6 + 21 + 36},
                   {{"dilations", Ints{2, 2}}, {"kernel_shape", Ints{2, 2}}}),
      ExpectedCase("groups_by_hand",
                   {Floats({1, 2, 2}, {1, 2, 3, 4}), Floats({2, 1, 2}, {1, 10, 100, 1000})},
                   {21, 4300}, {{"group", int64_t{2}}}),
      ExpectedCase("same_lower_by_hand", {Floats({1, 1, 3}, {1, 2, 3}), Floats({1, 1, 2}, {1, 10})},
                   {10, 21, 32}, {{"auto_pad", std::string("SAME_LOWER")}}),
      ExpectedCase("same_upper_by_hand", {Floats({1, 1, 3}, {1, 2, 3}), Floats({1, 1, 2}, {1, 10})},
                   {21, 32, 3}, {{"auto_pad", std::string("SAME_UPPER")}}),
  };
  for (const Example& example : Examples()) {
    op.cases.push_back(ForwardCase(example));
    const bool last = example.attributes.count("channels_last") > 0;
    OpCase biased = ForwardCase(example);
    biased.name += "_bias";
    biased.inputs.push_back(Uniform({example.w[last ? example.w.rank() - 1 : 0]}));
    op.cases.push_back(std::move(biased));
  }
  return op;
}

OpDefinition ConvInputGradient() {
  OpDefinition op;
  op.name = "ConvInputGradient";
  op.domain = "ingot";
  op.summary = "d(X) of a Conv from d(Y) and W.";
  op.inputs = {Required("dY"), Required("W"), Optional("X_like")};
  op.outputs = {Required("dX")};
  op.attributes = WindowAttributeSpecs();
  op.attributes.push_back(IntAttribute("group", 1));
  op.attributes.push_back(OptionalAttribute("spatial_shape", ir::AttributeKind::kInts));
  op.infer = InferInputGradient;
  op.gradient = InputGradientGradient;
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& dx = call.output();
    ConvolveInputGradient(ConvolutionOfCall(call, dx, call.input(1)), call.input(0), call.input(1),
                          TensorView{}, dx);
  };
  op.cases = {
      ExpectedCase("by_hand", {Floats({1, 1, 2}, {1, 10}), Floats({1, 1, 2}, {2, 3})},
                   {2, 3 + 20, 30}, {{"spatial_shape", Ints{3}}}),
      // The last element of X met no window.
      ExpectedCase("rest_by_hand", {Floats({1, 1, 2}, {1, 10}), Floats({1, 1, 2}, {2, 3})},
                   {2, 3, 20, 30, 0}, {{"spatial_shape", Ints{5}}, {"strides", Ints{2}}}),
      ExpectedCase("channels_by_hand",
                   {Floats({1, 2, 1}, {1, 10}), Floats({2, 2, 1}, {2, 3, 4, 5})}, {42, 53},
                   {{"spatial_shape", Ints{1}}}),
      ExpectedCase("like", {Floats({1, 1, 2}, {1, 10}), Floats({1, 1, 2}, {2, 3}), Like({1, 1, 3})},
                   {2, 3 + 20, 30}),
  };
  for (const Example& example : Examples()) op.cases.push_back(InputGradientCase(example));
  return op;
}

OpDefinition ConvWeightGradient() {
  OpDefinition op;
  op.name = "ConvWeightGradient";
  op.domain = "ingot";
  op.summary = "d(W) of a Conv from X and d(Y), summed over the samples.";
  op.inputs = {Required("X"), Required("dY"), Optional("W_like")};
  op.outputs = {Required("dW")};
  op.attributes = WindowAttributeSpecs();
  op.attributes.push_back(IntAttribute("group", 1));
  op.attributes.push_back(OptionalAttribute("kernel_shape", ir::AttributeKind::kInts));
  op.infer = InferWeightGradient;
  op.gradient = WeightGradientGradient;
  op.reference = [](const ir::ReferenceCall& call) {
    ConvolveWeightGradient(ConvolutionOfCall(call, call.input(0), call.output()), call.input(0),
                           call.input(1), call.output());
  };
  op.cases = {
      ExpectedCase("by_hand", {Floats({1, 1, 3}, {1, 2, 3}), Floats({1, 1, 2}, {1, 10})}, {21, 32},
                   {{"kernel_shape", Ints{2}}}),
      ExpectedCase("samples_by_hand", {Floats({2, 1, 2}, {1, 2, 3, 4}), Floats({2, 1, 1}, {1, 10})},
                   {31, 42}, {{"kernel_shape", Ints{2}}}),
      ExpectedCase("like",
                   {Floats({1, 1, 3}, {1, 2, 3}), Floats({1, 1, 2}, {1, 10}), Like({1, 1, 2})},
                   {21, 32}),
  };
  for (const Example& example : Examples()) op.cases.push_back(WeightGradientCase(example));
  return op;
}

}  // namespace

void RegisterConvolution(ir::OpRegistry& registry) {
  registry.Add(Conv());
  registry.Add(ConvInputGradient());
  registry.Add(ConvWeightGradient());
}

}  // namespace ingot::ops
