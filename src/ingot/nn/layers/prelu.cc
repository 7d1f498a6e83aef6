// prelu: a rectifier whose negative slope is trained (He et al. 2015).
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct PReluOptions {
  double slope = 0.25;
  bool shared = false;
};

const OptionTable<PReluOptions>& PReluTable() {
  static const auto table =
      OptionTable<PReluOptions>("prelu", "x where it is positive, else a x with a trained slope a")
          .Add("slope", &PReluOptions::slope, "first value of a")
          .Add("shared", &PReluOptions::shared,
               "one slope for all, in place of one for each channel (axis 1 of pictures, the last "
               "axis of vectors and sequences)")
          .Shorthand("slope");
  return table;
}

std::string DescribePRelu(const PReluOptions&) {
  return "prelu";
}

// relu(x) - a relu(-x).
ir::Value* BuildPRelu(const PReluOptions& options, LayerContext& context, ir::Value* x) {
  Shape shape = Shape{1};
  const int rank = x->type().rank();
  if (!options.shared && rank > 1) {
    const int axis = rank > 3 ? 1 : rank - 1;
    std::vector<int64_t> dims = {x->type().dim(axis).value()};
    dims.resize(static_cast<size_t>(rank - axis), 1);
    shape = Shape(dims);
  }
  Initializer initializer;
  initializer.kind = "constant";
  initializer.value = options.slope;
  ir::Value* a = context.AddParameter("slope", shape, initializer, {});
  ir::Builder& b = context.builder();
  return b.Sub(b.Op("Relu", {x}), b.Mul(a, b.Op("Relu", {b.Neg(x)})));
}

}  // namespace

LayerKind PReluLayer() {
  return DefineLayer<PReluOptions>(PReluTable(), DescribePRelu, BuildPRelu);
}

}  // namespace ingot::nn
