// Slice, its gradient, and Pad. Starts, ends, axes and steps follow ONNX (and NumPy): negative
// positions count from the end, what lies outside is cut, a negative step walks backwards.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Builder;
using ir::Dimension;
using ir::Dimensions;
using ir::GradientContext;
using ir::Type;
using ir::Value;

// ---- where a slice lies ----

struct SliceRange {
  int64_t start = 0;
  int64_t end = std::numeric_limits<int64_t>::max();
  int64_t step = 1;
};

// One range for each axis, as given. Throws for an axis outside or twice, and for a step of 0.
std::vector<SliceRange> GivenRanges(const std::vector<int64_t>& starts,
                                    const std::vector<int64_t>& ends, std::vector<int64_t> axes,
                                    std::vector<int64_t> steps, int rank) {
  if (axes.empty()) {
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    throw Error(ErrorCode::kInvalidInput,
                "starts, ends, axes and steps have " + std::to_string(starts.size()) + ", " +
                    std::to_string(ends.size()) + ", " + std::to_string(axes.size()) + " and " +
                    std::to_string(steps.size()) + " elements, expected equal numbers");
  }
  std::vector<SliceRange> ranges(static_cast<size_t>(rank));
  std::vector<bool> seen(ranges.size(), false);
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto axis = static_cast<size_t>(NormalizeAxis(axes[i], rank));
    if (seen[axis] || steps[i] == 0) {
      throw Error(ErrorCode::kInvalidInput, "axis " + std::to_string(axes[i]) +
                                                (seen[axis] ? " is given twice" : " has step 0"));
    }
    seen[axis] = true;
    // Steps beyond any extent are cut, so that arithmetic with them cannot overflow.
    constexpr int64_t kFar = int64_t{1} << 62;
    ranges[axis] = {starts[i], ends[i], std::clamp(steps[i], -kFar, kFar)};
  }
  return ranges;
}

// The range with start and end inside an axis of this extent, and its number of elements.
struct Resolved {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

Resolved Resolve(const SliceRange& range, int64_t extent) {
  const auto place = [&](int64_t at, int64_t low, int64_t high) {
    return std::clamp(at < 0 ? at + extent : at, low, std::max(low, high));
  };
  Resolved result;
  result.step = range.step;
  if (range.step > 0) {
    result.start = place(range.start, 0, extent);
    const int64_t end = place(range.end, 0, extent);
    result.count = end > result.start ? (end - result.start - 1) / range.step + 1 : 0;
  } else {
    result.start = place(range.start, 0, extent - 1);
    const int64_t end = place(range.end, -1, extent - 1);
    result.count =
        extent > 0 && result.start > end ? (result.start - end - 1) / -range.step + 1 : 0;
  }
  return result;
}

// The extent of a slice; a symbol survives where the whole axis is taken.
Dimension SlicedExtent(const SliceRange& range, const Dimension& extent) {
  constexpr int64_t kFar = std::numeric_limits<int32_t>::max();
  if (extent.is_static()) return Resolve(range, extent.value()).count;
  const bool forwards = range.step == 1 && range.start == 0 && range.end >= kFar;
  const bool backwards =
      range.step == -1 && (range.start == -1 || range.start >= kFar) && range.end <= -kFar;
  return forwards || backwards ? extent : Dimension();
}

// The walk of a slice over a tensor of these extents.
struct SliceWalk {
  int64_t start = 0;
  std::vector<int64_t> strides;
};

// Ranges from the inputs `first`.. (starts, ends, axes, steps) of a reference call.
SliceWalk WalkOf(const ir::ReferenceCall& call, size_t first, std::span<const int64_t> dims) {
  const std::vector<SliceRange> ranges =
      GivenRanges(ReadInts(call, first), ReadInts(call, first + 1), ReadInts(call, first + 2),
                  ReadInts(call, first + 3), static_cast<int>(dims.size()));
  const std::vector<int64_t> own = Strides(dims);
  SliceWalk walk;
  for (size_t i = 0; i < dims.size(); ++i) {
    const Resolved range = Resolve(ranges[i], dims[i]);
    walk.start += range.start * own[i];
    // An axis of which at most one element is taken is never stepped along; a huge step would
    // overflow.
    walk.strides.push_back(range.count > 1 ? range.step * own[i] : 0);
  }
  return walk;
}

// ---- Slice ----

std::vector<Type> SliceRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
  bool known = in.ints(1) && in.ints(2);
  for (size_t i = 3; i < 5; ++i) known = known && (!in.has(i) || in.ints(i));
  if (!known) return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
  const std::vector<int64_t> none;
  const std::vector<SliceRange> ranges = GivenRanges(
      *in.ints(1), *in.ints(2), in.ints(3).value_or(none), in.ints(4).value_or(none), x.rank());
  Dimensions dims;
  for (size_t i = 0; i < ranges.size(); ++i) dims.push_back(SlicedExtent(ranges[i], x.dims()[i]));
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

void SliceReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const SliceWalk walk = WalkOf(call, 1, x.dims);
  GatherStrided(x.data, walk.start, walk.strides, call.output().dims, call.output().data,
                ItemSize(x.dtype));
}

