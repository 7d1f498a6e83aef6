// layer_norm (Ba et al. 2016) and rms_norm (Zhang & Sennrich 2019): each vector is normalised by
// itself.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct NormOptions {
  double epsilon = 1e-5;
  bool bias = true;
};

const OptionTable<NormOptions>& LayerNormTable() {
  static const auto table =
      OptionTable<NormOptions>("layer_norm",
                               "the last axis with mean 0 and variance 1, times a trained scale, "
                               "plus a trained bias")
          .Add("epsilon", &NormOptions::epsilon, "added to the variance", AtLeast(0))
          .Add("bias", &NormOptions::bias, "whether there is a bias");
  return table;
}

const OptionTable<NormOptions>& RmsNormTable() {
  static const auto table =
      OptionTable<NormOptions>("rms_norm",
                               "the last axis divided by the root of its mean square, times a "
                               "trained scale")
          .Add("epsilon", &NormOptions::epsilon, "added to the mean square", AtLeast(0));
  return table;
}

std::string DescribeLayerNorm(const NormOptions&) {
  return "layer_norm";
}
std::string DescribeRmsNorm(const NormOptions&) {
  return "rms_norm";
}

ir::Value* Scale(const std::string& what, LayerContext& context, ir::Value* x) {
  if (x->type().rank() < 2 || !x->type().dim(-1).is_static()) {
    throw Error(ErrorCode::kInvalidInput,
                what + " takes [batch, ..., width], got " + ir::ToString(x->type().dims()));
  }
  Initializer ones;
  ones.kind = "ones";
  return context.AddParameter("scale", Shape{x->type().dim(-1).value()}, ones, {});
}

ir::Value* BuildLayerNorm(const NormOptions& options, LayerContext& context, ir::Value* x) {
  std::vector<ir::Value*> inputs = {x, Scale("layer_norm", context, x)};
  if (options.bias) {
    inputs.push_back(context.AddParameter("bias", Shape{x->type().dim(-1).value()}, {}, {}));
  }
  return context.builder().Op("LayerNormalization", std::move(inputs),
                              {{"axis", int64_t{-1}}, {"epsilon", options.epsilon}});
}

ir::Value* BuildRmsNorm(const NormOptions& options, LayerContext& context, ir::Value* x) {
  return context.builder().Op("RMSNormalization", {x, Scale("rms_norm", context, x)},
                              {{"axis", int64_t{-1}}, {"epsilon", options.epsilon}});
}

}  // namespace

std::vector<LayerKind> LastAxisNormLayers() {
  return {DefineLayer<NormOptions>(LayerNormTable(), DescribeLayerNorm, BuildLayerNorm),
          DefineLayer<NormOptions>(RmsNormTable(), DescribeRmsNorm, BuildRmsNorm)};
}

}  // namespace ingot::nn
