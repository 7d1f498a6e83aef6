// Resize, its gradient, and Upsample (Resize's older form).
#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/resampling.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Dimensions;
using ir::GradientContext;
using ir::Type;

// The plan of a call whose inputs roi, scales and sizes begin at `first`.
ResizePlan PlanOf(const ir::ReferenceCall& call, std::span<const int64_t> dims, size_t first) {
  return PlanResize(call.node, dims, ReadDoubles(call, first), ReadDoubles(call, first + 1),
                    ReadInts(call, first + 2));
}

// One axis after another; `transposed` sends output elements back to the input's.
std::vector<double> ApplyAxis(const std::vector<double>& x, const std::vector<int64_t>& dims,
                              const ResizeAxis& axis, size_t at, int64_t extent, double outside,
                              bool transposed) {
  const AxisSplit split(dims, static_cast<int64_t>(at));
  std::vector<double> y(static_cast<size_t>(split.outer * extent * split.inner), 0);
  for (int64_t o = 0; o < split.outer; ++o) {
    for (size_t n = 0; n < axis.taps.size(); ++n) {
      const auto out = static_cast<int64_t>(n);
      for (int64_t i = 0; i < split.inner; ++i) {
        if (transposed) {
          const double dy = x[static_cast<size_t>((o * split.extent + out) * split.inner + i)];
          for (const ResizeTap& tap : axis.taps[n]) {
            y[static_cast<size_t>((o * extent + tap.input) * split.inner + i)] += tap.weight * dy;
          }
        } else {
          double sum = axis.taps[n].empty() ? outside : 0;
          for (const ResizeTap& tap : axis.taps[n]) {
            sum += tap.weight *
                   x[static_cast<size_t>((o * split.extent + tap.input) * split.inner + i)];
          }
          y[static_cast<size_t>((o * extent + out) * split.inner + i)] = sum;
        }
      }
    }
  }
  return y;
}

void ResizeReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const ResizePlan plan = PlanOf(call, x.dims, 1);
  std::vector<double> values = ReadDoubles(x);
  std::vector<int64_t> dims(x.dims.begin(), x.dims.end());
  for (size_t i = 0; i < dims.size(); ++i) {
    const ResizeAxis axis = AxisOf(call.node, plan, dims[i], i);
    if (axis.identity) continue;
    values = ApplyAxis(values, dims, axis, i, plan.outputs[i],
                       call.node.GetFloat("extrapolation_value"), false);
    dims[i] = plan.outputs[i];
  }
  WriteDoubles(values, call.output());
}

void ResizeGradientReference(const ir::ReferenceCall& call) {
  const TensorView& out = call.output();
  const ResizePlan plan = PlanOf(call, out.dims, 2);
  std::vector<double> values = ReadDoubles(call.input(0));
  std::vector<int64_t> dims = plan.outputs;
  for (size_t i = dims.size(); i-- > 0;) {
    const ResizeAxis axis = AxisOf(call.node, plan, out.dims[i], i);
    if (axis.identity) continue;
    values = ApplyAxis(values, dims, axis, i, out.dims[i], 0, true);
    dims[i] = out.dims[i];
  }
  WriteDoubles(values, out);
}

// Axes that are not resized keep what is known of them; of an axis that is, the extent must be
// known.
Dimensions KnownResult(const Type& x, const ir::Node& node, std::span<const double> roi,
                       std::span<const double> scales, std::span<const int64_t> sizes) {
  std::vector<int64_t> dims;
  for (const ir::Dimension& dim : x.dims()) dims.push_back(dim.is_static() ? dim.value() : 1);
  const ResizePlan plan = PlanResize(node, dims, roi, scales, sizes);
  std::vector<bool> resized(dims.size(), false);
  for (const size_t axis : plan.axes) resized[axis] = true;
  bool sure = true;  // where all axes are resized alike, one that is not known makes all unknown
  for (size_t i = 0; i < dims.size(); ++i) sure = sure && (!resized[i] || x.dims()[i].is_static());
  const bool alike = node.GetString("keep_aspect_ratio_policy") != "stretch" && !sizes.empty();
  Dimensions result;
  for (size_t i = 0; i < dims.size(); ++i) {
    const bool same = !resized[i] || (sizes.empty() && plan.scales[i] == 1 && roi.empty());
    if (same) {
      result.push_back(x.dims()[i]);
    } else if (x.dims()[i].is_static() && (sure || !alike)) {
      result.emplace_back(plan.outputs[i]);
    } else {
      result.emplace_back();
    }
  }
  return result;
}

std::vector<Type> ResizeRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
  for (size_t i = 1; i < in.types.size(); ++i) {
    if (in.has(i) && in.values[i] == nullptr) {
      return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
    }
  }
  const auto doubles = [&](size_t i) {
    return i < in.values.size() && in.has(i) ? in.values[i]->ToDoubles() : std::vector<double>();
  };
  return {Type::Tensor(x.dtype(),
                       KnownResult(x, in.node, doubles(1), doubles(2),
                                   in.has(3) ? in.values[3]->ToInts() : std::vector<int64_t>()))};
}

