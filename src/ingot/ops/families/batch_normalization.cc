// BatchNormalization as ONNX defines it for inference: with given statistics. Its gradient is made
// of elementwise ops and sums, so that a network with frozen statistics can be trained further.
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/window.h"

namespace ingot::ops {

void RegisterBatchNormalization(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::Builder;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

using Ints = std::vector<int64_t>;

void Infer(InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  const ir::Node& node = context.node();
  if (node.GetInt("training_mode") != 0) {
    throw Error(ErrorCode::kUnsupported, "attribute 'training_mode' is not 0",
                "training computes ingot.BatchNormSums and ingot.BatchNormApply instead");
  }
  const Type& x = context.input(0);
  context.SetOutput(0, x);
  if (!x.has_rank()) return;
  if (x.rank() < 2) {
    throw Error(ErrorCode::kInvalidInput,
                "X is " + x.ToString() + ", expected a batch and channels");
  }
  const ir::Dimension& channels = x.dim(ChannelAxis(x.rank(), ChannelsLast(node)));
  for (size_t i = 1; i < 5; ++i) {
    const Type& given = context.input(i);
    if (!given.has_rank()) continue;
    const bool fits = given.rank() == 1 && (!given.dim(0).is_static() || !channels.is_static() ||
                                            given.dim(0) == channels);
    if (fits) continue;
    throw Error(ErrorCode::kInvalidInput, node.op().inputs[i].name + " is " + given.ToString() +
                                              ", but X is " + x.ToString() + " with " +
                                              channels.ToString() + " channels");
  }
}

void Reference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout(x, ChannelsLast(call.node));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat("BatchNormalization", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto parameter = [&](size_t i, int64_t c) { return double{call.input(i).as<T>()[c]}; };
    for (int64_t c = 0; c < layout.channels; ++c) {
      const double factor = parameter(1, c) / std::sqrt(parameter(4, c) + epsilon);
      for (int64_t n = 0; n < layout.batch; ++n) {
        for (int64_t s = 0; s < layout.positions; ++s) {
          const int64_t i = layout.At(n, c, s);
          call.output().as<T>()[i] =
              static_cast<T>((double{x.as<T>()[i]} - parameter(3, c)) * factor + parameter(2, c));
        }
      }
    }
  });
}

void Gradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* x = context.input(0);
  Value* dy = context.output_gradient();
  const int rank = x->type().rank();
  const bool last = ChannelsLast(context.node());
  // [C] as it broadcasts to X.
  const auto along = [&](Value* v) {
    if (last || rank == 2) return v;
    Ints shape(static_cast<size_t>(rank) - 1, 1);
    shape[0] = -1;
    return b.Op("Reshape", {v, b.Ints(shape)});
  };
  const auto per_channel = [&](Value* v) {
    Ints axes = {0};
    for (const int64_t axis : SpatialAxes(rank, last)) axes.push_back(axis);
    return b.Op("ReduceSum", {v, b.Ints(axes)}, {{"keepdims", int64_t{0}}});
  };
  Value* scale = context.input(1);
  Value* variance =
      b.Add(context.input(4), b.ScalarLike(context.input(4), context.node().GetFloat("epsilon")));
  Value* deviation = b.Op("Sqrt", {variance});
  Value* factor = b.Div(scale, deviation);
  if (context.wants(0)) context.SetInputGradient(0, b.Mul(dy, along(factor)));
  Value* sum = context.wants(2) || context.wants(3) ? per_channel(dy) : nullptr;
  if (context.wants(2)) context.SetInputGradient(2, sum);
  if (context.wants(3)) context.SetInputGradient(3, b.Neg(b.Mul(sum, factor)));
  if (!context.wants(1) && !context.wants(4)) return;
  Value* centred = b.Sub(x, along(context.input(3)));
  Value* d_scale = b.Div(per_channel(b.Mul(dy, centred)), deviation);
  if (context.wants(1)) context.SetInputGradient(1, d_scale);
  if (context.wants(4)) {
    context.SetInputGradient(4, b.MulScalar(b.Div(b.Mul(d_scale, scale), variance), -0.5));
  }
}

}  // namespace

void RegisterBatchNormalization(ir::OpRegistry& registry) {
  OpDefinition op;
  op.name = "BatchNormalization";
  op.since_version = 15;
  op.summary = "Y = (X - mean) / sqrt(var + epsilon) * scale + B for each channel.";
  op.inputs = {Required("X"), Required("scale"), Required("B"), Required("input_mean"),
               Required("input_var")};
  op.outputs = {Required("Y")};
  op.attributes = {IntAttribute("channels_last", 0), FloatAttribute("epsilon", 1e-5),
                   FloatAttribute("momentum", 0.9), IntAttribute("training_mode", 0)};
  op.infer = Infer;
  op.reference = Reference;
  op.gradient = Gradient;
  op.may_run_in_place = true;
  const Attributes last = {{"channels_last", int64_t{1}}};
  const auto random = [](const char* name, Shape shape, int64_t channels, Attributes attributes,
                         bool gradient = true) {
    return OpCase{.name = name,
                  .inputs = {Uniform(std::move(shape)), Uniform({channels}), Uniform({channels}),
                             Uniform({channels}), Uniform({channels}, 0.5, 2)},
                  .attributes = std::move(attributes),
                  .gradient = gradient};
  };
  const auto by_hand = [](const char* name, Attributes attributes, std::vector<double> expected) {
    attributes["epsilon"] = 3.0;
    return ExpectedCase(name,
                        {Floats({1, 2, 2}, {1, 4, 5, 8}), Floats({2}, {6, 8}),
                         Floats({2}, {100, 200}), Floats({2}, {2, 4}), Floats({2}, {1, 13})},
                        std::move(expected), std::move(attributes));
  };
  op.cases = {by_hand("by_hand", {}, {97, 106, 202, 208}),
              by_hand("last_by_hand", last, {97, 200, 109, 208}),
              random("vectors", {5, 3}, 3, {}),
              random("plane", {2, 3, 2, 3}, 3, {}),
              random("plane_last", {2, 2, 3, 3}, 3, last),
              random("space_last", {2, 2, 2, 3, 3}, 3, last),
              random("no_samples", {0, 3, 2, 2}, 3, {}),
              random("wide_last", {3, 7, 5, 67}, 67, last, false)};
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