std::vector<OpCase> SliceCases() {
  const OpCase::Input x = Floats({3, 4}, {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23});
  const auto ints = [](std::vector<int64_t> v) { return ConstantInts(v); };
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  return {
      ExpectedCase("block", {x, ints({1, 0}), ints({3, 2})}, {10, 11, 20, 21}),
      ExpectedCase("axis", {x, ints({1}), ints({3}), ints({1})}, {1, 2, 11, 12, 21, 22}),
      ExpectedCase("negative", {x, ints({-2}), ints({-1}), ints({-1})}, {2, 12, 22}),
      ExpectedCase("step", {x, ints({0}), ints({kMax}), ints({1}), ints({3})},
                   {0, 3, 10, 13, 20, 23}),
      ExpectedCase("backwards", {x, ints({-1}), ints({kMin}), ints({0}), ints({-1})},
                   {20, 21, 22, 23, 10, 11, 12, 13, 0, 1, 2, 3}),
      ExpectedCase("backwards_by_two",
                   {x, ints({3, 9}), ints({0, -9}), ints({1, 0}), ints({-2, -2})}, {23, 21, 3, 1}),
      ExpectedCase("huge_step", {x, ints({1}), ints({kMax}), ints({0}), ints({kMax})},
                   {10, 11, 12, 13}),
      ExpectedCase("outside", {x, ints({5}), ints({9}), ints({0})}, {}),
      ExpectedCase("at_run_time", {x, Integers({1}, {2}), Integers({1}, {3}), Integers({1}, {0})},
                   {20, 21, 22, 23}),
      ExpectedCase("empty", {Floats({0, 2}, {}), ints({0}), ints({1}), ints({1})}, {}),
      ExpectedOnly("i32", {Integers({3}, {7, 8, 9}, DType::kI32), ints({1}), ints({3})}, {8, 9})};
}

void RegisterSlice(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Slice";
  op.since_version = 13;
  op.summary = "Along each of `axes` the elements from start to end (exclusive) by step.";
  op.inputs = {Required("data"), Required("starts", "Tind"), Required("ends", "Tind"),
               Optional("axes", "Tind"), Optional("steps", "Tind")};
  op.outputs = {Required("output")};
  op.reference = SliceReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    const ir::Node& node = context.node();
    context.SetInputGradient(
        0, context.builder().Op("ingot.SliceGradient",
                                {context.output_gradient(), context.input(0), node.input(1),
                                 node.input(2), node.input(3), node.input(4)}));
  };
  op.cases = SliceCases();
  SetShapeRule(op, SliceRule);
  registry.Add(std::move(op));
}

void RegisterSliceGradient(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "SliceGradient";
  op.domain = "ingot";
  op.summary = "Zeros of the shape of `like`, with dY where the slice took its elements.";
  op.inputs = {Required("dY"),           Required("like", "L"),    Required("starts", "Tind"),
               Required("ends", "Tind"), Optional("axes", "Tind"), Optional("steps", "Tind")};
  op.outputs = {Required("dX")};
  op.infer = [](ir::InferContext& context) {
    const Type& like = context.input(1);
    const DType dtype = context.input(0).dtype();
    context.SetOutput(
        0, like.has_rank() ? Type::Tensor(dtype, like.dims()) : Type::TensorOfUnknownRank(dtype));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& out = call.output();
    const SliceWalk walk = WalkOf(call, 2, out.dims);
    if (out.bytes() == 0) return;
    std::memset(out.data, 0, out.bytes());
    ScatterStrided(call.input(0).data, call.input(0).dims, out.data, walk.start, walk.strides,
                   ItemSize(out.dtype));
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    const ir::Node& node = context.node();
    Value* slice = context.builder().Op("Slice", {context.output_gradient(), node.input(2),
                                                  node.input(3), node.input(4), node.input(5)});
    context.SetInputGradient(0, context.builder().ReshapeLike(slice, context.input(0)));
  };
  OpCase::Input like = Uniform({3, 4});
  like.differentiable = false;
  op.cases = {
      ExpectedCase("block",
                   {Floats({2, 2}, {1, 2, 3, 4}), like, ConstantInts({1, 0}), ConstantInts({3, 2})},
                   {0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0}),
      ExpectedCase("backwards_by_two",
                   {Floats({2, 2}, {1, 2, 3, 4}), like, ConstantInts({3, 9}), ConstantInts({0, -9}),
                    ConstantInts({1, 0}), ConstantInts({-2, -2})},
                   {0, 4, 0, 3, 0, 0, 0, 0, 0, 2, 0, 1}),
      ExpectedCase(
          "nothing",
          {Floats({0, 4}, {}), like, ConstantInts({5}), ConstantInts({9}), ConstantInts({0})},
          {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})};
  registry.Add(std::move(op));
}

