// residual: layers and a way around them (He et al. 2016).
#include "ingot/base/error.h"
#include "ingot/nn/layers/composite.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct ResidualOptions {
  ConfigNode layers;
  ConfigNode shortcut;
  std::string activation = "none";
};

const OptionTable<ResidualOptions>& ResidualTable() {
  static const auto table =
      OptionTable<ResidualOptions>("residual", "activation(layers(x) + shortcut(x))")
          .AddNode("layers", &ResidualOptions::layers, "list of layers")
          .AddNode("shortcut", &ResidualOptions::shortcut,
                   "list of layers (default: none, the input itself)")
          .AddChoice("activation", &ResidualOptions::activation, "applied to the sum",
                     ActivationNames())
          .Shorthand("layers")
          .Required("layers");
  return table;
}

// As residuals with one name for both lists would clash, the shortcut's parameters lie under
// "shortcut".
Layer MakeResidual(ResidualOptions options, const LayerReader& reader) {
  const std::vector<Layer> layers = reader.ReadList(options.layers);
  options.layers = ResolvedLayers(layers);
  std::vector<Layer> shortcut;
  if (!options.shortcut.is_null()) {
    shortcut = reader.ReadList(options.shortcut);
    options.shortcut = ResolvedLayers(shortcut);
  }
  Layer layer;
  layer.description = "residual";
  layer.resolved = ConfigNode::Map({{"residual", ResidualTable().Write(options)}});
  layer.build = [layers, shortcut, activation = options.activation](LayerContext& context,
                                                                    ir::Value* x) {
    ir::Value* y = context.Build(layers, "", x);
    ir::Value* around = shortcut.empty() ? x : context.Build(shortcut, "shortcut", x);
    if (!(y->type() == around->type())) {
      throw Error(ErrorCode::kInvalidInput,
                  "its layers give " + y->type().ToString() + ", but " +
                      (shortcut.empty() ? "the input, which is added, is "
                                        : "its shortcut, which is added, gives ") +
                      around->type().ToString(),
                  shortcut.empty() ? "give it a shortcut that makes the same shape" : "");
    }
    ir::Builder& builder = context.builder();
    return ApplyActivation(builder, activation, builder.Add(y, around));
  };
  return layer;
}

}  // namespace

LayerKind ResidualLayer() {
  return DefineComposite<ResidualOptions>(ResidualTable(), MakeResidual);
}

}  // namespace ingot::nn
