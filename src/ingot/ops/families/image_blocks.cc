// Blocks and places of pictures: MaxUnpool, Col2Im, CenterCropPad, DeformConv.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"
#include "ingot/ops/window.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimension;
using ir::Dimensions;
using ir::InferContext;
using ir::Type;
using Ints = std::vector<int64_t>;

Ints StaticInts(const ir::Node& node, const char* name, size_t count, int64_t otherwise) {
  const Ints* given = node.FindInts(name);
  if (given == nullptr) return Ints(count, otherwise);
  if (given->size() == count) return *given;
  throw Error(ErrorCode::kInvalidInput, std::string("attribute '") + name + "' has " +
                                            std::to_string(given->size()) + " elements, expected " +
                                            std::to_string(count));
}

// ---- MaxUnpool ----

Ints UnpooledShape(const ir::Node& node, std::span<const int64_t> dims) {
  Ints shape(dims.begin(), dims.begin() + 2);
  const size_t axes = dims.size() - 2;
  const Ints kernel = StaticInts(node, "kernel_shape", axes, 1);
  const Ints strides = StaticInts(node, "strides", axes, 1);
  const Ints pads = StaticInts(node, "pads", 2 * axes, 0);
  for (size_t i = 0; i < axes; ++i) {
    shape.push_back((dims[i + 2] - 1) * strides[i] - pads[i] - pads[axes + i] + kernel[i]);
  }
  return shape;
}

void RegisterMaxUnpool(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "MaxUnpool";
  op.since_version = 22;
  op.summary = "Zeros with each element of X where MaxPool's indices say that it was.";
  op.inputs = {Required("X"), Required("I", "I"), Optional("output_shape", "I")};
  op.outputs = {Required("output")};
  op.attributes = {RequiredAttribute("kernel_shape", ir::AttributeKind::kInts),
                   OptionalAttribute("pads", ir::AttributeKind::kInts),
                   OptionalAttribute("strides", ir::AttributeKind::kInts)};
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const Ints shape = UnpooledShape(call.node, x.dims);
    const Ints places = ReadInts(call.input(1));
    const std::vector<double> values = ReadDoubles(x);
    if (places.size() != values.size() || call.output().rank() != x.rank()) {
      throw Error(ErrorCode::kInvalidInput, "X, I and output_shape do not fit together");
    }
    // Indices count in the shape that the attributes give, which lies at the start of a larger one.
    const Ints strides = Strides(call.output().dims);
    std::vector<double> out(static_cast<size_t>(call.output().size()), 0);
    for (size_t i = 0; i < places.size(); ++i) {
      int64_t rest = places[i], to = 0;
      bool inside = rest >= 0;
      for (size_t axis = shape.size(); axis-- > 0; rest /= std::max<int64_t>(shape[axis], 1)) {
        const int64_t at = rest % std::max<int64_t>(shape[axis], 1);
        inside = inside && at < call.output().dims[axis];
        to += at * strides[axis];
      }
      if (!inside || rest > 0) {
        throw Error(ErrorCode::kInvalidInput, "index " + std::to_string(places[i]) +
                                                  " is outside of " + Shape(shape).ToString());
      }
      out[static_cast<size_t>(to)] = values[i];
    }
    WriteDoubles(out, call.output());
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const Type& x = in.type(0);
    if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
    if (x.rank() < 3) throw Error(ErrorCode::kInvalidInput, "X has no spatial axes");
    if (in.has(2)) {
      const std::optional<Ints> shape = in.ints(2);
      if (!shape) return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
      return {Type::Tensor(x.dtype(), Shape(*shape))};
    }
    if (!x.is_static()) return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
    return {Type::Tensor(x.dtype(), Shape(UnpooledShape(in.node, x.shape().dims())))};
  });
  const Attributes pairs = {{"kernel_shape", Attribute(Ints{2})}, {"strides", Attribute(Ints{2})}};
  op.cases = {ExpectedOnly("pairs", {Floats({1, 1, 2}, {5, 6}), Integers({1, 1, 2}, {1, 2})},
                           {0, 5, 6, 0}, pairs),
              ExpectedOnly(
                  "larger",
                  {Floats({1, 1, 2}, {5, 6}), Integers({1, 1, 2}, {1, 2}), ConstantInts({1, 1, 5})},
                  {0, 5, 6, 0, 0}, pairs)};
  registry.Add(std::move(op));
}

// ---- Col2Im ----

