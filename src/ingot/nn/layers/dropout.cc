// dropout: zeroes elements at random while training (Srivastava et al. 2014).
#include "ingot/base/text.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct DropoutOptions {
  double ratio = 0.5;
};

const OptionTable<DropoutOptions>& DropoutTable() {
  static const auto table =
      OptionTable<DropoutOptions>("dropout",
                                  "zeroes elements at random while training, scaling the others up")
          .Add("ratio", &DropoutOptions::ratio, "share of the elements that become 0, below 1",
               Between(0, 0.999999))
          .Shorthand("ratio");
  return table;
}

std::string DescribeDropout(const DropoutOptions& options) {
  return "dropout " + FormatNumber(options.ratio);
}

ir::Value* BuildDropout(const DropoutOptions& options, LayerContext& context, ir::Value* x) {
  if (!context.training() || options.ratio == 0) return x;
  return context.builder().Op("ingot.Dropout", {x, context.RandomKey()},
                              {{"ratio", options.ratio}, {"stream", context.stream()}});
}

}  // namespace

LayerKind DropoutLayer() {
  return DefineLayer<DropoutOptions>(DropoutTable(), DescribeDropout, BuildDropout);
}

}  // namespace ingot::nn
