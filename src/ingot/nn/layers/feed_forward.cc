// feed_forward and swiglu: the two-layer networks inside transformers, over the last axis.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/product.h"

namespace ingot::nn {

namespace {

struct FeedForwardOptions {
  int64_t hidden = 0;
  std::string activation = "gelu";
  bool bias = true;
  ConfigNode initializer = ConfigNode::Scalar("glorot_uniform");
};

const OptionTable<FeedForwardOptions>& FeedForwardTable() {
  static const auto table =
      OptionTable<FeedForwardOptions>("feed_forward",
                                      "activation(x W + b) V + c, as wide as its input")
          .Add("hidden", &FeedForwardOptions::hidden, "columns of W; 0: 4 times the width",
               AtLeast(0))
          .AddChoice("activation", &FeedForwardOptions::activation, "in between", ActivationNames())
          .Add("bias", &FeedForwardOptions::bias, "whether b and c are added")
          .AddNode("initializer", &FeedForwardOptions::initializer,
                   "first values of W and V: an initializer")
          .Shorthand("hidden");
  return table;
}

const OptionTable<FeedForwardOptions>& SwigluTable() {
  static const auto table =
      OptionTable<FeedForwardOptions>("swiglu",
                                      "(swish(x G) * (x W)) V, as wide as its input (Shazeer 2020)")
          .Add("hidden", &FeedForwardOptions::hidden,
               "columns of G and W; 0: 8/3 times the width, rounded up to a multiple of 8",
               AtLeast(0))
          .AddNode("initializer", &FeedForwardOptions::initializer,
                   "first values of G, W and V: an initializer")
          .Shorthand("hidden");
  return table;
}

std::string DescribeFeedForward(const FeedForwardOptions& options) {
  return "feed_forward" + (options.hidden > 0 ? " " + std::to_string(options.hidden) : "");
}
std::string DescribeSwiglu(const FeedForwardOptions& options) {
  return "swiglu" + (options.hidden > 0 ? " " + std::to_string(options.hidden) : "");
}

int64_t WidthOf(const std::string& what, const ir::Value* x) {
  if (x->type().rank() >= 2 && x->type().dim(-1).is_static()) return x->type().dim(-1).value();
  throw Error(ErrorCode::kInvalidInput,
              what + " takes [batch, ..., width], got " + ir::ToString(x->type().dims()));
}

// x W + b with parameters NAME.weight and NAME.bias.
ir::Value* Dense(const FeedForwardOptions& options, const std::string& name, int64_t units,
                 bool bias, LayerContext& context, ir::Value* x) {
  const int64_t in = x->type().dim(-1).value();
  const Fans fans{in, units};
  ir::Value* weight = context.AddParameter(name + ".weight", Shape{in, units},
                                           ReadInitializer(options.initializer), fans);
  ir::Value* b = bias ? context.AddParameter(name + ".bias", Shape{units}, {}, fans) : nullptr;
  return Product(context.builder(), x, weight, b);
}

ir::Value* BuildFeedForward(const FeedForwardOptions& options, LayerContext& context,
                            ir::Value* x) {
  const int64_t width = WidthOf("feed_forward", x);
  const int64_t hidden = options.hidden > 0 ? options.hidden : 4 * width;
  ir::Value* up = Dense(options, "up", hidden, options.bias, context, x);
  ir::Value* active = ApplyActivation(context.builder(), options.activation, up);
  return Dense(options, "down", width, options.bias, context, active);
}

ir::Value* BuildSwiglu(const FeedForwardOptions& options, LayerContext& context, ir::Value* x) {
  const int64_t width = WidthOf("swiglu", x);
  const int64_t hidden = options.hidden > 0 ? options.hidden : (8 * width + 23) / 24 * 8;
  ir::Value* gate = Dense(options, "gate", hidden, false, context, x);
  ir::Value* up = Dense(options, "up", hidden, false, context, x);
  ir::Value* active = ApplyActivation(context.builder(), "swish", gate);
  return Dense(options, "down", width, false, context, context.builder().Mul(active, up));
}

}  // namespace

LayerKind FeedForwardLayer() {
  return DefineLayer<FeedForwardOptions>(FeedForwardTable(), DescribeFeedForward, BuildFeedForward);
}

LayerKind SwigluLayer() {
  return DefineLayer<FeedForwardOptions>(SwigluTable(), DescribeSwiglu, BuildSwiglu);
}

}  // namespace ingot::nn
