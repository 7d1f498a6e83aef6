// The activations, as layers of their own and as the option of others.
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

// One struct for all of them; each kind declares the members it has.
struct ActivationOptions {
  double leaky_alpha = 0.01;
  double elu_alpha = 1;
  std::string approximate = "none";
  int64_t axis = -1;
};

using Table = OptionTable<ActivationOptions>;

const Table& ReluTable() {
  static const Table table("relu", "max(x, 0)");
  return table;
}

const Table& Relu6Table() {
  static const Table table("relu6", "x cut to [0, 6]");
  return table;
}

const Table& SigmoidTable() {
  static const Table table("sigmoid", "1 / (1 + exp(-x))");
  return table;
}

const Table& TanhTable() {
  static const Table table("tanh", "hyperbolic tangent");
  return table;
}

const Table& LeakyReluTable() {
  static const auto table = Table("leaky_relu", "x where it is positive, else alpha x")
                                .Add("alpha", &ActivationOptions::leaky_alpha, "negative slope")
                                .Shorthand("alpha");
  return table;
}

const Table& EluTable() {
  static const auto table =
      Table("elu", "x where it is positive, else alpha (exp(x) - 1)")
          .Add("alpha", &ActivationOptions::elu_alpha, "limit at minus infinity, negated")
          .Shorthand("alpha");
  return table;
}

const Table& GeluTable() {
  static const auto table =
      Table("gelu", "x times the normal distribution function of x")
          .AddChoice("approximate", &ActivationOptions::approximate,
                     "none: by erf; tanh: by the usual approximation", {"none", "tanh"});
  return table;
}

const Table& GeluTanhTable() {
  static const Table table("gelu_tanh",
                           "gelu by its usual approximation: gelu: {approximate: tanh}");
  return table;
}

const Table& SoftmaxTable() {
  static const auto table = Table("softmax", "exp(x) / sum(exp(x)) along an axis")
                                .Add("axis", &ActivationOptions::axis, "not 0, which is the batch");
  return table;
}

const Table& LogSoftmaxTable() {
  static const auto table = Table("log_softmax", "the logarithm of softmax")
                                .Add("axis", &ActivationOptions::axis, "not 0, which is the batch");
  return table;
}

const Table& SwishTable() {
  static const Table table("swish", "x / (1 + exp(-x)), also called SiLU");
  return table;
}

const Table& HardSwishTable() {
  static const Table table("hard_swish", "x times x / 6 + 1 / 2 cut to [0, 1]");
  return table;
}

const Table& MishTable() {
  static const Table table("mish", "x tanh(log(1 + exp(x)))");
  return table;
}

const Table& SoftplusTable() {
  static const Table table("softplus", "log(1 + exp(x))");
  return table;
}

// The ONNX op of an activation with its attributes, or the ops that ONNX defines it by.
ir::Value* Apply(ir::Builder& builder, const std::string& name, const ActivationOptions& options,
                 ir::Value* x) {
  if (name == "relu") return builder.Op("Relu", {x});
  if (name == "relu6") {
    return builder.Op("Clip", {x, builder.ScalarLike(x, 0), builder.ScalarLike(x, 6)});
  }
  if (name == "sigmoid") return builder.Op("Sigmoid", {x});
  if (name == "tanh") return builder.Op("Tanh", {x});
  if (name == "leaky_relu") return builder.Op("LeakyRelu", {x}, {{"alpha", options.leaky_alpha}});
  if (name == "elu") return builder.Op("Elu", {x}, {{"alpha", options.elu_alpha}});
  if (name == "gelu") return builder.Op("Gelu", {x}, {{"approximate", options.approximate}});
  if (name == "gelu_tanh") return builder.Op("Gelu", {x}, {{"approximate", std::string("tanh")}});
  if (name == "softmax") return builder.Op("Softmax", {x}, {{"axis", options.axis}});
  if (name == "log_softmax") return builder.Op("LogSoftmax", {x}, {{"axis", options.axis}});
  if (name == "swish") return builder.Mul(x, builder.Op("Sigmoid", {x}));
  if (name == "hard_swish") {
    return builder.Mul(x, builder.Op("HardSigmoid", {x}, {{"alpha", 1.0 / 6}, {"beta", 0.5}}));
  }
  if (name == "mish") {
    return builder.Mul(x, builder.Op("Tanh", {builder.Op("Softplus", {x})}));
  }
  if (name == "softplus") return builder.Op("Softplus", {x});
  INGOT_ASSERT(name == "none", "unknown activation " + name);
  return x;
}

LayerKind Activation(const Table& table) {
  LayerKind kind;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.help = [&table] { return table.Help(table.name()); };
  kind.read = [&table](const ConfigNode& node, const LayerReader&) {
    const ActivationOptions options = table.Read(node);
    Layer layer;
    layer.description = table.name();
    layer.resolved = ConfigNode::Map({{table.name(), table.Write(options)}});
    layer.build = [&table, options](LayerContext& context, ir::Value* x) {
      const bool has_axis = table.name() == "softmax" || table.name() == "log_softmax";
      if (has_axis && (options.axis == 0 || options.axis == -x->type().rank())) {
        // A batch is cut into shards: the result would depend on their number.
        throw Error(ErrorCode::kInvalidInput,
                    table.name() + " along axis " + std::to_string(options.axis) +
                        " would mix the samples of a batch",
                    "leave axis out for the last one");
      }
      return Apply(context.builder(), table.name(), options, x);
    };
    return layer;
  };
  return kind;
}

}  // namespace

std::vector<LayerKind> ActivationLayers() {
  std::vector<LayerKind> kinds;
  for (const Table* table :
       {&ReluTable(), &Relu6Table(), &SigmoidTable(), &TanhTable(), &GeluTable(), &GeluTanhTable(),
        &SwishTable(), &HardSwishTable(), &MishTable(), &SoftplusTable(), &LeakyReluTable(),
        &EluTable(), &SoftmaxTable(), &LogSoftmaxTable()}) {
    kinds.push_back(Activation(*table));
  }
  return kinds;
}

std::vector<std::string> ActivationNames() {
  std::vector<std::string> names = {"none"};
  for (const LayerKind& kind : ActivationLayers()) names.push_back(kind.name);
  return names;
}

ir::Value* ApplyActivation(ir::Builder& builder, const std::string& name, ir::Value* x) {
  return Apply(builder, name, ActivationOptions{}, x);
}

}  // namespace ingot::nn
