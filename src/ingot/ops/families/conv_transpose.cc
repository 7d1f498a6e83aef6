// ConvTranspose: the product that sends a convolution's outputs back to its inputs, as an op of its
// own. Its gradients are a Conv and the weight gradient of that Conv.
#include <algorithm>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/convolution.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::Dimension;
using ir::Dimensions;
using ir::GradientContext;
using ir::InferContext;
using ir::Type;
using ir::Value;
using Ints = std::vector<int64_t>;

Ints AttributeOf(const ir::Node& node, const char* name, size_t count, int64_t otherwise) {
  const Ints* given = node.FindInts(name);
  if (given == nullptr) return Ints(count, otherwise);
  if (given->size() != count) {
    throw Error(ErrorCode::kInvalidInput, std::string("attribute '") + name + "' has " +
                                              std::to_string(given->size()) +
                                              " elements, expected " + std::to_string(count));
  }
  return *given;
}

// The extent of the result along one axis, and the padding: all that the convolution from the
// result to X needs. Unknown where X's extent is and the padding depends on it.
void SolveAxis(const ir::Node& node, size_t i, size_t axes, WindowAxis& axis) {
  const Ints pads = AttributeOf(node, "pads", 2 * axes, 0);
  const int64_t extra = AttributeOf(node, "output_padding", axes, 0)[i];
  const std::string& auto_pad = node.GetString("auto_pad");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
  const Ints* shape = node.FindInts("output_shape");
  axis.pad_begin = auto_pad == "NOTSET" ? pads[i] : 0;
  axis.pad_end = auto_pad == "NOTSET" ? pads[axes + i] : 0;
  if (!axis.output.is_static()) return;
  const int64_t full = axis.stride * (axis.output.value() - 1) + extra + axis.span();
  if (shape != nullptr || same) {
    const int64_t wanted =
        shape != nullptr ? shape->at(shape->size() - axes + i) : axis.output.value() * axis.stride;
    const int64_t total = full - wanted;
    // More than there is to be had: zeros at the end.
    const int64_t half = total < 0 ? 0 : total / 2;
    axis.pad_begin = auto_pad == "SAME_UPPER" || total < 0 ? half : total - half;
    axis.pad_end = total - axis.pad_begin;
  }
  const int64_t extent = full - axis.pad_begin - axis.pad_end;
  if (extent < 0) {
    throw Error(ErrorCode::kInvalidInput, "the padding takes more than spatial axis " +
                                              std::to_string(i) + " of the result has");
  }
  axis.input = extent;
}

}  // namespace

Convolution TransposedConvolutionOf(const ir::Node& node, const Type& x, const Type& w) {
  if (x.rank() < 3 || w.rank() != x.rank()) {
    throw Error(ErrorCode::kInvalidInput, "X is " + x.ToString() + " and W " + w.ToString() +
                                              ", expected [N, C, ...] and [C, M / group, ...]");
  }
  Convolution convolution;
  convolution.group = GroupOf(node);
  convolution.batch = x.dim(0);
  convolution.outputs = x.dim(1);
  if (x.dim(1).is_static() && w.dim(0).is_static() &&
      (x.dim(1) != w.dim(0) || x.dim(1).value() % convolution.group != 0)) {
    throw Error(ErrorCode::kInvalidInput,
                "the channels of X " + x.ToString() + " are not those of W " + w.ToString() +
                    ", or do not divide into " + std::to_string(convolution.group) + " groups");
  }
  if (w.dim(1).is_static()) convolution.channels = w.dim(1).value() * convolution.group;
  const auto axes = static_cast<size_t>(x.rank() - 2);
  const Ints strides = AttributeOf(node, "strides", axes, 1);
  const Ints dilations = AttributeOf(node, "dilations", axes, 1);
  for (size_t i = 0; i < axes; ++i) {
    WindowAxis axis;
    axis.output = x.dims()[i + 2];
    axis.stride = strides[i];
    axis.dilation = dilations[i];
    const Dimension& kernel = w.dims()[i + 2];
    axis.kernel = kernel.is_static() ? kernel.value() : -1;
    if (kernel.is_static()) SolveAxis(node, i, axes, axis);
    convolution.windows.push_back(axis);
  }
  return convolution;
}

namespace {

Type ResultType(const Convolution& convolution, DType dtype) {
  Dimensions dims = {convolution.batch, convolution.channels};
  for (const WindowAxis& axis : convolution.windows) dims.push_back(axis.input);
  return Type::Tensor(dtype, std::move(dims));
}

void Reference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& w = call.input(1);
  const Convolution convolution = TransposedConvolutionOf(
      call.node, Type::Tensor(x.dtype, Shape(x.dims)), Type::Tensor(w.dtype, Shape(w.dims)));
  const TensorView bias = call.has_input(2) ? call.input(2) : TensorView{};
  ConvolveInputGradient(convolution, x, w, bias, call.output());
}

