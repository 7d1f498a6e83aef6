// LARS: momentum of gradients that are scaled to the length of each parameter.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct LarsOptions : CommonOptimizerOptions {
  LarsOptions() { learning_rate = 0.1; }
  double momentum = 0.9;
  double trust = 0.001;
  double epsilon = 1e-8;
};

const OptionTable<LarsOptions>& LarsTable() {
  static const auto table =
      CommonOptimizerTable<LarsOptions>("lars", "LARS, for large batches (You et al. 2017)")
          .Add("momentum", &LarsOptions::momentum, "share of the last step that is kept",
               Between(0, 1))
          .Add("trust", &LarsOptions::trust,
               "length of a step against that of the parameter, at a learning rate of 1",
               MoreThan(0))
          .Add("epsilon", &LarsOptions::epsilon, "added to the gradient's length", AtLeast(0));
  return table;
}

void MakeLars(const LarsOptions& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Sgd";
  result.attributes = {{"momentum", options.momentum}};
  if (options.momentum != 0) result.states = {{"momentum"}};
  result.direction_decays = true;
  result.direction = [options](ir::Builder& builder, const UpdateInputs& inputs, double decay) {
    ir::Value* ratio = builder.Op("ingot.TrustRatio",
                                  {builder.Op("ingot.SumSquares", {inputs.parameter}),
                                   builder.Op("ingot.SumSquares", {inputs.gradient})},
                                  {{"coefficient", options.trust},
                                   {"weight_decay", decay},
                                   {"epsilon", options.epsilon},
                                   {"to", static_cast<int64_t>(inputs.parameter->type().dtype())}});
    ir::Value* gradient = inputs.gradient;
    if (decay != 0) gradient = builder.Add(gradient, builder.MulScalar(inputs.parameter, decay));
    return Direction{builder.Op("ingot.ScaleGradient", {gradient, ratio}), {}};
  };
}

}  // namespace

OptimizerKind LarsOptimizer() {
  return DefineOptimizer(LarsTable(), MakeLars);
}

}  // namespace ingot::nn