std::vector<WindowAxis> BlockWindows(const ir::Node& node, const Ints& image, const Ints& block) {
  const size_t axes = image.size();
  if (block.size() != axes) {
    throw Error(ErrorCode::kInvalidInput, "image_shape and block_shape have different lengths");
  }
  const Ints strides = StaticInts(node, "strides", axes, 1);
  const Ints dilations = StaticInts(node, "dilations", axes, 1);
  const Ints pads = StaticInts(node, "pads", 2 * axes, 0);
  std::vector<WindowAxis> windows(axes);
  for (size_t i = 0; i < axes; ++i) {
    WindowAxis& axis = windows[i];
    axis.input = image[i];
    axis.kernel = block[i];
    axis.stride = strides[i];
    axis.dilation = dilations[i];
    axis.pad_begin = pads[i];
    axis.pad_end = pads[axes + i];
    const int64_t free = image[i] + pads[i] + pads[axes + i] - axis.span();
    if (free < 0 || strides[i] < 1) {
      throw Error(ErrorCode::kInvalidInput, "blocks do not fit into the image");
    }
    axis.output = free / strides[i] + 1;
  }
  return windows;
}

void RegisterCol2Im(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Col2Im";
  op.since_version = 18;
  op.summary = "Columns, each a block of an image, added up where the blocks lie.";
  op.inputs = {Required("input"), Required("image_shape", "I"), Required("block_shape", "I")};
  op.outputs = {Required("output")};
  op.attributes = {OptionalAttribute("dilations", ir::AttributeKind::kInts),
                   OptionalAttribute("pads", ir::AttributeKind::kInts),
                   OptionalAttribute("strides", ir::AttributeKind::kInts)};
  op.reference = [](const ir::ReferenceCall& call) {
    const Ints image = ReadInts(call.input(1));
    const TapTable table(BlockWindows(call.node, image, ReadInts(call.input(2))));
    const std::vector<double> x = ReadDoubles(call.input(0));
    const int64_t plane = Product(image), planes = call.output().dim(0) * call.output().dim(1);
    std::vector<double> out(static_cast<size_t>(call.output().size()), 0);
    for (int64_t c = 0; c < planes; ++c) {
      for (int64_t t = 0; t < table.taps(); ++t) {
        for (int64_t o = 0; o < table.outputs(); ++o) {
          const int64_t s = table.At(o, t);
          if (s < 0) continue;
          out[static_cast<size_t>(c * plane + s)] +=
              x[static_cast<size_t>((c * table.taps() + t) * table.outputs() + o)];
        }
      }
    }
    WriteDoubles(out, call.output());
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const Type& x = in.type(0);
    const std::optional<Ints> image = in.ints(1), block = in.ints(2);
    if (!x.has_rank() || !image || !block) return {Type::TensorOfUnknownRank(x.dtype())};
    if (x.rank() != 3) {
      throw Error(ErrorCode::kInvalidInput,
                  "input is " + x.ToString() + ", expected [N, channels x block, blocks]");
    }
    int64_t positions = 1;
    for (const WindowAxis& axis : BlockWindows(in.node, *image, *block)) {
      positions *= axis.output.value();
    }
    const int64_t each = Product(*block);
    if ((x.dim(2).is_static() && x.dim(2).value() != positions) ||
        (x.dim(1).is_static() && (each == 0 || x.dim(1).value() % each != 0))) {
      throw Error(ErrorCode::kInvalidInput, "input " + x.ToString() + " does not hold " +
                                                std::to_string(positions) + " blocks of " +
                                                std::to_string(each));
    }
    Dimensions dims = {x.dim(0),
                       x.dim(1).is_static() ? Dimension(x.dim(1).value() / each) : Dimension()};
    dims.insert(dims.end(), image->begin(), image->end());
    return {Type::Tensor(x.dtype(), std::move(dims))};
  });
  op.cases = {ExpectedOnly("overlapping",
                           {Floats({1, 2, 2}, {1, 2, 3, 4}), ConstantInts({3}), ConstantInts({2})},
                           {1, 5, 4})};
  registry.Add(std::move(op));
}

// ---- CenterCropPad ----