std::vector<ir::AttributeSpec> ResizeAttributes() {
  return {IntAttribute("antialias", 0),
          OptionalAttribute("axes", ir::AttributeKind::kInts),
          StringAttribute("coordinate_transformation_mode", "half_pixel"),
          FloatAttribute("cubic_coeff_a", -0.75),
          IntAttribute("exclude_outside", 0),
          FloatAttribute("extrapolation_value", 0),
          StringAttribute("keep_aspect_ratio_policy", "stretch"),
          StringAttribute("mode", "nearest"),
          StringAttribute("nearest_mode", "round_prefer_floor")};
}

OpCase::Input Constant(OpCase::Input input) {
  input.constant = true;
  input.differentiable = false;
  return input;
}

OpCase::Input Scales(const std::vector<double>& values) {
  std::vector<float> floats(values.begin(), values.end());
  OpCase::Input input;
  input.shape = {static_cast<int64_t>(values.size())};
  input.value = Tensor::Of<float>(input.shape, std::span<const float>(floats));
  return Constant(std::move(input));
}

std::vector<OpCase> ResizeCases() {
  const OpCase::Input x = Floats({1, 1, 2, 2}, {1, 2, 3, 4});
  const auto mode = [](const char* mode, const char* coordinates) {
    return Attributes{{"mode", Attribute(std::string(mode))},
                      {"coordinate_transformation_mode", Attribute(std::string(coordinates))}};
  };
  const auto scaled = [](const char* name, OpCase::Input input, std::vector<double> scales,
                         std::vector<double> expected, Attributes attributes) {
    return ExpectedCase(name, {std::move(input), Absent(), Scales(scales)}, std::move(expected),
                        std::move(attributes));
  };
  std::vector<OpCase> cases = {
      scaled("nearest", x, {1, 1, 2, 1}, {1, 2, 1, 2, 3, 4, 3, 4}, {}),
      scaled("linear", Floats({2}, {1, 2}), {2}, {1, 1.25, 1.75, 2}, mode("linear", "half_pixel")),
      scaled("linear_corners", Floats({2}, {1, 3}), {1.5}, {1, 2, 3},
             mode("linear", "align_corners")),
      scaled("linear_asymmetric", Floats({2}, {1, 2}), {2}, {1, 1.5, 2, 2},
             mode("linear", "asymmetric")),
      ExpectedCase("sizes", {x, Absent(), Absent(), ConstantInts({1, 1, 1, 3})}, {1, 1, 2}),
      ExpectedCase("at_run_time", {x, Absent(), Absent(), Integers({4}, {1, 1, 2, 1})}, {1, 3}),
      ExpectedCase("not_larger", {x, Absent(), Absent(), ConstantInts({4, 5})},
                   {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4},
                   {{"axes", Attribute(std::vector<int64_t>{2, 3})},
                    {"keep_aspect_ratio_policy", Attribute(std::string("not_larger"))}})};
  // As layers ask for it: some axes, in any order.
  for (const char* name : {"nearest", "linear", "cubic"}) {
    for (const bool down : {false, true}) {
      OpCase test;
      test.name = std::string("picture_") + name + (down ? "_down" : "_up");
      test.inputs = {Uniform({2, 5, 4, 3}), Absent(), Absent(),
                     down ? ConstantInts({3, 2}) : ConstantInts({9, 11})};
      test.attributes = mode(name, "half_pixel");
      test.attributes["axes"] = Attribute(std::vector<int64_t>{2, 1});
      cases.push_back(std::move(test));
    }
  }
  // Weights that sum to 1 leave a constant as it is; the gradient is checked on random values.
  for (const char* name : {"linear", "cubic"}) {
    for (const char* coordinates : {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
                                    "align_corners", "asymmetric"}) {
      for (const bool down : {false, true}) {
        OpCase test;
        test.name = std::string(name) + "_" + coordinates + (down ? "_down" : "_up");
        test.inputs = {Uniform({2, 5}), Absent(), Scales({1, down ? 0.5 : 2.5})};
        test.attributes = mode(name, coordinates);
        cases.push_back(test);
        test.name += "_smooth";
        test.attributes["antialias"] = Attribute(int64_t{1});
        test.attributes["exclude_outside"] = Attribute(int64_t{1});
        cases.push_back(std::move(test));
      }
    }
  }
  const OpCase::Input line = Floats({1, 4}, {7, 7, 7, 7});
  Attributes flat = mode("cubic", "half_pixel");
  cases.push_back(scaled("cubic_of_a_constant", line, {1, 1.5}, {7, 7, 7, 7, 7, 7}, flat));
  OpCase crop = ExpectedCase(
      "crop",
      {Floats({4}, {1, 2, 3, 4}), Constant(Floats({2}, {0.5, 1.5})), Absent(), ConstantInts({3})},
      {2.5, 4, 10}, mode("linear", "tf_crop_and_resize"));
  crop.attributes["extrapolation_value"] = Attribute(10.0);
  cases.push_back(std::move(crop));
  return cases;
}

