// GroupNormalization and InstanceNormalization, which normalise groups of channels (single ones) of
// each sample by themselves, and the ops of their gradients.
//
// With n elements in a group, deviation d = sqrt(variance + epsilon), normalised h = (x - mean) / d
// and g = dy * scale: dx = (g - mean(g) - h mean(g h)) / d. Mean and variance are taken in two
// passes, so that a large mean costs no digits.
#include <cmath>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/window.h"

namespace ingot::ops {

void RegisterGroupNormalization(ir::OpRegistry& registry);

namespace {

using ir::Attributes;
using ir::GradientContext;
using ir::InferContext;
using ir::OpDefinition;
using ir::Type;
using ir::Value;

// Groups of a tensor with this number of channels.
int64_t GroupsOf(const ir::Node& node, int64_t channels) {
  if (node.op().FindAttribute("num_groups") == nullptr) return channels;
  const int64_t groups = node.GetInt("num_groups");
  if (groups < 1 || channels % groups != 0) {
    throw Error(ErrorCode::kInvalidInput,
                std::to_string(channels) +
                    " channels cannot be cut into num_groups = " + std::to_string(groups));
  }
  return groups;
}

// Checks X and the vectors over its channels; returns [C].
ir::Dimension CheckInputs(const InferContext& context, size_t vectors) {
  RequireType(context, 0, Types::kFloat);
  const ir::Node& node = context.node();
  const Type& x = context.input(0);
  if (!x.has_rank()) return {};
  if (x.rank() < 3) {
    throw Error(ErrorCode::kInvalidInput,
                "X is " + x.ToString() + ", expected a batch, channels and spatial axes");
  }
  const ir::Dimension channels = x.dim(ChannelAxis(x.rank(), ChannelsLast(node)));
  if (channels.is_static()) GroupsOf(node, channels.value());
  for (size_t i = 1; i <= vectors; ++i) {
    const Type& given = context.input(i);
    const bool fits = !given.has_rank() ||
                      (given.rank() == 1 && (!given.dim(0).is_static() || !channels.is_static() ||
                                             given.dim(0) == channels));
    if (fits) continue;
    throw Error(ErrorCode::kInvalidInput, node.op().inputs[i].name + " is " + given.ToString() +
                                              ", but X is " + x.ToString() + " with " +
                                              channels.ToString() + " channels");
  }
  return channels;
}

// A group of one sample: channels [first, end).
struct Group {
  int64_t sample, first, end;
};

template <typename F>
void ForEachGroup(const Activations& layout, int64_t groups, F f) {
  const int64_t size = groups == 0 ? 0 : layout.channels / groups;
  for (int64_t n = 0; n < layout.batch; ++n) {
    for (int64_t g = 0; g < groups; ++g) f(Group{n, g * size, (g + 1) * size});
  }
}

// Calls f(channel, offset) for each element of a group.
template <typename F>
void ForEachElement(const Activations& layout, const Group& group, F f) {
  for (int64_t c = group.first; c < group.end; ++c) {
    for (int64_t s = 0; s < layout.positions; ++s) f(c, layout.At(group.sample, c, s));
  }
}

struct Moments {
  double mean = 0, inverse = 0, count = 0;
};

template <typename T>
Moments MomentsOf(const T* x, const Activations& layout, const Group& group, double epsilon) {
  Moments moments;
  moments.count = static_cast<double>((group.end - group.first) * layout.positions);
  if (moments.count == 0) return moments;
  double sum = 0, squares = 0;
  ForEachElement(layout, group, [&](int64_t, int64_t i) { sum += double{x[i]}; });
  moments.mean = sum / moments.count;
  ForEachElement(layout, group, [&](int64_t, int64_t i) {
    const double centred = double{x[i]} - moments.mean;
    squares += centred * centred;
  });
  moments.inverse = 1 / std::sqrt(squares / moments.count + epsilon);
  return moments;
}

void Reference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout(x, ChannelsLast(call.node));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    ForEachGroup(layout, GroupsOf(call.node, layout.channels), [&](const Group& group) {
      const Moments moments = MomentsOf(x.as<T>(), layout, group, epsilon);
      ForEachElement(layout, group, [&](int64_t c, int64_t i) {
        const double h = (double{x.as<T>()[i]} - moments.mean) * moments.inverse;
        call.output().as<T>()[i] =
            static_cast<T>(h * double{call.input(1).as<T>()[c]} + double{call.input(2).as<T>()[c]});
      });
    });
  });
}