void RegisterCenterCropPad(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "CenterCropPad";
  op.since_version = 18;
  op.summary = "The middle of the input, with zeros around it where more is asked for.";
  op.inputs = {Required("input_data"), Required("shape", "I")};
  op.outputs = {Required("output_data")};
  op.attributes = {OptionalAttribute("axes", ir::AttributeKind::kInts)};
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const TensorView& out = call.output();
    const Ints from_strides = Strides(x.dims), to_strides = Strides(out.dims);
    Ints dims;
    int64_t from = 0, to = 0;
    for (size_t i = 0; i < x.dims.size(); ++i) {
      const int64_t both = std::min(x.dims[i], out.dims[i]);
      dims.push_back(both);
      from += (x.dims[i] - both) / 2 * from_strides[i];
      to += (out.dims[i] - both) / 2 * to_strides[i];
    }
    if (out.bytes() > 0) std::memset(out.data, 0, out.bytes());
    const size_t item = ItemSize(x.dtype);
    StridedIndex<2> at(dims, {from_strides, to_strides}, {from, to});
    for (int64_t i = 0; i < Product(dims); ++i, at.Next()) {
      std::memcpy(static_cast<std::byte*>(out.data) + static_cast<size_t>(at[1]) * item,
                  static_cast<const std::byte*>(x.data) + static_cast<size_t>(at[0]) * item, item);
    }
  };
  SetShapeRule(op, [](const RuleInputs& in) -> std::vector<Type> {
    const Type& x = in.type(0);
    if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
    const std::optional<Ints> shape = in.ints(1);
    if (!shape) return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
    Ints axes;
    if (const Ints* given = in.node.FindInts("axes")) {
      axes = *given;
    } else {
      for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
    }
    if (axes.size() != shape->size()) {
      throw Error(ErrorCode::kInvalidInput,
                  "shape " + Shape(*shape).ToString() + " must have one extent for each axis");
    }
    Dimensions dims = x.dims();
    for (size_t i = 0; i < axes.size(); ++i) {
      dims[static_cast<size_t>(NormalizeAxis(axes[i], x.rank()))] = (*shape)[i];
    }
    return {Type::Tensor(x.dtype(), std::move(dims))};
  });
  const OpCase::Input x = Floats({4}, {1, 2, 3, 4});
  op.cases = {ExpectedOnly("crop", {x, ConstantInts({3})}, {1, 2, 3}),
              ExpectedOnly("pad", {x, ConstantInts({7})}, {0, 1, 2, 3, 4, 0, 0}),
              ExpectedOnly("axis", {Floats({2, 1}, {1, 2}), ConstantInts({3})}, {0, 1, 0, 0, 2, 0},
                           {{"axes", Attribute(Ints{-1})}})};
  registry.Add(std::move(op));
}

// ---- DeformConv ----

void DeformReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& w = call.input(1);
  const TensorView& out = call.output();
  const std::vector<double> values = ReadDoubles(x), weights = ReadDoubles(w),
                            offsets = ReadDoubles(call.input(2));
  const std::vector<double> bias =
      call.has_input(3) ? ReadDoubles(call.input(3)) : std::vector<double>();
  const std::vector<double> mask =
      call.has_input(4) ? ReadDoubles(call.input(4)) : std::vector<double>();
  const Ints strides = StaticInts(call.node, "strides", 2, 1);
  const Ints dilations = StaticInts(call.node, "dilations", 2, 1);
  const Ints pads = StaticInts(call.node, "pads", 4, 0);
  const int64_t group = call.node.GetInt("group"), offset_group = call.node.GetInt("offset_group");
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const int64_t outputs = w.dim(0), in_group = w.dim(1), rows = w.dim(2), columns = w.dim(3);
  const int64_t taps = rows * columns, positions = out.dim(2) * out.dim(3);
  const auto expect = [](const char* name, const std::vector<double>& seen, int64_t wanted) {
    if (seen.empty() || static_cast<int64_t>(seen.size()) == wanted) return;
    throw Error(ErrorCode::kInvalidInput, std::string(name) + " has " +
                                              std::to_string(seen.size()) + " elements, expected " +
                                              std::to_string(wanted));
  };
  expect("the offset", offsets, x.dim(0) * offset_group * taps * 2 * positions);
  expect("the mask", mask, x.dim(0) * offset_group * taps * positions);
  expect("the bias", bias, outputs);
  // Zero outside, unlike RoiAlign's reading: a corner outside counts as 0.
  const auto read = [&](const double* plane, double row, double column) {
    const double r = std::floor(row), c = std::floor(column);
    double sum = 0;
    for (int corner = 0; corner < 4; ++corner) {
      const double y = r + corner / 2, k = c + corner % 2;
      if (y < 0 || k < 0 || y >= static_cast<double>(height) || k >= static_cast<double>(width)) {
        continue;
      }
      const double weight = (1 - std::fabs(row - y)) * (1 - std::fabs(column - k));
      sum += weight * plane[static_cast<int64_t>(y) * width + static_cast<int64_t>(k)];
    }
    return sum;
  };
  std::vector<double> result;
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t o = 0; o < outputs; ++o) {
      const int64_t first = o / (outputs / group) * in_group;
      for (int64_t p = 0; p < positions; ++p) {
        double sum = bias.empty() ? 0 : bias[static_cast<size_t>(o)];
        for (int64_t c = 0; c < in_group; ++c) {
          const int64_t channel = first + c;
          const int64_t og = channel / (channels / offset_group);
          const double* plane = values.data() + (n * channels + channel) * height * width;
          for (int64_t t = 0; t < taps; ++t) {
            const int64_t tap = (n * offset_group + og) * taps + t;
            const double row = static_cast<double>(p / out.dim(3) * strides[0] +
                                                   t / columns * dilations[0] - pads[0]) +
                               offsets[static_cast<size_t>(2 * tap * positions + p)];
            const double column = static_cast<double>(p % out.dim(3) * strides[1] +
                                                      t % columns * dilations[1] - pads[1]) +
                                  offsets[static_cast<size_t>((2 * tap + 1) * positions + p)];
            const double modulation =
                mask.empty() ? 1 : mask[static_cast<size_t>(tap * positions + p)];
            sum += modulation * read(plane, row, column) *
                   weights[static_cast<size_t>((o * in_group + c) * taps + t)];
          }
        }
        result.push_back(sum);
      }
    }
  }
  WriteDoubles(result, out);
}