void RegisterResizeOp(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Resize";
  op.since_version = 19;
  op.summary = "The input sampled at other positions along its axes: nearest, linear or cubic.";
  op.inputs = {Required("X"), Optional("roi", "R"), Optional("scales", "S"),
               Optional("sizes", "I")};
  op.outputs = {Required("Y")};
  op.attributes = ResizeAttributes();
  op.reference = ResizeReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    const ir::Node& node = context.node();
    context.SetInputGradient(0, context.builder().Op("ingot.ResizeGradient",
                                                     {context.output_gradient(), context.input(0),
                                                      node.input(1), node.input(2), node.input(3)},
                                                     node.attributes()));
  };
  SetShapeRule(op, ResizeRule);
  op.cases = ResizeCases();
  registry.Add(op);

  op.name = "Upsample";
  op.since_version = 9;
  op.summary = "Resize by scales, nearest or linear, positions divided by the scale.";
  op.inputs = {Required("X"), Required("scales", "S")};
  op.attributes = {StringAttribute("mode", "nearest")};
  op.gradient = nullptr;
  op.infer = [](ir::InferContext& context) {
    const Type& x = context.input(0);
    context.SetOutput(0, x.has_rank() ? Type::Tensor(x.dtype(), UnknownDimensions(x.rank())) : x);
  };
  op.reference = nullptr;
  op.dynamic_reference = [](const ir::Node& node, std::span<const Tensor> inputs) {
    const Tensor& x = inputs[0];
    const bool nearest = node.GetString("mode") == "nearest";
    const std::vector<double> scales = inputs[1].ToDoubles();
    std::vector<int64_t> dims = x.shape().dims();
    if (scales.size() != dims.size()) {
      throw Error(ErrorCode::kInvalidInput, "scales must hold one number for each axis");
    }
    std::vector<double> values = x.ToDoubles();
    for (size_t i = 0; i < dims.size(); ++i) {
      const int64_t extent = dims[i];
      const auto outputs =
          static_cast<int64_t>(std::floor(static_cast<double>(extent) * scales[i]));
      ResizeAxis axis;
      for (int64_t n = 0; n < outputs; ++n) {
        const double at = static_cast<double>(n) / scales[i];
        const auto low = std::min(static_cast<int64_t>(at), extent - 1);
        const double rest = nearest ? 0 : at - std::floor(at);
        axis.taps.push_back({{low, 1 - rest}, {std::min(low + 1, extent - 1), rest}});
      }
      values = ApplyAxis(values, dims, axis, i, outputs, 0, false);
      dims[i] = outputs;
    }
    return std::vector<Tensor>{
        Tensor::Of<double>(Shape(dims), std::span<const double>(values)).Cast(x.dtype())};
  };
  op.cases = {
      ExpectedOnly("nearest", {Floats({1, 2}, {1, 2}), Scales({2, 1.5})}, {1, 1, 2, 1, 1, 2}),
      ExpectedOnly("linear", {Floats({2}, {1, 2}), Scales({2})}, {1, 1.5, 2, 2},
                   {{"mode", Attribute(std::string("linear"))}})};
  registry.Add(std::move(op));
}

void RegisterResizeGradientOp(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "ResizeGradient";
  op.domain = "ingot";
  op.summary = "What Resize's output elements send back to the input, whose shape `like` has.";
  op.inputs = {Required("dY"), Required("like"), Optional("roi", "R"), Optional("scales", "S"),
               Optional("sizes", "I")};
  op.outputs = {Required("dX")};
  op.attributes = ResizeAttributes();
  op.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(1)); };
  op.reference = ResizeGradientReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    const ir::Node& node = context.node();
    context.SetInputGradient(
        0, context.builder().Op(
               "Resize", {context.output_gradient(), node.input(2), node.input(3), node.input(4)},
               node.attributes()));
  };
  OpCase::Input like = Uniform({2});
  like.differentiable = false;
  op.cases = {
      ExpectedCase("nearest", {Floats({4}, {1, 2, 3, 4}), like, Absent(), Scales({2})}, {3, 7})};
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    OpCase::Input picture = Uniform({2, 5, 4, 3});
    picture.differentiable = false;
    for (const bool down : {false, true}) {
      OpCase test;
      test.name = std::string("picture_") + mode + (down ? "_down" : "_up");
      test.inputs = {Uniform(down ? Shape{2, 3, 2, 3} : Shape{2, 11, 9, 3}), picture, Absent(),
                     Absent(), down ? ConstantInts({3, 2}) : ConstantInts({11, 9})};
      test.attributes = {{"axes", Attribute(std::vector<int64_t>{1, 2})},
                         {"mode", Attribute(std::string(mode))}};
      op.cases.push_back(std::move(test));
    }
  }
  registry.Add(std::move(op));
}

}  // namespace

void RegisterResize(ir::OpRegistry& registry) {
  RegisterResizeOp(registry);
  RegisterResizeGradientOp(registry);
}

}  // namespace ingot::ops
