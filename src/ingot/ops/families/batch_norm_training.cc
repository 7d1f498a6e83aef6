// Batch normalisation in training, as ops that can be cut at the sum over shards:
//
//   S = ingot.BatchNormSums(X)                      of a shard; ingot.ShardSum adds the shards
//   Y = ingot.BatchNormApply(X, S, scale, bias)
//   dX = ingot.BatchNormApplyInputGradient(dY, S, scale) + ingot.BatchNormSumsGradient(X, dS)
//   dS, dscale, dbias = ingot.BatchNormApplySumsGradient(X, S, scale, dY)
//   running mean and variance = ingot.BatchNormUpdate(mean, variance, S)
//
// S is [2C + 1]: the sum of each channel, the sum of its squares, and how many elements a channel
// has. It is f64, because mean and variance come from differences of these sums: with f64 a mean of
// m standard deviations costs m^2 * 2^-53 of the variance, with f32 it would cost m^2 * 2^-24. The
// biased variance S2 / n - mean^2 is not taken below 0.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ingot/ops/batch_norm.h"
#include "ingot/ops/batch_norm_cases.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"
#include "ingot/ops/window.h"

namespace ingot::ops {

void RegisterBatchNormTraining(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::Dimension;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

// ---- shape rules ----

Dimension ChannelsOf(const InferContext& context, size_t input) {
  const Type& x = context.input(input);
  if (!x.has_rank()) return {};
  if (x.rank() < 2) {
    Refuse("input " + std::to_string(input) + " is " + x.ToString() +
           ", expected a batch and channels");
  }
  return x.dim(ChannelAxis(x.rank(), ChannelsLast(context.node())));
}

// Checks that an input is [extent].
void RequireVector(const InferContext& context, size_t input, const Dimension& extent) {
  const Type& type = context.input(input);
  const bool fits = !type.has_rank() ||
                    (type.rank() == 1 &&
                     (!extent.is_static() || !type.dim(0).is_static() || type.dim(0) == extent));
  if (!fits) {
    Refuse("input " + std::to_string(input) + " (" + context.node().op().inputs[input].name +
           ") is " + type.ToString() + ", expected [" + extent.ToString() + "]");
  }
}

Dimension SumsExtent(const Dimension& channels) {
  return channels.is_static() ? Dimension(2 * channels.value() + 1) : Dimension();
}

// ---- statistics ----

// Layout of a tensor with or without spatial axes.
Activations LayoutOf(const ir::Node& node, const TensorView& x) {
  return Activations(x, ChannelsLast(node));
}

// Calls f(n, c, offset) for all elements, channel by channel.
template <typename F>
void ForEachElement(const Activations& layout, F f) {
  for (int64_t c = 0; c < layout.channels; ++c) {
    for (int64_t n = 0; n < layout.batch; ++n) {
      for (int64_t s = 0; s < layout.positions; ++s) f(c, layout.At(n, c, s));
    }
  }
}

// ---- references ----

void SumsReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout = LayoutOf(call.node, x);
  double* sums = call.output().as<double>();
  std::fill_n(sums, call.output().size(), 0.0);
  sums[2 * layout.channels] = static_cast<double>(layout.batch * layout.positions);
  DispatchFloat("BatchNormSums", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    ForEachElement(layout, [&](int64_t c, int64_t i) {
      const double value{x.as<T>()[i]};
      sums[c] += value;
      sums[layout.channels + c] += value * value;
    });
  });
}

// dX = dS1 + 2 X dS2.
void SumsGradientReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout = LayoutOf(call.node, x);
  const std::vector<double> ds = ReadDoubles(call.input(1));
  DispatchFloat("BatchNormSumsGradient", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    ForEachElement(layout, [&](int64_t c, int64_t i) {
      const double second = ds[static_cast<size_t>(layout.channels + c)];
      call.output().as<T>()[i] =
          static_cast<T>(ds[static_cast<size_t>(c)] + 2 * double{x.as<T>()[i]} * second);
    });
  });
}

void ApplyReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout = LayoutOf(call.node, x);
  const std::vector<double> sums = ReadDoubles(call.input(1));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat("BatchNormApply", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t c = 0; c < layout.channels; ++c) {
      const Statistics statistics = StatisticsOf(sums.data(), layout.channels, c);
      const double factor = statistics.InverseDeviation(epsilon) * double{call.input(2).as<T>()[c]};
      const double bias{call.input(3).as<T>()[c]};
      for (int64_t n = 0; n < layout.batch; ++n) {
        for (int64_t s = 0; s < layout.positions; ++s) {
          const int64_t i = layout.At(n, c, s);
          call.output().as<T>()[i] =
              static_cast<T>((double{x.as<T>()[i]} - statistics.mean) * factor + bias);
        }
      }
    }
  });
}

// dX = dY * scale / deviation: with the statistics held still.
void InputGradientReference(const ir::ReferenceCall& call) {
  const TensorView& dy = call.input(0);
  const Activations layout = LayoutOf(call.node, dy);
  const std::vector<double> sums = ReadDoubles(call.input(1));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat("BatchNormApplyInputGradient", dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> factors;
    for (int64_t c = 0; c < layout.channels; ++c) {
      factors.push_back(double{call.input(2).as<T>()[c]} *
                        StatisticsOf(sums.data(), layout.channels, c).InverseDeviation(epsilon));
    }
    ForEachElement(layout, [&](int64_t c, int64_t i) {
      call.output().as<T>()[i] =
          static_cast<T>(double{dy.as<T>()[i]} * factors[static_cast<size_t>(c)]);
    });
  });
}

void ApplySumsGradientReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const TensorView& dy = call.input(3);
  const Activations layout = LayoutOf(call.node, x);
  const std::vector<double> sums = ReadDoubles(call.input(1));
  const std::vector<double> scale = ReadDoubles(call.input(2));
  const double epsilon = call.node.GetFloat("epsilon");
  const auto channels = static_cast<size_t>(layout.channels);
  std::vector<double> ds(2 * channels + 1), d_scale(channels), d_bias(channels);
  DispatchFloat("BatchNormApplySumsGradient", x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<ChannelGradient> gradients(channels);
    std::vector<Statistics> all;
    for (int64_t c = 0; c < layout.channels; ++c) {
      all.push_back(StatisticsOf(sums.data(), layout.channels, c));
    }
    ForEachElement(layout, [&](int64_t c, int64_t i) {
      ChannelGradient& gradient = gradients[static_cast<size_t>(c)];
      const double value{dy.as<T>()[i]};
      gradient.sum += value;
      gradient.normalised += value * (double{x.as<T>()[i]} - all[static_cast<size_t>(c)].mean);
    });
    for (size_t c = 0; c < channels; ++c) {
      const auto channel = static_cast<int64_t>(c);
      const double inverse = all[c].InverseDeviation(epsilon);
      gradients[c].normalised *= inverse;
      AddSumsGradient(all[c], inverse, scale[c], gradients[c], channel, layout.channels, ds.data());
      d_scale[c] = gradients[c].normalised;
      d_bias[c] = gradients[c].sum;
    }
  });
  WriteDoubles(ds, call.output(0));
  WriteDoubles(d_scale, call.output(1));
  WriteDoubles(d_bias, call.output(2));
}

void UpdateReference(const ir::ReferenceCall& call) {
  const std::vector<double> mean = ReadDoubles(call.input(0));
  const std::vector<double> variance = ReadDoubles(call.input(1));
  const std::vector<double> sums = ReadDoubles(call.input(2));
  const double momentum = call.node.GetFloat("momentum");
  std::vector<double> new_mean = mean, new_variance = variance;
  const auto channels = static_cast<int64_t>(mean.size());
  for (size_t c = 0; c < mean.size(); ++c) {
    const Statistics now = StatisticsOf(sums.data(), channels, static_cast<int64_t>(c));
    const Running moved = Moved({mean[c], variance[c]}, now, momentum);
    new_mean[c] = moved.mean;
    new_variance[c] = moved.variance;
  }
  WriteDoubles(new_mean, call.output(0));
  WriteDoubles(new_variance, call.output(1));
}

