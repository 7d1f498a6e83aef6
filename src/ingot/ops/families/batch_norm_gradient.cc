// The whole gradient of batch normalisation with respect to what it normalises, as one op:
//
//   dX = dY scale / deviation + dS1 + 2 X dS2
//
// which is ingot.BatchNormApplyInputGradient(dY, S, scale) + ingot.BatchNormSumsGradient(X, dS) of
// batch_norm_training.cc. The pass passes/fuse_batch_norm_gradient.h makes it.
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/batch_norm.h"
#include "ingot/ops/batch_norm_cases.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/window.h"

namespace ingot::ops {

void RegisterBatchNormGradient(ir::OpRegistry& registry);

namespace {

void InferInputGradient(ir::InferContext& context) {
  RequireType(context, 0, Types::kFloat);
  RequireType(context, 1, Types::kFloat);
  const ir::Type& dy = context.input(0);
  const ir::Type& x = context.input(1);
  if (dy.is_static() && x.is_static() && !(dy.shape() == x.shape())) {
    throw Error(ErrorCode::kInvalidInput, "dY is " + dy.ToString() + " but X is " + x.ToString());
  }
  if (x.is_static() && x.rank() >= 2) {
    const int64_t channels = x.shape()[ChannelAxis(x.rank(), ChannelsLast(context.node()))];
    const int64_t expected[] = {2 * channels + 1, 2 * channels + 1, channels};
    for (size_t i = 0; i < 3; ++i) {
      const ir::Type& type = context.input(2 + i);
      if (!type.is_static() || type.shape() == Shape{expected[i]}) continue;
      throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(2 + i) + " is " +
                                                type.ToString() + ", expected [" +
                                                std::to_string(expected[i]) + "]");
    }
  }
  context.SetOutput(0, x);
}

void WholeGradientReference(const ir::ReferenceCall& call) {
  const TensorView& dy = call.input(0);
  const TensorView& x = call.input(1);
  const Activations layout(x, ChannelsLast(call.node));
  const std::vector<double> sums = ReadDoubles(call.input(2));
  const std::vector<double> ds = ReadDoubles(call.input(3));
  const std::vector<double> scale = ReadDoubles(call.input(4));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat("BatchNormInputGradient", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t c = 0; c < layout.channels; ++c) {
      const auto at = static_cast<size_t>(c);
      const double factor =
          scale[at] * StatisticsOf(sums.data(), layout.channels, c).InverseDeviation(epsilon);
      const double second = 2 * ds[static_cast<size_t>(layout.channels) + at];
      for (int64_t n = 0; n < layout.batch; ++n) {
        for (int64_t s = 0; s < layout.positions; ++s) {
          const int64_t i = layout.At(n, c, s);
          call.output().as<T>()[i] = static_cast<T>(double{dy.as<T>()[i]} * factor +
                                                    (ds[at] + second * double{x.as<T>()[i]}));
        }
      }
    }
  });
}

}  // namespace

void RegisterBatchNormGradient(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "BatchNormInputGradient";
  op.domain = "ingot";
  op.summary = "d(X) of batch normalisation: dY scale / deviation + dS1 + 2 X dS2.";
  op.inputs = {Required("dY"), Required("X"), Required("S", "S"), Required("dS", "S"),
               Required("scale")};
  op.outputs = {Required("dX")};
  op.attributes = {IntAttribute("channels_last", 0), FloatAttribute("epsilon", 1e-5)};
  op.infer = InferInputGradient;
  op.reference = WholeGradientReference;
  op.may_run_in_place = true;
  const auto uniform = [](const char* name, const Shape& shape, int64_t channels, bool last) {
    return OpCase{.name = name,
                  .inputs = {Uniform(shape), Uniform(shape), ExampleSums(channels),
                             Uniform({2 * channels + 1}), Uniform({channels}, 0.5, 1.5)},
                  .attributes = {{"channels_last", int64_t{last ? 1 : 0}}},
                  .gradient = false};
  };
  // Mean 2, variance 1, and with epsilon 3 a deviation of 2: 3 dY + 10 + 200 X.
  op.cases = {ExpectedOnly("by_hand",
                           {Floats({1, 1, 2}, {1, 4}), Floats({1, 1, 2}, {1, 2}),
                            Floats({3}, {4, 10, 2}), Floats({3}, {10, 100, 7}), Floats({1}, {6})},
                           {213, 422}, {{"epsilon", 3.0}}),
              uniform("plane", {2, 3, 2, 3}, 3, false),
              uniform("plane_last", {2, 4, 5, 3}, 3, true),
              uniform("no_samples_last", {0, 4, 4, 3}, 3, true),
              uniform("wide_last", {3, 7, 5, 67}, 67, true)};
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