// Inputs X, scale, dY; outputs dX, dscale, dbias.
void GradientReference(const ir::ReferenceCall& call) {
  const TensorView& x = call.input(0);
  const Activations layout(x, ChannelsLast(call.node));
  const double epsilon = call.node.GetFloat("epsilon");
  DispatchFloat(call.node.op_type(), x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* scale = call.input(1).as<T>();
    const T* dy = call.input(2).as<T>();
    const auto channels = static_cast<size_t>(layout.channels);
    std::vector<double> d_scale(channels), d_bias(channels);
    ForEachGroup(layout, GroupsOf(call.node, layout.channels), [&](const Group& group) {
      const Moments moments = MomentsOf(x.as<T>(), layout, group, epsilon);
      const auto normalised = [&](int64_t i) {
        return (double{x.as<T>()[i]} - moments.mean) * moments.inverse;
      };
      double sum = 0, dot = 0;
      ForEachElement(layout, group, [&](int64_t c, int64_t i) {
        const double gradient{dy[i]};
        const double h = normalised(i);
        d_bias[static_cast<size_t>(c)] += gradient;
        d_scale[static_cast<size_t>(c)] += gradient * h;
        sum += gradient * double{scale[c]};
        dot += gradient * double{scale[c]} * h;
      });
      ForEachElement(layout, group, [&](int64_t c, int64_t i) {
        const double g = double{dy[i]} * double{scale[c]};
        call.output(0).as<T>()[i] = static_cast<T>(
            (g - sum / moments.count - normalised(i) * dot / moments.count) * moments.inverse);
      });
    });
    for (size_t c = 0; c < channels; ++c) {
      call.output(1).as<T>()[c] = static_cast<T>(d_scale[c]);
      call.output(2).as<T>()[c] = static_cast<T>(d_bias[c]);
    }
  });
}

std::vector<ir::AttributeSpec> AttributeSpecs(bool grouped) {
  std::vector<ir::AttributeSpec> specs = {IntAttribute("channels_last", 0),
                                          FloatAttribute("epsilon", 1e-5)};
  if (grouped) specs.push_back(RequiredAttribute("num_groups", ir::AttributeKind::kInt));
  return specs;
}

Attributes CaseAttributes(bool grouped, bool last, int64_t groups, double epsilon = 1e-5) {
  Attributes attributes = {{"epsilon", epsilon}};
  if (grouped) attributes["num_groups"] = groups;
  if (last) attributes["channels_last"] = int64_t{1};
  return attributes;
}

struct Example {
  const char* name;
  Shape x;
  int64_t channels, groups;
  bool last = false;
  bool gradient = true;
};

std::vector<Example> Examples() {
  return {{"line", {2, 4, 5}, 4, 2},
          {"line_last", {2, 5, 4}, 4, 2, true},
          {"plane", {2, 6, 2, 3}, 6, 3},
          {"plane_last", {2, 2, 3, 6}, 6, 2, true},
          {"space_last", {2, 2, 2, 3, 4}, 4, 4, true},
          {"one_group_last", {2, 2, 3, 3}, 3, 1, true},
          {"no_samples_last", {0, 3, 3, 4}, 4, 2, true},
          {"wide_last", {3, 7, 5, 66}, 66, 6, true, false}};
}

