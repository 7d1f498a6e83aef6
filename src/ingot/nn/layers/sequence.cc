// sequence, block and repeat: several layers as one, once or again and again.
#include "ingot/base/error.h"
#include "ingot/nn/layers/composite.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct SequenceOptions {
  ConfigNode layers;
};

const OptionTable<SequenceOptions>& SequenceTable() {
  static const auto table = OptionTable<SequenceOptions>("sequence", "several layers as one")
                                .AddNode("layers", &SequenceOptions::layers, "list of layers")
                                .Shorthand("layers")
                                .Required("layers");
  return table;
}

Layer SequenceOf(std::vector<Layer> layers, std::string description) {
  Layer layer;
  layer.description = std::move(description);
  const SequenceOptions resolved{ResolvedLayers(layers)};
  layer.resolved = ConfigNode::Map({{"sequence", SequenceTable().Write(resolved)}});
  layer.build = [layers = std::move(layers)](LayerContext& context, ir::Value* x) {
    return context.Build(layers, "", x);
  };
  return layer;
}

struct RepeatOptions {
  int64_t times = 1;
  ConfigNode layers;
};

const OptionTable<RepeatOptions>& RepeatTable() {
  static const auto table =
      OptionTable<RepeatOptions>("repeat",
                                 "the same layers several times, each with parameters of its own")
          .Add("times", &RepeatOptions::times, "how often", Between(1, 1000))
          .AddNode("layers", &RepeatOptions::layers, "list of layers")
          .Required("times")
          .Required("layers");
  return table;
}

Layer MakeRepeat(RepeatOptions options, const LayerReader& reader) {
  std::vector<Layer> layers = reader.ReadList(options.layers);
  options.layers = ResolvedLayers(layers);
  Layer layer;
  layer.description = "repeat " + std::to_string(options.times);
  layer.resolved = ConfigNode::Map({{"repeat", RepeatTable().Write(options)}});
  layer.build = [layers, times = options.times](LayerContext& context, ir::Value* x) {
    for (int64_t i = 0; i < times; ++i) x = context.Build(layers, std::to_string(i), x);
    return x;
  };
  return layer;
}

}  // namespace

LayerKind SequenceLayer() {
  return DefineComposite<SequenceOptions>(
      SequenceTable(), [](SequenceOptions options, const LayerReader& reader) {
        return SequenceOf(reader.ReadList(options.layers), "sequence");
      });
}

LayerKind BlockLayer() {
  LayerKind kind;
  kind.name = "block";
  kind.summary =
      "the layers of model.blocks under this name: `block: NAME`, `block: {NAME: "
      "{parameter: value}}`";
  kind.takes_any_type = true;
  kind.help = [] { return std::vector<OptionHelp>(); };
  kind.read = [](const ConfigNode& node, const LayerReader& reader) {
    std::vector<Layer> layers = reader.ReadBlock(node);
    return SequenceOf(std::move(layers),
                      "block " + (node.is_map() ? node.entries()[0].first : node.scalar()));
  };
  return kind;
}

LayerKind RepeatLayer() {
  return DefineComposite<RepeatOptions>(RepeatTable(), MakeRepeat);
}

}  // namespace ingot::nn