// ---- definitions ----

Attributes Last(Attributes attributes = {}) {
  attributes["channels_last"] = int64_t{1};
  return attributes;
}

Attributes AttributesOf(const ir::Node& node, bool with_epsilon) {
  Attributes attributes = {{"channels_last", node.GetInt("channels_last")}};
  if (with_epsilon) attributes["epsilon"] = node.GetFloat("epsilon");
  return attributes;
}

OpDefinition Base(const std::string& name, const std::string& summary) {
  OpDefinition op;
  op.name = name;
  op.domain = "ingot";
  op.summary = summary;
  op.attributes = {IntAttribute("channels_last", 0)};
  return op;
}

OpDefinition Sums() {
  OpDefinition op = Base("BatchNormSums",
                         "S = [sum of each channel, sum of its squares, elements of a channel].");
  op.inputs = {Required("X")};
  op.outputs = {Required("S", "")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, Type::Tensor(DType::kF64, {SumsExtent(ChannelsOf(context, 0))}));
  };
  op.reference = SumsReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    context.SetInputGradient(0, context.builder().Op("ingot.BatchNormSumsGradient",
                                                     {context.input(0), context.output_gradient()},
                                                     AttributesOf(context.node(), false)));
  };
  const OpCase::Input x = Floats({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const auto random = [](const char* name, Shape shape, Attributes attributes = {},
                         bool gradient = true) {
    return OpCase{.name = name,
                  .inputs = {Uniform(std::move(shape), -1, 3)},
                  .attributes = std::move(attributes),
                  .gradient = gradient};
  };
  op.cases = {
      ExpectedCase("by_hand", {x}, {14, 22, 1 + 4 + 25 + 36, 9 + 16 + 49 + 64, 4}),
      ExpectedCase("last_by_hand", {x}, {16, 20, 1 + 9 + 25 + 49, 4 + 16 + 36 + 64, 4}, Last()),
      random("vectors", {5, 3}),
      random("plane", {2, 3, 4, 5}),
      random("plane_last", {2, 4, 5, 3}, Last()),
      random("space_last", {2, 2, 3, 2, 3}, Last()),
      random("no_samples_last", {0, 4, 4, 3}, Last()),
      random("wide_last", {3, 7, 5, 67}, Last(), false)};
  return op;
}

OpDefinition SumsGradient() {
  OpDefinition op = Base("BatchNormSumsGradient", "d(X) of BatchNormSums: dS1 + 2 X dS2.");
  op.inputs = {Required("X"), Required("dS", "S")};
  op.outputs = {Required("dX")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireType(context, 1, Types::kFloat);
    RequireVector(context, 1, SumsExtent(ChannelsOf(context, 0)));
    context.SetOutput(0, context.input(0));
  };
  op.reference = SumsGradientReference;
  op.may_run_in_place = true;
  op.cases = {
      ExpectedOnly("by_hand", {Floats({1, 2, 2}, {1, 2, 3, 4}), Floats({5}, {1, 2, 10, 100, 7})},
                   {21, 41, 602, 802}),
      ExpectedOnly("last_by_hand",
                   {Floats({1, 2, 2}, {1, 2, 3, 4}), Floats({5}, {1, 2, 10, 100, 7})},
                   {21, 402, 61, 802}, Last()),
      OpCase{.name = "wide_last",
             .inputs = {Uniform({3, 7, 5, 67}), Uniform({135})},
             .attributes = Last(),
             .gradient = false}};
  return op;
}

OpDefinition Apply() {
  OpDefinition op =
      Base("BatchNormApply", "Y = (X - mean) / sqrt(variance + epsilon) * scale + bias, from S.");
  op.inputs = {Required("X"), Required("S", "S"), Required("scale"), Required("bias")};
  op.outputs = {Required("Y")};
  op.attributes.push_back(FloatAttribute("epsilon", 1e-5));
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireType(context, 1, Types::kFloat);
    const Dimension channels = ChannelsOf(context, 0);
    RequireVector(context, 1, SumsExtent(channels));
    RequireVector(context, 2, channels);
    RequireVector(context, 3, channels);
    context.SetOutput(0, context.input(0));
  };
  op.reference = ApplyReference;
  op.may_run_in_place = true;
  op.gradient = [](GradientContext& context) {
    const Attributes attributes = AttributesOf(context.node(), true);
    Value* dy = context.output_gradient();
    if (context.wants(0)) {
      context.SetInputGradient(
          0, context.builder().Op("ingot.BatchNormApplyInputGradient",
                                  {dy, context.input(1), context.input(2)}, attributes));
    }
    if (!context.wants(1) && !context.wants(2) && !context.wants(3)) return;
    const std::vector<Value*> gradients = context.builder().Ops(
        "ingot.BatchNormApplySumsGradient",
        {context.input(0), context.input(1), context.input(2), dy}, 3, attributes);
    for (size_t i = 0; i < 3; ++i) {
      if (context.wants(i + 1)) context.SetInputGradient(i + 1, gradients[i]);
    }
  };
  const auto random = [](const char* name, Shape shape, int64_t channels,
                         Attributes attributes = {}, bool gradient = true) {
    return OpCase{.name = name,
                  .inputs = {Uniform(std::move(shape)), ExampleSums(channels),
                             Uniform({channels}, 0.5, 1.5), Uniform({channels})},
                  .attributes = std::move(attributes),
                  .gradient = gradient};
  };
  // Mean 2, variance 5 - 4 = 1, and with epsilon 3 a deviation of 2.
  op.cases = {ExpectedCase("by_hand",
                           {Floats({1, 1, 2}, {1, 4}), Floats({3}, {4, 10, 2}), Floats({1}, {6}),
                            Floats({1}, {100})},
                           {97, 106}, {{"epsilon", 3.0}}),
              ExpectedCase("last_by_hand",
                           {Floats({1, 1, 2}, {1, 4}), Floats({5}, {4, 4, 10, 10, 2}),
                            Floats({2}, {6, 8}), Floats({2}, {100, 200})},
                           {97, 208}, Last({{"epsilon", 3.0}})),
              random("vectors", {5, 3}, 3),
              random("plane", {2, 3, 2, 3}, 3),
              random("plane_last", {2, 2, 3, 3}, 3, Last()),
              random("wide_last", {3, 7, 5, 67}, 67, Last(), false)};
  return op;
}