void Gradient(GradientContext& context) {
  const ir::Node& node = context.node();
  Builder& b = context.builder();
  Value* x = context.input(0);
  Value* w = context.input(1);
  Value* dy = context.output_gradient();
  const Convolution convolution = TransposedConvolutionOf(node, x->type(), w->type());
  const auto axes = convolution.windows.size();
  Ints pads(2 * axes);
  bool explicit_pads = node.GetString("auto_pad") == "NOTSET" && !node.HasAttribute("output_shape");
  for (size_t i = 0; i < axes; ++i) {
    const WindowAxis& axis = convolution.windows[i];
    const bool given = node.GetString("auto_pad") == "NOTSET" && !node.HasAttribute("output_shape");
    const Ints as_given = AttributeOf(node, "pads", 2 * axes, 0);
    pads[i] = given ? as_given[i] : axis.pad_begin;
    pads[axes + i] = given ? as_given[axes + i] : axis.pad_end;
    explicit_pads = explicit_pads || (axis.output.is_static() && axis.kernel >= 0);
    if (pads[i] < 0 || pads[axes + i] < 0) {
      throw Error(ErrorCode::kUnsupported,
                  "the gradient of a ConvTranspose with negative padding is not supported");
    }
  }
  if (!explicit_pads) {
    throw Error(ErrorCode::kUnsupported,
                "the gradient of a ConvTranspose whose padding depends on unknown extents is not "
                "supported",
                "give pads instead of auto_pad or output_shape");
  }
  Attributes attributes = {{"group", Attribute(convolution.group)}, {"pads", Attribute(pads)}};
  for (const char* name : {"strides", "dilations"}) {
    if (const Ints* given = node.FindInts(name)) attributes[name] = Attribute(*given);
  }
  if (context.wants(0)) {
    context.SetInputGradient(0, b.ReshapeLike(b.Op("Conv", {dy, w}, attributes), x));
  }
  if (context.wants(1)) {
    context.SetInputGradient(1, b.Op("ingot.ConvWeightGradient", {dy, x, w}, attributes));
  }
  if (context.wants(2)) {
    Ints over = {0};
    for (int i = 2; i < x->type().rank(); ++i) over.push_back(i);
    context.SetInputGradient(
        2, b.Op("ReduceSum", {dy, b.Ints(over)}, {{"keepdims", Attribute(int64_t{0})}}));
  }
}

std::vector<OpCase> Cases() {
  const auto make = [](const char* name, Shape x, Shape w, Attributes attributes = {},
                       bool bias = false) {
    OpCase test;
    test.name = name;
    const int64_t outputs =
        w[1] * (attributes.count("group") > 0 ? std::get<int64_t>(attributes.at("group")) : 1);
    test.inputs = {Uniform(std::move(x)), Uniform(std::move(w))};
    if (bias) test.inputs.push_back(Uniform({outputs}));
    test.attributes = std::move(attributes);
    return test;
  };
  // The checks of gradients leave extents open, and then the padding of these two is not known.
  OpCase output_shape =
      ExpectedOnly("output_shape", {Floats({1, 1, 2}, {1, 2}), Floats({1, 1, 3}, {1, 10, 100})},
                   {12, 120, 200}, {{"output_shape", Attribute(Ints{3})}});
  OpCase same_upper = ExpectedOnly(
      "same_upper", {Floats({1, 1, 2}, {1, 2}), Floats({1, 1, 3}, {1, 10, 100})}, {1, 10, 102, 20},
      {{"strides", Attribute(Ints{2})}, {"auto_pad", Attribute(std::string("SAME_UPPER"))}});
  return {std::move(output_shape), std::move(same_upper),
          // Each element of X puts a copy of W, times itself, into the result.
          ExpectedCase("line", {Floats({1, 1, 2}, {1, 2}), Floats({1, 1, 3}, {1, 10, 100})},
                       {1, 12, 120, 200}),
          ExpectedCase("strided", {Floats({1, 1, 2}, {1, 2}), Floats({1, 1, 2}, {1, 10})},
                       {1, 10, 2, 20}, {{"strides", Attribute(Ints{2})}}),
          ExpectedCase("output_padding", {Floats({1, 1, 2}, {1, 2}), Floats({1, 1, 2}, {1, 10})},
                       {1, 10, 2, 20, 0},
                       {{"strides", Attribute(Ints{2})}, {"output_padding", Attribute(Ints{1})}}),
          make("plane", {2, 3, 3, 2}, {3, 2, 2, 3}, {}, true),
          make("padded", {1, 2, 4, 3}, {2, 3, 3, 3},
               {{"pads", Attribute(Ints{1, 0, 1, 2})}, {"strides", Attribute(Ints{2, 1})}}),
          make("dilated", {1, 2, 3, 3}, {2, 1, 2, 2}, {{"dilations", Attribute(Ints{2, 2})}}),
          make("grouped", {2, 4, 2, 2}, {4, 3, 2, 2}, {{"group", Attribute(int64_t{2})}}, true),
          make("space", {1, 1, 2, 2, 2}, {1, 2, 2, 2, 2})};
}

}  // namespace

void RegisterConvTranspose(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "ConvTranspose";
  op.since_version = 22;
  op.summary = "Each element of X times the filters, added where a Conv would have read it.";
  op.inputs = {Required("X"), Required("W"), Optional("B")};
  op.outputs = {Required("Y")};
  op.attributes = {StringAttribute("auto_pad", "NOTSET"),
                   OptionalAttribute("dilations", ir::AttributeKind::kInts),
                   IntAttribute("group", 1),
                   OptionalAttribute("kernel_shape", ir::AttributeKind::kInts),
                   OptionalAttribute("output_padding", ir::AttributeKind::kInts),
                   OptionalAttribute("output_shape", ir::AttributeKind::kInts),
                   OptionalAttribute("pads", ir::AttributeKind::kInts),
                   OptionalAttribute("strides", ir::AttributeKind::kInts)};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    const Type& x = context.input(0);
    const Type& w = context.input(1);
    if (!x.has_rank() || !w.has_rank()) {
      context.SetOutput(0, Type::TensorOfUnknownRank(x.dtype()));
      return;
    }
    context.SetOutput(0, ResultType(TransposedConvolutionOf(context.node(), x, w), x.dtype()));
  };
  op.reference = Reference;
  op.gradient = Gradient;
  op.cases = Cases();
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