// ---- Pad ----

struct Padding {
  int64_t before = 0;
  int64_t after = 0;
};

constexpr int64_t kMostPad = int64_t{1} << 40;  // sums of some stay within 64 bits

// One for each axis; `pads` holds all befores, then all afters, of `axes` (empty: all axes).
std::vector<Padding> Paddings(const std::vector<int64_t>& pads, std::vector<int64_t> axes,
                              int rank) {
  if (axes.empty()) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  if (pads.size() != 2 * axes.size()) {
    throw Error(ErrorCode::kInvalidInput, "pads has " + std::to_string(pads.size()) +
                                              " elements, expected two for each of " +
                                              std::to_string(axes.size()) + " axes");
  }
  std::vector<Padding> paddings(static_cast<size_t>(rank));
  for (size_t i = 0; i < axes.size(); ++i) {
    for (const int64_t pad : {pads[i], pads[i + axes.size()]}) {
      if (pad >= -kMostPad && pad <= kMostPad) continue;
      throw Error(ErrorCode::kInvalidInput,
                  "pads holds " + std::to_string(pad) + ", more than any tensor has");
    }
    paddings[static_cast<size_t>(NormalizeAxis(axes[i], rank))] = {pads[i], pads[i + axes.size()]};
  }
  return paddings;
}

enum class PadMode { kConstant, kEdge, kReflect, kWrap };

PadMode ModeOf(const ir::Node& node) {
  const std::string& mode = node.GetString("mode");
  if (mode == "constant") return PadMode::kConstant;
  if (mode == "edge") return PadMode::kEdge;
  if (mode == "reflect") return PadMode::kReflect;
  if (mode == "wrap") return PadMode::kWrap;
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'mode' is '" + mode + "', expected constant, edge, reflect or wrap");
}

// The place inside of an axis of this extent from which place `at`, perhaps outside, is filled.
int64_t PlaceInside(PadMode mode, int64_t at, int64_t extent) {
  if (mode == PadMode::kEdge || extent == 1) return std::clamp<int64_t>(at, 0, extent - 1);
  const int64_t period = mode == PadMode::kWrap ? extent : 2 * (extent - 1);
  int64_t place = at % period;
  if (place < 0) place += period;
  return place < extent ? place : period - place;
}

// Calls use(place in the larger tensor, place in the smaller) for every element of the larger one.
template <typename F>
void ForEachPadded(PadMode mode, const std::vector<Padding>& paddings,
                   std::span<const int64_t> larger, std::span<const int64_t> smaller,
                   const F& use) {
  const std::vector<int64_t> strides = Strides(smaller);
  int64_t count = 1;
  for (const int64_t dim : larger) count *= dim;
  for (size_t i = 0; i < smaller.size(); ++i) {
    if (smaller[i] > 0 || count == 0) continue;
    throw Error(ErrorCode::kInvalidInput,
                "axis " + std::to_string(i) + " is empty: there is nothing to pad it with");
  }
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, from = 0;
    for (size_t axis = larger.size(); axis-- > 0; rest /= larger[axis]) {
      const int64_t at = rest % larger[axis] - paddings[axis].before;
      from += PlaceInside(mode, at, smaller[axis]) * strides[axis];
    }
    use(i, from);
  }
}

