// RAdam: Adam with a rectified beginning.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct RadamOptions : CommonOptimizerOptions {
  RadamOptions() { learning_rate = 0.001; }
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  bool decoupled = false;
};

const OptionTable<RadamOptions>& RadamTable() {
  static const auto table =
      CommonOptimizerTable<RadamOptions>("radam",
                                         "RAdam: Adam with a rectified beginning (Liu et al. 2020)")
          .Add("beta1", &RadamOptions::beta1, "decay of the first moment",
               Between(0, kLargestDecay))
          .Add("beta2", &RadamOptions::beta2, "decay of the second moment",
               Between(0, kLargestDecay))
          .Add("epsilon", &RadamOptions::epsilon, "added to the root of the second moment",
               AtLeast(0))
          .Add("decoupled", &RadamOptions::decoupled, "weight decay as AdamW's");
  return table;
}

void MakeRadam(const RadamOptions& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Radam";
  result.counts_steps = true;
  result.decoupled = options.decoupled;
  result.attributes = {
      {"beta1", options.beta1}, {"beta2", options.beta2}, {"epsilon", options.epsilon}};
  result.states = {{"m"}, {"v"}};
}

}  // namespace

OptimizerKind RadamOptimizer() {
  return DefineOptimizer(RadamTable(), MakeRadam);
}

}  // namespace ingot::nn