OpDefinition ApplyInputGradient() {
  OpDefinition op = Base("BatchNormApplyInputGradient",
                         "d(X) of BatchNormApply with S held still: dY scale / deviation.");
  op.inputs = {Required("dY"), Required("S", "S"), Required("scale")};
  op.outputs = {Required("dX")};
  op.attributes.push_back(FloatAttribute("epsilon", 1e-5));
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireType(context, 1, Types::kFloat);
    const Dimension channels = ChannelsOf(context, 0);
    RequireVector(context, 1, SumsExtent(channels));
    RequireVector(context, 2, channels);
    context.SetOutput(0, context.input(0));
  };
  op.reference = InputGradientReference;
  op.may_run_in_place = true;
  op.cases = {ExpectedOnly("by_hand",
                           {Floats({1, 1, 2}, {1, 4}), Floats({3}, {4, 10, 2}), Floats({1}, {6})},
                           {3, 12}, {{"epsilon", 3.0}}),
              OpCase{.name = "wide_last",
                     .inputs = {Uniform({3, 7, 5, 67}), ExampleSums(67), Uniform({67})},
                     .attributes = Last(),
                     .gradient = false}};
  return op;
}

OpDefinition ApplySumsGradient() {
  OpDefinition op = Base("BatchNormApplySumsGradient",
                         "d(S), d(scale) and d(bias) of BatchNormApply, summed over the samples.");
  op.inputs = {Required("X"), Required("S", "S"), Required("scale"), Required("dY")};
  op.outputs = {Required("dS", "S"), Required("dscale"), Required("dbias")};
  op.attributes.push_back(FloatAttribute("epsilon", 1e-5));
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireType(context, 1, Types::kFloat);
    const Dimension channels = ChannelsOf(context, 0);
    RequireVector(context, 1, SumsExtent(channels));
    RequireVector(context, 2, channels);
    context.SetOutput(0, context.input(1).WithDims({SumsExtent(channels)}));
    context.SetOutput(1, context.input(2).WithDims({channels}));
    context.SetOutput(2, context.input(2).WithDims({channels}));
  };
  op.reference = ApplySumsGradientReference;
  // Mean 2, variance 1, deviation 2: normalised X is -0.5 and 1. d(mean) = -6 / 2 * 5 and
  // d(variance) = -6 / 2 / 4 * 3.5 = -2.625; n = 2.
  op.cases = {
      OpCase{.name = "by_hand",
             .inputs = {Floats({1, 1, 2}, {1, 4}), Floats({3}, {4, 10, 2}), Floats({1}, {6}),
                        Floats({1, 1, 2}, {1, 4})},
             .attributes = {{"epsilon", 3.0}},
             .expected = {{(-15 + 4 * 2.625) / 2, -2.625 / 2, (30 + 2.625 * -3) / 2}, {3.5}, {5}},
             .outputs = 3,
             .gradient = false},
      OpCase{.name = "wide_last",
             .inputs = {Uniform({3, 7, 5, 67}), ExampleSums(67), Uniform({67}),
                        Uniform({3, 7, 5, 67})},
             .attributes = Last(),
             .outputs = 3,
             .gradient = false}};
  return op;
}