std::vector<Type> PadRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  ModeOf(in.node);
  if (!x.has_rank()) return {Type::TensorOfUnknownRank(x.dtype())};
  if (!in.ints(1) || (in.has(3) && !in.ints(3))) {
    return {Type::Tensor(x.dtype(), UnknownDimensions(x.rank()))};
  }
  const std::vector<Padding> paddings =
      Paddings(*in.ints(1), in.ints(3).value_or(std::vector<int64_t>()), x.rank());
  Dimensions dims;
  for (size_t i = 0; i < paddings.size(); ++i) {
    const Dimension& dim = x.dims()[i];
    const int64_t more = paddings[i].before + paddings[i].after;
    if (dim.is_static() && dim.value() + more < 0) {
      throw Error(ErrorCode::kInvalidInput, "pads cut more from axis " + std::to_string(i) +
                                                " of " + x.ToString() + " than it has");
    }
    dims.push_back(dim.is_static() ? Dimension(dim.value() + more)
                                   : (more == 0 ? dim : Dimension()));
  }
  return {Type::Tensor(x.dtype(), std::move(dims))};
}

void PadReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& out = call.output();
  const size_t item = ItemSize(x.dtype);
  const std::vector<Padding> paddings = Paddings(ReadInts(call, 1), ReadInts(call, 3), x.rank());
  auto* bytes = static_cast<std::byte*>(out.data);
  if (const PadMode mode = ModeOf(call.node); mode != PadMode::kConstant) {
    ForEachPadded(mode, paddings, out.dims, x.dims, [&](int64_t to, int64_t from) {
      std::memcpy(bytes + static_cast<size_t>(to) * item,
                  static_cast<const std::byte*>(x.data) + static_cast<size_t>(from) * item, item);
    });
    return;
  }
  if (call.has_input(2)) {
    for (size_t at = 0; at < out.bytes(); at += item) {
      std::memcpy(bytes + at, call.input(2).data, item);
    }
  } else if (out.bytes() > 0) {
    std::memset(bytes, 0, out.bytes());
  }
  // The block that both have: negative pads cut it.
  const std::vector<int64_t> from_strides = Strides(x.dims);
  const std::vector<int64_t> to_strides = Strides(out.dims);
  std::vector<int64_t> dims;
  int64_t from = 0;
  int64_t to = 0;
  int64_t count = 1;
  for (size_t i = 0; i < paddings.size(); ++i) {
    const int64_t cut_before = std::max<int64_t>(-paddings[i].before, 0);
    const int64_t cut_after = std::max<int64_t>(-paddings[i].after, 0);
    dims.push_back(std::max<int64_t>(x.dims[i] - cut_before - cut_after, 0));
    from += cut_before * from_strides[i];
    to += std::max<int64_t>(paddings[i].before, 0) * to_strides[i];
    count *= dims.back();
  }
  StridedIndex<2> index(dims, {from_strides, to_strides}, {from, to});
  const auto* source = static_cast<const std::byte*>(x.data);
  for (int64_t i = 0; i < count; ++i, index.Next()) {
    std::memcpy(bytes + static_cast<size_t>(index[1]) * item,
                source + static_cast<size_t>(index[0]) * item, item);
  }
}

// The gradient cuts away what was added, and is 0 where something was cut: Pad with the opposite
// pads. The constant gets what remains.
void PadGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* dy = context.output_gradient();
  if (ModeOf(context.node()) != PadMode::kConstant) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0,
        b.Op("ingot.PadGradient", {dy, context.input(0), context.input(1), context.node().input(3)},
             context.node().attributes()));
    return;
  }
  std::vector<Value*> inputs = {dy, b.Neg(context.input(1))};
  if (const Tensor* pads = ConstantValue(context.input(1))) {
    std::vector<int64_t> opposite = pads->ToInts();
    for (int64_t& pad : opposite) pad = -pad;
    inputs[1] = b.Ints(opposite);
  }
  if (context.node().input(3) != nullptr) {
    inputs.push_back(nullptr);
    inputs.push_back(context.node().input(3));
  }
  Value* dx = b.ReshapeLike(b.Op("Pad", std::move(inputs)), context.input(0));
  if (context.wants(0)) context.SetInputGradient(0, dx);
  if (context.wants(2)) {
    const ir::Attributes scalar = {{"keepdims", Attribute(int64_t{0})}};
    Value* rest = b.Sub(b.Op("ReduceSum", {dy}, scalar), b.Op("ReduceSum", {dx}, scalar));
    context.SetInputGradient(2, b.ReshapeLike(rest, context.input(2)));
  }
}

