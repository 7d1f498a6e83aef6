// conv_transpose: what sends a convolution's outputs back to its inputs, as a layer that enlarges.
#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/nn/layers/filters.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/window_options.h"

namespace ingot::nn {

namespace {

struct TransposedOptions {
  int64_t filters = 0;
  ConfigNode kernel = ConfigNode::Scalar("3");
  ConfigNode stride = ConfigNode::Scalar("1");
  ConfigNode padding = ConfigNode::Scalar("same");
  ConfigNode output_padding = ConfigNode::Scalar("0");
  ConfigNode dilation = ConfigNode::Scalar("1");
  int64_t groups = 1;
  bool bias = true;
  std::string activation = "none";
  ConfigNode kernel_initializer = ConfigNode::Scalar("glorot_uniform");
  ConfigNode bias_initializer = ConfigNode::Scalar("zeros");
};

const OptionTable<TransposedOptions>& TransposedTable() {
  static const auto table =
      OptionTable<TransposedOptions>(
          "conv_transpose",
          "transposed convolution along the axes behind the channels, one to three: each element "
          "puts the filters, times itself, into the result: [batch, C, H, W] -> [batch, filters, "
          "H', W'], H' = (H - 1) * stride + (kernel - 1) * dilation + 1 + output_padding - padding")
          .Add("filters", &TransposedOptions::filters, "channels of the output", AtLeast(1))
          .AddNode("kernel", &TransposedOptions::kernel, "extent of the window: 3, or [3, 5]")
          .AddNode("stride", &TransposedOptions::stride,
                   "how much larger it becomes: 2, or [2, 1] by axis")
          .AddNode("padding", &TransposedOptions::padding,
                   "what is taken off the result: same (to extents times stride), valid (nothing), "
                   "a number for all sides, one for each axis, or [top, bottom, left, right]")
          .AddNode("output_padding", &TransposedOptions::output_padding,
                   "what is added behind each axis, less than stride; not with same")
          .AddNode("dilation", &TransposedOptions::dilation,
                   "from one place of a window to the next")
          .Add("groups", &TransposedOptions::groups, "groups of channels that see only themselves",
               AtLeast(1))
          .Add("bias", &TransposedOptions::bias, "whether a bias is added to each channel")
          .AddChoice("activation", &TransposedOptions::activation, "applied to the result",
                     ActivationNames())
          .AddNode("kernel_initializer", &TransposedOptions::kernel_initializer,
                   "first values of the weight [C, filters / groups, kernel...]: an initializer")
          .AddNode("bias_initializer", &TransposedOptions::bias_initializer,
                   "first values of the bias [filters]: an initializer")
          .Shorthand("filters")
          .Required("filters");
  return table;
}

std::string DescribeTransposed(const TransposedOptions& options) {
  CheckPerAxis(options.kernel, 1);
  CheckPerAxis(options.stride, 1);
  CheckPerAxis(options.dilation, 1);
  CheckPerAxis(options.output_padding, 0);
  CheckPadding(options.padding);
  std::string text =
      "conv_transpose " + std::to_string(options.filters) + " " + Times(options.kernel);
  if (Times(options.stride) != "1") text += " * " + Times(options.stride);
  return text;
}

// ONNX's pads and output_padding for one input.
struct Padding {
  std::vector<int64_t> pads, output_padding;
};

Padding PaddingOf(const TransposedOptions& options, const std::vector<int64_t>& input,
                  const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                  const std::vector<int64_t>& dilation) {
  const size_t axes = input.size();
  const bool same = options.padding.is_scalar() && options.padding.scalar() == "same";
  // `same` goes to extents times stride: what a convolution with these options makes the input of.
  std::vector<int64_t> enlarged = input;
  for (size_t i = 0; i < axes; ++i) enlarged[i] *= stride[i];
  Padding padding{Pads(options.padding, enlarged, kernel, stride, dilation),
                  PerAxis(options.output_padding, axes)};
  for (size_t i = 0; i < axes; ++i) {
    const int64_t extra = padding.output_padding[i];
    if (same && extra != 0) {
      options.output_padding.Fail("the padding 'same' sets output_padding by itself, got " +
                                  options.output_padding.Describe());
    }
    if (extra >= stride[i]) {
      options.output_padding.Fail("expected less than the stride " + std::to_string(stride[i]) +
                                  ", got " + options.output_padding.Describe());
    }
    const int64_t span = (kernel[i] - 1) * dilation[i] + 1;
    if (same) padding.output_padding[i] = std::max<int64_t>(stride[i] - span, 0);
    const int64_t extent = (input[i] - 1) * stride[i] + span + padding.output_padding[i] -
                           padding.pads[i] - padding.pads[axes + i];
    if (extent < 1) {
      throw Error(ErrorCode::kInvalidInput,
                  "the padding leaves nothing of axis " + std::to_string(i + 2) +
                      ": its extent would be " + std::to_string(extent),
                  "make the padding smaller, or the kernel larger");
    }
  }
  return padding;
}

ir::Value* BuildTransposed(const TransposedOptions& options, LayerContext& context, ir::Value* x) {
  const std::vector<int64_t> input = SpatialExtents("conv_transpose", x);
  FilterShape filters{x->type().dim(1).value(), options.filters, options.groups, {}};
  CheckGroups(filters);
  filters.kernel = PerAxis(options.kernel, input.size());
  const std::vector<int64_t> stride = PerAxis(options.stride, input.size());
  const std::vector<int64_t> dilation = PerAxis(options.dilation, input.size());
  const Padding padding = PaddingOf(options, input, filters.kernel, stride, dilation);
  ir::Value* y = context.builder().Op(
      "ConvTranspose",
      FilterInputs(context, x, filters, /*transposed=*/true, options.kernel_initializer,
                   options.bias ? &options.bias_initializer : nullptr),
      {{"pads", padding.pads},
       {"output_padding", padding.output_padding},
       {"strides", stride},
       {"dilations", dilation},
       {"group", options.groups}});
  return ApplyActivation(context.builder(), options.activation, y);
}

}  // namespace

LayerKind ConvTransposeLayer() {
  return DefineLayer<TransposedOptions>(TransposedTable(), DescribeTransposed, BuildTransposed);
}

}  // namespace ingot::nn
