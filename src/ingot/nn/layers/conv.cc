// conv: convolutions along one to three axes.
#include "ingot/nn/layers/filters.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/window_options.h"

namespace ingot::nn {

namespace {

struct ConvOptions {
  int64_t filters = 0;
  ConfigNode kernel = ConfigNode::Scalar("3");
  ConfigNode stride = ConfigNode::Scalar("1");
  ConfigNode padding = ConfigNode::Scalar("same");
  ConfigNode dilation = ConfigNode::Scalar("1");
  ConfigNode groups = ConfigNode::Scalar("1");
  bool bias = true;
  std::string activation = "none";
  ConfigNode kernel_initializer = ConfigNode::Scalar("glorot_uniform");
  ConfigNode bias_initializer = ConfigNode::Scalar("zeros");
};

const OptionTable<ConvOptions>& ConvTable() {
  static const auto table =
      OptionTable<ConvOptions>("conv",
                               "convolution along the axes behind the channels, one to three: "
                               "[batch, C, H, W] -> [batch, filters, H', W']")
          .Add("filters", &ConvOptions::filters,
               "channels of the output; 0: as many as the input has (for depthwise)", AtLeast(0))
          .AddNode("kernel", &ConvOptions::kernel, "extent of the window: 3, or [3, 5] by axis")
          .AddNode("stride", &ConvOptions::stride, "from one window to the next: 2, or [2, 1]")
          .AddNode("padding", &ConvOptions::padding,
                   "zeros around: same, valid, a number, one for each axis, or [top, bottom, left, "
                   "right]")
          .AddNode("dilation", &ConvOptions::dilation, "from one place of a window to the next")
          .AddNode(
              "groups", &ConvOptions::groups,
              "groups of channels that see only themselves: a number, or depthwise for one group "
              "for each channel")
          .Add("bias", &ConvOptions::bias, "whether a bias is added to each channel")
          .AddChoice("activation", &ConvOptions::activation, "applied to the result",
                     ActivationNames())
          .AddNode("kernel_initializer", &ConvOptions::kernel_initializer,
                   "first values of the weight: an initializer")
          .AddNode("bias_initializer", &ConvOptions::bias_initializer,
                   "first values of the bias [filters]: an initializer")
          .Shorthand("filters")
          .Required("filters");
  return table;
}

std::string DescribeConv(const ConvOptions& options) {
  CheckPerAxis(options.kernel, 1);
  CheckPerAxis(options.stride, 1);
  CheckPerAxis(options.dilation, 1);
  CheckPadding(options.padding);
  std::string text =
      std::string("conv ") + (options.filters > 0 ? std::to_string(options.filters) + " " : "");
  text += Times(options.kernel);
  if (Times(options.stride) != "1") text += " / " + Times(options.stride);
  return text;
}

// What the options mean for one input.
struct Shapes {
  FilterShape filters;
  std::vector<int64_t> input, stride, dilation;
};

Shapes ShapesOf(const ConvOptions& options, const ir::Value* x) {
  Shapes s;
  s.input = SpatialExtents("conv", x);
  FilterShape& f = s.filters;
  f.channels = x->type().dim(1).value();
  f.filters = options.filters > 0 ? options.filters : f.channels;
  const bool depthwise = options.groups.is_scalar() && options.groups.scalar() == "depthwise";
  f.groups = depthwise ? f.channels : ReadScalar<int64_t>(options.groups);
  CheckGroups(f);
  f.kernel = PerAxis(options.kernel, s.input.size());
  s.stride = PerAxis(options.stride, s.input.size());
  s.dilation = PerAxis(options.dilation, s.input.size());
  return s;
}

ir::Value* BuildConv(const ConvOptions& options, LayerContext& context, ir::Value* x) {
  const Shapes s = ShapesOf(options, x);
  ir::Value* y = context.builder().Op(
      "Conv",
      FilterInputs(context, x, s.filters, /*transposed=*/false, options.kernel_initializer,
                   options.bias ? &options.bias_initializer : nullptr),
      {{"pads", Pads(options.padding, s.input, s.filters.kernel, s.stride, s.dilation)},
       {"strides", s.stride},
       {"dilations", s.dilation},
       {"group", s.filters.groups}});
  return ApplyActivation(context.builder(), options.activation, y);
}

}  // namespace

LayerKind ConvLayer() {
  return DefineLayer<ConvOptions>(ConvTable(), DescribeConv, BuildConv);
}

}  // namespace ingot::nn