void RegisterPad(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Pad";
  op.since_version = 21;
  op.summary =
      "The input with a constant (default 0), its edge, its mirror image or itself around it; "
      "negative pads cut.";
  op.inputs = {Required("data"), Required("pads", "tint64"), Optional("constant_value"),
               Optional("axes", "Tind")};
  op.outputs = {Required("output")};
  op.attributes = {StringAttribute("mode", "constant")};
  op.reference = PadReference;
  op.gradient = PadGradient;
  SetShapeRule(op, PadRule);
  const OpCase::Input x = Floats({2, 2}, {1, 2, 3, 4});
  op.cases = {
      ExpectedCase("all_sides", {x, ConstantInts({1, 0, 0, 1})}, {0, 0, 0, 1, 2, 0, 3, 4, 0}),
      ExpectedCase("value", {x, ConstantInts({0, 1, 0, 0}), Floats({}, {9})}, {9, 1, 2, 9, 3, 4}),
      ExpectedCase("axis", {x, ConstantInts({0, 1}), Absent(), ConstantInts({-1})},
                   {1, 2, 0, 3, 4, 0}),
      ExpectedCase("cut", {x, ConstantInts({-1, 0, 0, 1})}, {3, 4, 0}),
      ExpectedCase("at_run_time", {x, Integers({4}, {0, 0, 1, 0})}, {1, 2, 3, 4, 0, 0}),
      ExpectedCase("around_nothing", {Floats({0}, {}), ConstantInts({1, 1}), Floats({}, {5})},
                   {5, 5}),
      ExpectedOnly("i32", {Integers({1}, {7}, DType::kI32), ConstantInts({1, 1})}, {0, 7, 0})};
  const OpCase::Input line = Floats({3}, {1, 2, 3});
  const auto mode = [](const char* name) {
    return ir::Attributes{{"mode", Attribute(std::string(name))}};
  };
  op.cases.push_back(
      ExpectedCase("edge", {line, ConstantInts({2, 1})}, {1, 1, 1, 2, 3, 3}, mode("edge")));
  op.cases.push_back(ExpectedCase("reflect", {line, ConstantInts({2, 5})},
                                  {3, 2, 1, 2, 3, 2, 1, 2, 3, 2}, mode("reflect")));
  op.cases.push_back(
      ExpectedCase("wrap", {line, ConstantInts({4, 1})}, {3, 1, 2, 3, 1, 2, 3, 1}, mode("wrap")));
  op.cases.push_back(ExpectedCase("reflect_plane", {x, ConstantInts({1, 0, 0, 1})},
                                  {3, 4, 3, 1, 2, 1, 3, 4, 3}, mode("reflect")));
  op.cases.push_back(
      ExpectedCase("edge_cut", {line, ConstantInts({-1, 1})}, {2, 3, 3}, mode("edge")));
  registry.Add(std::move(op));
}

// Of the modes that repeat elements.
void RegisterPadGradient(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "PadGradient";
  op.domain = "ingot";
  op.summary = "Each element of dY added to the element of `like` that filled its place.";
  op.inputs = {Required("dY"), Required("like"), Required("pads", "tint64"),
               Optional("axes", "Tind")};
  op.outputs = {Required("dX")};
  op.attributes = {RequiredAttribute("mode", ir::AttributeKind::kString)};
  op.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(1)); };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& out = call.output();
    const std::vector<Padding> paddings =
        Paddings(ReadInts(call, 2), ReadInts(call, 3), out.rank());
    DispatchFloat("PadGradient", out.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      std::vector<double> sums(static_cast<size_t>(out.size()), 0);
      ForEachPadded(
          ModeOf(call.node), paddings, call.input(0).dims, out.dims, [&](int64_t from, int64_t to) {
            sums[static_cast<size_t>(to)] += static_cast<double>(call.input(0).as<T>()[from]);
          });
      for (size_t i = 0; i < sums.size(); ++i) out.as<T>()[i] = static_cast<T>(sums[i]);
    });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, context.builder().Op("Pad",
                                                     {context.output_gradient(), context.input(2),
                                                      nullptr, context.node().input(3)},
                                                     context.node().attributes()));
  };
  OpCase::Input like = Uniform({2});
  like.differentiable = false;
  op.cases = {ExpectedCase("edge", {Floats({4}, {1, 2, 4, 8}), like, ConstantInts({1, 1})}, {3, 12},
                           {{"mode", Attribute(std::string("edge"))}})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterSlicing(ir::OpRegistry& registry) {
  RegisterSlice(registry);
  RegisterSliceGradient(registry);
  RegisterPad(registry);
  RegisterPadGradient(registry);
}

}  // namespace ingot::ops