OpDefinition Forward(const std::string& name, int version, const std::string& summary,
                     bool grouped) {
  OpDefinition op;
  op.name = name;
  op.since_version = version;
  op.summary = summary;
  op.inputs = {Required("X"), Required("scale"), Required("bias")};
  op.outputs = {Required("Y")};
  op.attributes = AttributeSpecs(grouped);
  op.infer = [](InferContext& context) {
    CheckInputs(context, 2);
    context.SetOutput(0, context.input(0));
  };
  op.reference = Reference;
  op.gradient = [name](GradientContext& context) {
    const std::vector<Value*> gradients =
        context.builder().Ops("ingot." + name + "Gradient",
                              {context.input(0), context.input(1), context.output_gradient()}, 3,
                              context.node().attributes());
    for (size_t i = 0; i < 3; ++i) {
      if (context.wants(i)) context.SetInputGradient(i, gradients[i]);
    }
  };
  for (const Example& example : Examples()) {
    op.cases.push_back(OpCase{.name = example.name,
                              .inputs = {Uniform(example.x, -1, 3), Uniform({example.channels}),
                                         Uniform({example.channels})},
                              .attributes = CaseAttributes(grouped, example.last, example.groups),
                              .gradient = example.gradient});
  }
  return op;
}

OpDefinition Backward(const std::string& name, bool grouped) {
  OpDefinition op;
  op.name = name + "Gradient";
  op.domain = "ingot";
  op.summary = "d(X), d(scale) and d(bias) of " + name + "; the last two summed over the samples.";
  op.inputs = {Required("X"), Required("scale"), Required("dY")};
  op.outputs = {Required("dX"), Required("dscale"), Required("dbias")};
  op.attributes = AttributeSpecs(grouped);
  op.infer = [](InferContext& context) {
    const ir::Dimension channels = CheckInputs(context, 1);
    context.SetOutput(0, context.input(0));
    for (size_t i = 1; i < 3; ++i) {
      context.SetOutput(i, Type::Tensor(context.input(0).dtype(), {channels}));
    }
  };
  op.reference = GradientReference;
  for (const Example& example : Examples()) {
    op.cases.push_back(OpCase{
        .name = example.name,
        .inputs = {Uniform(example.x, -1, 3), Uniform({example.channels}), Uniform(example.x)},
        .attributes = CaseAttributes(grouped, example.last, example.groups),
        .outputs = 3,
        .gradient = false});
  }
  // x = -1, 1 and epsilon 3: deviation 2, h = -0.5, 0.5; g = 4, 8; mean(g) = 6, mean(g h) = 1.
  op.cases.push_back(
      OpCase{.name = "by_hand",
             .inputs = {Floats({1, 1, 2}, {-1, 1}), Floats({1}, {2}), Floats({1, 1, 2}, {2, 4})},
             .attributes = CaseAttributes(grouped, false, 1, 3),
             .expected = {{-0.75, 0.75}, {1}, {6}},
             .outputs = 3,
             .gradient = false});
  return op;
}

}  // namespace

void RegisterGroupNormalization(ir::OpRegistry& registry) {
  const auto inputs = [](std::vector<double> x) {
    return std::vector<OpCase::Input>{Floats({1, 2, 2}, x), Floats({2}, {2, 4}),
                                      Floats({2}, {10, 20})};
  };
  OpDefinition group = Forward("GroupNormalization", 21,
                               "Y = X normalised over each group of channels of a sample, scaled.",
                               /*grouped=*/true);
  // Mean 5 and variance 1, with epsilon 3 a deviation of 2.
  group.cases.push_back(ExpectedCase("by_hand", inputs({4, 6, 6, 4}), {9, 11, 22, 18},
                                     CaseAttributes(true, false, 1, 3)));
  group.cases.push_back(ExpectedCase("last_by_hand", inputs({4, 6, 6, 4}), {9, 22, 11, 18},
                                     CaseAttributes(true, true, 1, 3)));
  registry.Add(std::move(group));
  registry.Add(Backward("GroupNormalization", true));

  OpDefinition instance =
      Forward("InstanceNormalization", 6, "Y = X normalised over each channel of a sample, scaled.",
              /*grouped=*/false);
  instance.cases.push_back(ExpectedCase("by_hand", inputs({4, 6, 9, 7}), {9, 11, 22, 18},
                                        CaseAttributes(false, false, 0, 3)));
  instance.cases.push_back(ExpectedCase("last_by_hand", inputs({4, 9, 6, 7}), {9, 22, 11, 18},
                                        CaseAttributes(false, true, 0, 3)));
  registry.Add(std::move(instance));
  registry.Add(Backward("InstanceNormalization", false));
}

}  // namespace ingot::ops