OpDefinition Update() {
  OpDefinition op = Base("BatchNormUpdate",
                         "Running mean and unbiased variance moved by `momentum` towards S's.");
  op.inputs = {Required("mean"), Required("variance"), Required("S", "S")};
  op.outputs = {Required("new_mean"), Required("new_variance")};
  op.attributes = {FloatAttribute("momentum", 0.1)};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireType(context, 2, Types::kFloat);
    const Type& mean = context.input(0);
    const Dimension channels = mean.has_rank() && mean.rank() == 1 ? mean.dim(0) : Dimension();
    RequireVector(context, 0, channels);
    RequireVector(context, 1, channels);
    RequireVector(context, 2, SumsExtent(channels));
    context.SetOutput(0, mean);
    context.SetOutput(1, context.input(1));
  };
  op.reference = UpdateReference;
  // Mean 2, biased variance 1, unbiased 2.
  op.cases = {OpCase{.name = "by_hand",
                     .inputs = {Floats({1}, {4}), Floats({1}, {8}), Floats({3}, {4, 10, 2})},
                     .attributes = {{"momentum", 0.25}},
                     .expected = {{3.5}, {6.5}},
                     .outputs = 2,
                     .gradient = false},
              OpCase{.name = "one_element",
                     .inputs = {Floats({1}, {4}), Floats({1}, {8}), Floats({3}, {2, 4, 1})},
                     .attributes = {{"momentum", 0.5}},
                     .expected = {{3}, {4}},
                     .outputs = 2,
                     .gradient = false}};
  return op;
}

}  // namespace

void RegisterBatchNormTraining(ir::OpRegistry& registry) {
  registry.Add(Sums());
  registry.Add(SumsGradient());
  registry.Add(Apply());
  registry.Add(ApplyInputGradient());
  registry.Add(ApplySumsGradient());
  registry.Add(Update());
}

}  // namespace ingot::ops
