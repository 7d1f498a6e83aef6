// dense: a fully connected layer, over the last axis.
#include "ingot/base/error.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/product.h"

namespace ingot::nn {

namespace {

struct DenseOptions {
  int64_t units = 0;
  std::string activation = "none";
  bool bias = true;
  ConfigNode kernel_initializer = ConfigNode::Scalar("glorot_uniform");
  ConfigNode bias_initializer = ConfigNode::Scalar("zeros");
};

const OptionTable<DenseOptions>& DenseTable() {
  static const auto table =
      OptionTable<DenseOptions>("dense", "fully connected, over the last axis: activation(x W + b)")
          .Add("units", &DenseOptions::units, "width of the output", AtLeast(1))
          .AddChoice("activation", &DenseOptions::activation, "applied to the result",
                     ActivationNames())
          .Add("bias", &DenseOptions::bias, "whether b is added")
          .AddNode("kernel_initializer", &DenseOptions::kernel_initializer,
                   "first values of W [in, units]: an initializer")
          .AddNode("bias_initializer", &DenseOptions::bias_initializer,
                   "first values of b [units]: an initializer")
          .Shorthand("units")
          .Required("units");
  return table;
}

std::string DescribeDense(const DenseOptions& options) {
  return "dense " + std::to_string(options.units);
}

ir::Value* BuildDense(const DenseOptions& options, LayerContext& context, ir::Value* x) {
  if (x->type().rank() < 2 || !x->type().dim(-1).is_static()) {
    throw Error(ErrorCode::kInvalidInput,
                "dense takes [batch, ..., features], got " + ir::ToString(x->type().dims()));
  }
  const int64_t in = x->type().dim(-1).value();
  const Fans fans{in, options.units};
  ir::Value* weight = context.AddParameter("weight", Shape{in, options.units},
                                           ReadInitializer(options.kernel_initializer), fans);
  ir::Value* bias = nullptr;
  if (options.bias) {
    bias = context.AddParameter("bias", Shape{options.units},
                                ReadInitializer(options.bias_initializer), fans);
  }
  return ApplyActivation(context.builder(), options.activation,
                         Product(context.builder(), x, weight, bias));
}

}  // namespace

LayerKind DenseLayer() {
  return DefineLayer<DenseOptions>(DenseTable(), DescribeDense, BuildDense);
}

}  // namespace ingot::nn
