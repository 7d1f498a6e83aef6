// attention: multi-head self-attention (Vaswani et al. 2017), causal or full, with fewer heads of
// keys and values where asked (Ainslie et al. 2023) and rotary positions (Su et al. 2021).
#include <cmath>

#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/product.h"

namespace ingot::nn {

namespace {

struct AttentionOptions {
  int64_t heads = 1;
  int64_t kv_heads = 0;
  bool causal = false;
  bool bias = true;
  double dropout = 0;
  bool rotary = false;
  double rotary_base = 10000;
  ConfigNode initializer = ConfigNode::Scalar("glorot_uniform");
};

const OptionTable<AttentionOptions>& AttentionTable() {
  static const auto table =
      OptionTable<AttentionOptions>(
          "attention",
          "self-attention over a sequence [batch, length, width], as wide "
          "as its input")
          .Add("heads", &AttentionOptions::heads, "they share the width evenly", AtLeast(1))
          .Add("kv_heads", &AttentionOptions::kv_heads,
               "heads of keys and values, of which heads is a multiple; 0: as many", AtLeast(0))
          .Add("causal", &AttentionOptions::causal, "whether a place sees none that come after it")
          .Add("bias", &AttentionOptions::bias, "whether the projections have one")
          .Add("dropout", &AttentionOptions::dropout,
               "share of the output's elements that become 0 while training", Between(0, 0.999999))
          .Add("rotary", &AttentionOptions::rotary,
               "whether queries and keys are turned by their place")
          .Add("rotary_base", &AttentionOptions::rotary_base,
               "pair i of n turns by place / base ^ (i / n)", MoreThan(0))
          .AddNode("initializer", &AttentionOptions::initializer,
                   "first values of the projections: an initializer")
          .Shorthand("heads")
          .Required("heads");
  return table;
}

std::string DescribeAttention(const AttentionOptions& options) {
  return std::string(options.causal ? "causal " : "") + "attention " +
         std::to_string(options.heads);
}

struct Sizes {
  int64_t length, width, heads, kv_heads, head;
};

Sizes SizesOf(const AttentionOptions& options, const ir::Value* x) {
  const ir::Type& type = x->type();
  if (type.rank() != 3 || !type.dim(1).is_static() || !type.dim(2).is_static()) {
    throw Error(ErrorCode::kInvalidInput,
                "attention takes [batch, length, width], got " + ir::ToString(type.dims()));
  }
  Sizes s{type.dim(1).value(), type.dim(2).value(), options.heads,
          options.kv_heads > 0 ? options.kv_heads : options.heads, 0};
  if (s.width % s.heads != 0) {
    throw Error(ErrorCode::kInvalidInput, "a width of " + std::to_string(s.width) + " in " +
                                              type.ToString() + " does not divide into " +
                                              std::to_string(s.heads) + " heads");
  }
  if (s.heads % s.kv_heads != 0) {
    throw Error(ErrorCode::kInvalidInput, std::to_string(s.heads) + " heads are no multiple of " +
                                              std::to_string(s.kv_heads) +
                                              " heads of keys and values");
  }
  s.head = s.width / s.heads;
  if (options.rotary && s.head % 2 != 0) {
    throw Error(ErrorCode::kInvalidInput, "rotary positions turn pairs, but a head has " +
                                              std::to_string(s.head) + " numbers");
  }
  return s;
}

// cos or sin of the angle of each place and pair [length, head / 2], worked out in f64.
ir::Value* Angles(const AttentionOptions& options, const Sizes& s, double (*of)(double),
                  LayerContext& context) {
  const int64_t pairs = s.head / 2;
  std::vector<double> values;
  for (int64_t t = 0; t < s.length; ++t) {
    for (int64_t i = 0; i < pairs; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(pairs);
      values.push_back(of(static_cast<double>(t) / std::pow(options.rotary_base, share)));
    }
  }
  return context.builder().Constant(
      Tensor::Of<double>(Shape{s.length, pairs}, std::span<const double>(values))
          .Cast(context.precision()));
}

ir::Value* Projection(const AttentionOptions& options, const std::string& name, int64_t in,
                      int64_t out, LayerContext& context, ir::Value* x) {
  const Fans fans{in, out};
  ir::Value* weight = context.AddParameter(name + ".weight", Shape{in, out},
                                           ReadInitializer(options.initializer), fans);
  ir::Value* bias =
      options.bias ? context.AddParameter(name + ".bias", Shape{out}, {}, fans) : nullptr;
  return Product(context.builder(), x, weight, bias);
}

ir::Value* BuildAttention(const AttentionOptions& options, LayerContext& context, ir::Value* x) {
  const Sizes s = SizesOf(options, x);
  ir::Builder& b = context.builder();
  const int64_t kv = s.kv_heads * s.head;
  ir::Value* qkv = Projection(options, "qkv", s.width, s.width + 2 * kv, context, x);
  std::vector<ir::Value*> parts =
      b.Ops("Split", {qkv, b.Ints({s.width, kv, kv})}, 3, {{"axis", int64_t{2}}});
  if (options.rotary) {
    ir::Value* cosines = Angles(options, s, std::cos, context);
    ir::Value* sines = Angles(options, s, std::sin, context);
    parts[0] = b.Op("RotaryEmbedding", {parts[0], cosines, sines}, {{"num_heads", s.heads}});
    parts[1] = b.Op("RotaryEmbedding", {parts[1], cosines, sines}, {{"num_heads", s.kv_heads}});
  }
  // The second output is kept for the gradient.
  ir::Value* mixed = b.Ops("Attention", parts, 2,
                           {{"is_causal", int64_t{options.causal}},
                            {"q_num_heads", s.heads},
                            {"kv_num_heads", s.kv_heads}})[0];
  ir::Value* y = Projection(options, "output", s.width, s.width, context, mixed);
  if (!context.training() || options.dropout == 0) return y;
  return b.Op("ingot.Dropout", {y, context.RandomKey()},
              {{"ratio", options.dropout}, {"stream", context.stream()}});
}

}  // namespace

LayerKind AttentionLayer() {
  return DefineLayer<AttentionOptions>(AttentionTable(), DescribeAttention, BuildAttention);
}

}  // namespace ingot::nn
