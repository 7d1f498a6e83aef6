// lstm (Hochreiter & Schmidhuber 1997; Gers et al. 2000) and gru (Cho et al. 2014).
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct RecurrentOptions {
  int64_t units = 0;
  std::string returns = "last";
  bool bidirectional = false;
  bool bias = true;
  ConfigNode initializer = ConfigNode::Scalar("torch_uniform");
};

OptionTable<RecurrentOptions> RecurrentTable(const std::string& name, const std::string& summary) {
  return OptionTable<RecurrentOptions>(name, summary)
      .Add("units", &RecurrentOptions::units, "numbers of the state", AtLeast(1))
      .AddChoice("return", &RecurrentOptions::returns,
                 "last: the state after the last step [batch, units]; sequence: those after all "
                 "[batch, length, units]",
                 {"last", "sequence"})
      .Add("bidirectional", &RecurrentOptions::bidirectional,
           "a second one goes from the last step to the first; their states stand side by side")
      .Add("bias", &RecurrentOptions::bias, "whether there are biases")
      .AddNode("initializer", &RecurrentOptions::initializer,
               "first values of weights and biases, whose fans are the units: an initializer")
      .Shorthand("units")
      .Required("units");
}

const OptionTable<RecurrentOptions>& LstmTable() {
  static const auto table =
      RecurrentTable("lstm", "long short-term memory over a sequence [batch, length, features]");
  return table;
}

const OptionTable<RecurrentOptions>& GruTable() {
  static const auto table =
      RecurrentTable("gru", "gated recurrent units over a sequence [batch, length, features]");
  return table;
}

std::string DescribeLstm(const RecurrentOptions& options) {
  return "lstm " + std::to_string(options.units);
}
std::string DescribeGru(const RecurrentOptions& options) {
  return "gru " + std::to_string(options.units);
}

// `gates`: matrices in a weight; `outputs`: of the op, the last of which holds what its gradient
// needs.
ir::Value* Recur(const std::string& op, int64_t gates, size_t outputs, ir::Attributes attributes,
                 const RecurrentOptions& options, LayerContext& context, ir::Value* x) {
  const ir::Type& type = x->type();
  if (type.rank() != 3 || !type.dim(1).is_static() || !type.dim(2).is_static()) {
    throw Error(ErrorCode::kInvalidInput,
                (op == "LSTM" ? "lstm" : "gru") +
                    std::string(" takes [batch, length, features], got ") +
                    ir::ToString(type.dims()));
  }
  const int64_t directions = options.bidirectional ? 2 : 1;
  const int64_t units = options.units;
  const Fans fans{units, units};
  const Initializer initializer = ReadInitializer(options.initializer);
  std::vector<ir::Value*> inputs = {
      x,
      context.AddParameter("input_weight", Shape{directions, gates * units, type.dim(2).value()},
                           initializer, fans),
      context.AddParameter("state_weight", Shape{directions, gates * units, units}, initializer,
                           fans)};
  if (options.bias) {
    inputs.push_back(
        context.AddParameter("bias", Shape{directions, 2 * gates * units}, initializer, fans));
  }
  attributes["layout"] = int64_t{1};
  attributes["hidden_size"] = units;
  attributes["direction"] = std::string(options.bidirectional ? "bidirectional" : "forward");
  ir::Builder& builder = context.builder();
  const std::vector<ir::Value*> results =
      builder.Ops(op, std::move(inputs), context.training() ? outputs : 2, std::move(attributes));
  const int64_t width = directions * units;
  if (options.returns == "last") {
    return builder.Op("Reshape", {results[1], builder.Ints({0, width})});
  }
  return builder.Op("Reshape", {results[0], builder.Ints({0, type.dim(1).value(), width})});
}

ir::Value* BuildLstm(const RecurrentOptions& options, LayerContext& context, ir::Value* x) {
  return Recur("LSTM", 4, 4, {}, options, context, x);
}

ir::Value* BuildGru(const RecurrentOptions& options, LayerContext& context, ir::Value* x) {
  return Recur("GRU", 3, 3, {{"linear_before_reset", int64_t{1}}}, options, context, x);
}

}  // namespace

std::vector<LayerKind> RecurrentLayers() {
  return {DefineLayer<RecurrentOptions>(LstmTable(), DescribeLstm, BuildLstm),
          DefineLayer<RecurrentOptions>(GruTable(), DescribeGru, BuildGru)};
}

}  // namespace ingot::nn
