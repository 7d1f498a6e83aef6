// max_pool, average_pool and global_average_pool: the largest or mean of windows.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/window_options.h"

namespace ingot::nn {

namespace {

struct PoolOptions {
  ConfigNode size = ConfigNode::Scalar("2");
  ConfigNode stride;  // null: the size
  ConfigNode padding = ConfigNode::Scalar("valid");
};

OptionTable<PoolOptions> PoolTable(const std::string& name, const std::string& summary) {
  return OptionTable<PoolOptions>(name, summary)
      .AddNode("size", &PoolOptions::size, "extent of the window: 2, or [2, 3] by axis")
      .AddNode("stride", &PoolOptions::stride, "from one window to the next (default: size)")
      .AddNode("padding", &PoolOptions::padding,
               "places around that count for nothing: same, valid, or numbers")
      .Shorthand("size");
}

const OptionTable<PoolOptions>& MaxTable() {
  static const auto table =
      PoolTable("max_pool", "the largest of each window: [batch, C, H, W] -> [batch, C, H', W']");
  return table;
}

const OptionTable<PoolOptions>& AverageTable() {
  static const auto table = PoolTable("average_pool", "the mean of each window");
  return table;
}

std::string DescribePool(const std::string& name, const PoolOptions& options) {
  CheckPerAxis(options.size, 1);
  if (!options.stride.is_null()) CheckPerAxis(options.stride, 1);
  CheckPadding(options.padding);
  std::string text = name + " " + Times(options.size);
  if (!options.stride.is_null()) text += " / " + Times(options.stride);
  return text;
}

ir::Value* Pool(const std::string& op, const std::string& name, const PoolOptions& options,
                LayerContext& context, ir::Value* x) {
  const std::vector<int64_t> input = SpatialExtents(name, x);
  const std::vector<int64_t> size = PerAxis(options.size, input.size());
  const std::vector<int64_t> stride =
      options.stride.is_null() ? size : PerAxis(options.stride, input.size());
  const std::vector<int64_t> ones(input.size(), 1);
  return context.builder().Op(op, {x},
                              {{"kernel_shape", size},
                               {"strides", stride},
                               {"pads", Pads(options.padding, input, size, stride, ones)}});
}

std::string DescribeMax(const PoolOptions& options) {
  return DescribePool("max_pool", options);
}
ir::Value* BuildMax(const PoolOptions& options, LayerContext& context, ir::Value* x) {
  return Pool("MaxPool", "max_pool", options, context, x);
}

std::string DescribeAverage(const PoolOptions& options) {
  return DescribePool("average_pool", options);
}
ir::Value* BuildAverage(const PoolOptions& options, LayerContext& context, ir::Value* x) {
  return Pool("AveragePool", "average_pool", options, context, x);
}

struct GlobalOptions {};

const OptionTable<GlobalOptions>& GlobalTable() {
  static const OptionTable<GlobalOptions> table(
      "global_average_pool", "the mean of each channel: [batch, C, H, W] -> [batch, C]");
  return table;
}

std::string DescribeGlobal(const GlobalOptions&) {
  return "global_average_pool";
}

ir::Value* BuildGlobal(const GlobalOptions&, LayerContext& context, ir::Value* x) {
  SpatialExtents("global_average_pool", x);
  return context.builder().Op("Flatten", {context.builder().Op("GlobalAveragePool", {x})},
                              {{"axis", int64_t{1}}});
}

}  // namespace

std::vector<LayerKind> PoolingLayers() {
  return {DefineLayer<PoolOptions>(MaxTable(), DescribeMax, BuildMax),
          DefineLayer<PoolOptions>(AverageTable(), DescribeAverage, BuildAverage),
          DefineLayer<GlobalOptions>(GlobalTable(), DescribeGlobal, BuildGlobal)};
}

}  // namespace ingot::nn
