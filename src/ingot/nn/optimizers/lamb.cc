// LAMB: Adam's direction, scaled to the length of each parameter.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct LambOptions : CommonOptimizerOptions {
  LambOptions() { weight_decay = 0.01; }
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-6;
};

const OptionTable<LambOptions>& LambTable() {
  static const auto table =
      CommonOptimizerTable<LambOptions>("lamb", "LAMB, for large batches (You et al. 2020)")
          .Add("beta1", &LambOptions::beta1, "decay of the first moment", Between(0, kLargestDecay))
          .Add("beta2", &LambOptions::beta2, "decay of the second moment",
               Between(0, kLargestDecay))
          .Add("epsilon", &LambOptions::epsilon, "added to the root of the second moment",
               AtLeast(0));
  return table;
}

void MakeLamb(const LambOptions& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Sgd";
  result.counts_steps = true;
  result.states = {{"m"}, {"v"}};
  result.direction_decays = true;
  result.direction = [options](ir::Builder& builder, const UpdateInputs& inputs, double decay) {
    const std::vector<ir::Value*> made = builder.Ops(
        "ingot.LambDirection",
        {inputs.parameter, inputs.gradient, inputs.state[0], inputs.state[1], inputs.step}, 3,
        {{"beta1", options.beta1},
         {"beta2", options.beta2},
         {"epsilon", options.epsilon},
         {"weight_decay", decay}});
    ir::Value* ratio = builder.Op("ingot.TrustRatio",
                                  {builder.Op("ingot.SumSquares", {inputs.parameter}),
                                   builder.Op("ingot.SumSquares", {made[0]})},
                                  {{"to", static_cast<int64_t>(inputs.parameter->type().dtype())}});
    return Direction{builder.Op("ingot.ScaleGradient", {made[0], ratio}), {made[1], made[2]}};
  };
}

}  // namespace

OptimizerKind LambOptimizer() {
  return DefineOptimizer(LambTable(), MakeLamb);
}

}  // namespace ingot::nn
