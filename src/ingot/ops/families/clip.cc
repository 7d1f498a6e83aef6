// Clip, and the helper of its gradient. Bounds are optional scalars; where min is above max, the
// result is max, as ONNX says.
#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Builder;
using ir::GradientContext;
using ir::Value;

// Bounds follow the `first` inputs; each must be a scalar (one element is accepted).
void CheckBounds(const ir::InferContext& context, size_t first) {
  for (size_t i = first; i < first + 2 && i < context.node().inputs().size(); ++i) {
    if (!context.HasInput(i)) continue;
    const ir::Type& type = context.input(i);
    if (!type.is_tensor() || (type.is_static() && type.shape().size() != 1)) {
      throw Error(ErrorCode::kInvalidInput, std::string(i == first ? "min" : "max") + " is " +
                                                type.ToString() + ", expected a scalar");
    }
  }
}

template <typename T>
struct Bounds {
  bool has_min, has_max;
  Compute<T> min, max;

  Bounds(const ir::ReferenceCall& call, size_t first)
      : has_min(call.has_input(first)),
        has_max(call.has_input(first + 1)),
        min(has_min ? static_cast<Compute<T>>(*call.input(first).as<T>()) : Compute<T>()),
        max(has_max ? static_cast<Compute<T>>(*call.input(first + 1).as<T>()) : Compute<T>()) {}
};

void ClipReference(const ir::ReferenceCall& call) {
  DispatchNumeric("Clip", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Bounds<T> bounds(call, 1);
    const T* in = call.input(0).as<T>();
    T* out = call.output().as<T>();
    for (int64_t i = 0; i < call.output().size(); ++i) {
      auto x = static_cast<Compute<T>>(in[i]);
      if (bounds.has_min && x < bounds.min) x = bounds.min;
      if (bounds.has_max && x > bounds.max) x = bounds.max;
      out[i] = static_cast<T>(x);
    }
  });
}

void ClipGradientReference(const ir::ReferenceCall& call) {
  DispatchFloat("ClipGradient", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Bounds<T> bounds(call, 2);
    const T* dy = call.input(0).as<T>();
    const T* in = call.input(1).as<T>();
    T* out = call.output().as<T>();
    for (int64_t i = 0; i < call.output().size(); ++i) {
      const auto x = static_cast<double>(in[i]);
      const bool cut = (bounds.has_min && x < bounds.min) || (bounds.has_max && x > bounds.max);
      out[i] = cut ? T(0) : dy[i];
    }
  });
}

// The sum of dY where X is beyond a bound: that bound's gradient.
Value* BoundGradient(GradientContext& context, const char* comparison, size_t bound) {
  Builder& b = context.builder();
  Value* dy = context.output_gradient();
  Value* beyond = b.Op(comparison, {context.input(0), context.input(bound)});
  Value* cut = b.Op("Where", {beyond, dy, b.ScalarLike(dy, 0)});
  Value* sum = b.Op("ReduceSum", {cut}, {{"keepdims", ir::Attribute(int64_t{0})}});
  return b.ReshapeLike(sum, context.input(bound));
}

void ClipRule(GradientContext& context) {
  if (context.wants(0)) {
    context.SetInputGradient(
        0, context.builder().Op("ingot.ClipGradient", {context.output_gradient(), context.input(0),
                                                       context.input(1), context.input(2)}));
  }
  if (context.wants(1)) context.SetInputGradient(1, BoundGradient(context, "Less", 1));
  if (context.wants(2)) context.SetInputGradient(2, BoundGradient(context, "Greater", 2));
}

OpCase::Input Bound(double value) {
  return FixedFloats({}, {value});
}

}  // namespace

void RegisterClip(ir::OpRegistry& registry) {
  ir::OpDefinition clip = Unary<Types::kNumeric>("Clip", 13, "output = min(max(input, min), max).",
                                                 [](auto x) { return x; });
  clip.inputs = {Required("input"), Optional("min"), Optional("max")};
  clip.outputs = {Required("output")};
  clip.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kNumeric);
    CheckBounds(context, 1);
    context.SetOutput(0, context.input(0));
  };
  clip.reference = ClipReference;
  clip.gradient = ClipRule;
  const std::vector<double> x = {-3, -1, -0.25, 0.5, 2, 4};
  clip.cases = {
      ExpectedCase("both", {Floats({2, 3}, x), Floats({}, {-0.5}), Floats({}, {1})},
                   {-0.5, -0.5, -0.25, 0.5, 1, 1}),
      ExpectedCase("min_only", {Floats({2, 3}, x), Floats({}, {0})}, {0, 0, 0, 0.5, 2, 4}),
      ExpectedCase("max_only", {Floats({2, 3}, x), Absent(), Floats({}, {0})},
                   {-3, -1, -0.25, 0, 0, 0}),
      ExpectedCase("neither", {Floats({6}, x)}, x),
      ExpectedCase("crossed", {Floats({2}, {-4, 4}), Bound(2), Bound(1)}, {1, 1}),
      ExpectedCase("empty", {Floats({0}, {}), Bound(0), Bound(1)}, {}),
      ExpectedOnly("i32",
                   {Integers({4}, {-9, 0, 3, 9}, DType::kI32), Integers({}, {-2}, DType::kI32),
                    Integers({}, {5}, DType::kI32)},
                   {-2, 0, 3, 5})};
  // With min above max every element is cut, and no bound's share of the gradient is defined.
  clip.cases[4].gradient = false;
  registry.Add(std::move(clip));

  ir::OpDefinition helper = GradientHelper("ClipGradient", "dX = dY where min <= X <= max, else 0.",
                                           "X", [](double dy, double) { return dy; });
  helper.inputs.push_back(Optional("min"));
  helper.inputs.push_back(Optional("max"));
  helper.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    CheckBounds(context, 2);
    const ir::Type& dy = context.input(0);
    const ir::Type& type = context.input(1);
    if (dy.is_static() && type.is_static() && !(dy.shape() == type.shape())) {
      throw Error(ErrorCode::kInvalidInput,
                  "dY is " + dy.ToString() + " but X is " + type.ToString());
    }
    context.SetOutput(0, type);
  };
  helper.reference = ClipGradientReference;
  helper.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(
        0, context.builder().Op("ingot.ClipGradient", {context.output_gradient(), context.input(1),
                                                       context.input(2), context.input(3)}));
  };
  helper.cases = {
      ExpectedCase("both",
                   {Floats({2, 3}, {1, 2, 3, 4, 5, 6}), Floats({2, 3}, x), Bound(-0.5), Bound(1)},
                   {0, 0, 3, 4, 0, 0}),
      ExpectedCase("max_only",
                   {Floats({6}, {1, 2, 3, 4, 5, 6}), Floats({6}, x), Absent(), Bound(1)},
                   {1, 2, 3, 4, 0, 0}),
      ExpectedOnly("at_the_bounds",
                   {Floats({2}, {7, 8}), Floats({2}, {-1, 1}), Bound(-1), Bound(1)}, {7, 8})};
  registry.Add(std::move(helper));
}

}  // namespace ingot::ops
