// transformer_block: attention and a feed-forward network, each with a way around it.
#include "ingot/base/text.h"
#include "ingot/nn/layers/composite.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct BlockOptions {
  int64_t heads = 1;
  int64_t kv_heads = 0;
  bool causal = false;
  bool bias = true;
  bool rotary = false;
  double dropout = 0;
  int64_t hidden = 0;
  std::string activation = "gelu";
  std::string norm = "layer_norm";
  std::string norm_place = "before";
  ConfigNode initializer = ConfigNode::Scalar("glorot_uniform");
};

const OptionTable<BlockOptions>& BlockTable() {
  static const auto table =
      OptionTable<BlockOptions>("transformer_block",
                                "x + attention(norm(x)), then x + feed_forward(norm(x)); "
                                "[batch, length, width]")
          .Add("heads", &BlockOptions::heads, "of the attention", AtLeast(1))
          .Add("kv_heads", &BlockOptions::kv_heads, "heads of keys and values; 0: as many",
               AtLeast(0))
          .Add("causal", &BlockOptions::causal, "whether a place sees none that come after it")
          .Add("bias", &BlockOptions::bias, "whether projections and norms have one")
          .Add("rotary", &BlockOptions::rotary, "whether queries and keys turn by their place")
          .Add("dropout", &BlockOptions::dropout,
               "share of what attention and feed-forward give that becomes 0 while training",
               Between(0, 0.999999))
          .Add("hidden", &BlockOptions::hidden,
               "of the feed-forward network; 0: 4 times the width (swiglu: 8/3 times)", AtLeast(0))
          .AddChoice("activation", &BlockOptions::activation, "of the feed-forward network",
                     {"gelu", "gelu_tanh", "relu", "swish", "swiglu"})
          .AddChoice("norm", &BlockOptions::norm, "which normalisation", {"layer_norm", "rms_norm"})
          .AddChoice("norm_place", &BlockOptions::norm_place,
                     "before attention and feed-forward, as GPT-2 has it, or after the sums, as "
                     "BERT",
                     {"before", "after"})
          .AddNode("initializer", &BlockOptions::initializer,
                   "first values of the weights: an initializer")
          .Shorthand("heads")
          .Required("heads");
  return table;
}

ConfigNode Named(const std::string& kind, ConfigNode options, const std::string& name) {
  return ConfigNode::Map({{kind, std::move(options)}, {"name", ConfigNode::Scalar(name)}});
}

ConfigNode Norm(const BlockOptions& options, const std::string& name) {
  if (options.norm == "rms_norm") return Named("rms_norm", ConfigNode(), name);
  return Named("layer_norm", ConfigNode::Map({{"bias", WriteScalar(options.bias)}}), name);
}

ConfigNode Attention(const BlockOptions& options) {
  return Named("attention",
               ConfigNode::Map({{"heads", WriteScalar(options.heads)},
                                {"kv_heads", WriteScalar(options.kv_heads)},
                                {"causal", WriteScalar(options.causal)},
                                {"bias", WriteScalar(options.bias)},
                                {"rotary", WriteScalar(options.rotary)},
                                {"initializer", options.initializer}}),
               "attention");
}

ConfigNode FeedForward(const BlockOptions& options) {
  std::vector<ConfigNode::Entry> entries = {{"hidden", WriteScalar(options.hidden)},
                                            {"initializer", options.initializer}};
  if (options.activation == "swiglu") {
    return Named("swiglu", ConfigNode::Map(std::move(entries)), "feed_forward");
  }
  entries.emplace_back("activation", ConfigNode::Scalar(options.activation));
  entries.emplace_back("bias", WriteScalar(options.bias));
  return Named("feed_forward", ConfigNode::Map(std::move(entries)), "feed_forward");
}

// One half: what is added to its input.
std::vector<Layer> Half(const BlockOptions& options, const LayerReader& reader, ConfigNode part,
                        const std::string& number) {
  std::vector<ConfigNode> list;
  if (options.norm_place == "before") list.push_back(Norm(options, "norm_" + number));
  list.push_back(std::move(part));
  if (options.dropout > 0) {
    list.push_back(Named("dropout", WriteScalar(options.dropout), "dropout_" + number));
  }
  return reader.ReadList(ConfigNode::List(std::move(list)));
}

Layer MakeBlock(BlockOptions options, const LayerReader& reader) {
  const std::vector<Layer> halves[2] = {Half(options, reader, Attention(options), "1"),
                                        Half(options, reader, FeedForward(options), "2")};
  std::vector<Layer> after[2];
  if (options.norm_place == "after") {
    after[0] = reader.ReadList(ConfigNode::List({Norm(options, "norm_1")}));
    after[1] = reader.ReadList(ConfigNode::List({Norm(options, "norm_2")}));
  }
  Layer layer;
  layer.description = std::string(options.causal ? "causal " : "") + "transformer_block " +
                      std::to_string(options.heads);
  layer.resolved = ConfigNode::Map({{"transformer_block", BlockTable().Write(options)}});
  layer.build = [first = halves[0], second = halves[1], after_first = after[0],
                 after_second = after[1]](LayerContext& context, ir::Value* x) {
    x = context.builder().Add(x, context.Build(first, "", x));
    x = context.Build(after_first, "", x);
    x = context.builder().Add(x, context.Build(second, "", x));
    return context.Build(after_second, "", x);
  };
  return layer;
}

}  // namespace

LayerKind TransformerBlockLayer() {
  LayerKind kind = DefineComposite<BlockOptions>(BlockTable(), MakeBlock);
  kind.takes_any_type = false;
  return kind;
}

}  // namespace ingot::nn