void RegisterDeformConv(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "DeformConv";
  op.since_version = 22;
  op.summary = "A convolution of pictures whose taps are moved by offsets.";
  op.inputs = {Required("X"), Required("W"), Required("offset"), Optional("B"), Optional("mask")};
  op.outputs = {Required("Y")};
  op.attributes = {OptionalAttribute("dilations", ir::AttributeKind::kInts),
                   IntAttribute("group", 1),
                   OptionalAttribute("kernel_shape", ir::AttributeKind::kInts),
                   IntAttribute("offset_group", 1),
                   OptionalAttribute("pads", ir::AttributeKind::kInts),
                   OptionalAttribute("strides", ir::AttributeKind::kInts)};
  op.infer = [](InferContext& context) {
    const Type& x = context.input(0);
    const Type& w = context.input(1);
    const Type& offset = context.input(2);
    if (!x.has_rank() || !w.has_rank() || !offset.has_rank()) {
      context.SetOutput(0, Type::TensorOfUnknownRank(x.dtype()));
      return;
    }
    const int64_t group = context.node().GetInt("group");
    const int64_t offset_group = context.node().GetInt("offset_group");
    bool fits =
        x.rank() == 4 && w.rank() == 4 && offset.rank() == 4 && group > 0 && offset_group > 0;
    if (fits && x.dim(1).is_static() && w.is_static() && offset.dim(1).is_static()) {
      const Shape shape = w.shape();
      fits = x.dim(1).value() == shape[1] * group && shape[0] % group == 0 &&
             x.dim(1).value() % offset_group == 0 &&
             offset.dim(1).value() == 2 * offset_group * shape[2] * shape[3];
    }
    if (!fits) {
      throw Error(ErrorCode::kInvalidInput, "X " + x.ToString() + ", W " + w.ToString() +
                                                " and offset " + offset.ToString() +
                                                " do not fit together");
    }
    context.SetOutput(0,
                      Type::Tensor(x.dtype(), {x.dim(0), w.dim(0), offset.dim(2), offset.dim(3)}));
  };
  op.reference = DeformReference;
  const OpCase::Input x = Floats({1, 1, 2, 2}, {1, 2, 3, 4});
  const OpCase::Input w = Floats({1, 1, 1, 1}, {2});
  op.cases = {
      ExpectedOnly("still", {x, w, Floats({1, 2, 2, 2}, {0, 0, 0, 0, 0, 0, 0, 0})}, {2, 4, 6, 8}),
      ExpectedOnly("moved", {x, w, Floats({1, 2, 2, 2}, {0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5})},
                   {3, 2, 7, 4}),
      ExpectedOnly("masked",
                   {x, w, Floats({1, 2, 2, 2}, {0, 0, 0, 0, 0, 0, 0, 0}), Floats({1}, {1}),
                    Floats({1, 1, 2, 2}, {0, 1, 0.5, 0})},
                   {1, 5, 4, 1})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterImageBlocks(ir::OpRegistry& registry) {
  RegisterMaxUnpool(registry);
  RegisterCol2Im(registry);
  RegisterCenterCropPad(registry);
  RegisterDeformConv(registry);
}

}  // namespace ingot::ops
