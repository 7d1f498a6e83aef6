// group_norm (Wu & He 2018) and instance_norm (Ulyanov et al. 2016): channels normalised in every
// sample by itself, so that there is nothing to be known of the batch.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct GroupNormOptions {
  int64_t groups = 32;
  double epsilon = 1e-5;
  std::string activation = "none";
};
struct InstanceNormOptions {
  double epsilon = 1e-5;
  std::string activation = "none";
};

const OptionTable<GroupNormOptions>& GroupNormTable() {
  static const auto table =
      OptionTable<GroupNormOptions>("group_norm",
                                    "the channels of each group and sample with mean 0 and "
                                    "variance 1, times a trained scale, "
                                    "plus a trained bias: [batch, C, ...]")
          .Add("groups", &GroupNormOptions::groups, "they share the channels evenly", AtLeast(1))
          .Add("epsilon", &GroupNormOptions::epsilon, "added to the variance", AtLeast(0))
          .AddChoice("activation", &GroupNormOptions::activation, "applied to the result",
                     ActivationNames())
          .Shorthand("groups");
  return table;
}

const OptionTable<InstanceNormOptions>& InstanceNormTable() {
  static const auto table =
      OptionTable<InstanceNormOptions>(
          "instance_norm",
          "each channel of each sample with mean 0 and variance 1, times a trained scale, plus a "
          "trained bias: [batch, C, ...]")
          .Add("epsilon", &InstanceNormOptions::epsilon, "added to the variance", AtLeast(0))
          .AddChoice("activation", &InstanceNormOptions::activation, "applied to the result",
                     ActivationNames());
  return table;
}

std::string DescribeGroup(const GroupNormOptions& options) {
  return "group_norm " + std::to_string(options.groups);
}
std::string DescribeInstance(const InstanceNormOptions&) {
  return "instance_norm";
}

int64_t Channels(const char* layer, const ir::Value* x) {
  if (x->type().rank() < 3 || !x->type().dim(1).is_static()) {
    throw Error(ErrorCode::kInvalidInput, std::string(layer) +
                                              " takes [batch, channels, places...], got " +
                                              ir::ToString(x->type().dims()));
  }
  return x->type().dim(1).value();
}

ir::Value* Normalise(const std::string& op, ir::Attributes attributes, int64_t channels,
                     const std::string& activation, LayerContext& context, ir::Value* x) {
  Initializer ones;
  ones.kind = "ones";
  ir::Value* scale = context.AddParameter("scale", Shape{channels}, ones, {});
  ir::Value* bias = context.AddParameter("bias", Shape{channels}, {}, {});
  ir::Value* y = context.builder().Op(op, {x, scale, bias}, std::move(attributes));
  return ApplyActivation(context.builder(), activation, y);
}

ir::Value* BuildGroup(const GroupNormOptions& options, LayerContext& context, ir::Value* x) {
  const int64_t channels = Channels("group_norm", x);
  if (channels % options.groups != 0) {
    throw Error(ErrorCode::kInvalidInput, std::to_string(channels) + " channels in " +
                                              x->type().ToString() + " do not divide into " +
                                              std::to_string(options.groups) + " groups");
  }
  return Normalise("GroupNormalization",
                   {{"num_groups", options.groups}, {"epsilon", options.epsilon}}, channels,
                   options.activation, context, x);
}

ir::Value* BuildInstance(const InstanceNormOptions& options, LayerContext& context, ir::Value* x) {
  return Normalise("InstanceNormalization", {{"epsilon", options.epsilon}},
                   Channels("instance_norm", x), options.activation, context, x);
}

}  // namespace

std::vector<LayerKind> SampleNormLayers() {
  return {DefineLayer<GroupNormOptions>(GroupNormTable(), DescribeGroup, BuildGroup),
          DefineLayer<InstanceNormOptions>(InstanceNormTable(), DescribeInstance, BuildInstance)};
}

}  // namespace ingot::nn
