// NAdam: Adam with Nesterov momentum.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct NadamOptions : CommonOptimizerOptions {
  NadamOptions() { learning_rate = 0.002; }
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double momentum_decay = 0.004;
  bool decoupled = false;
};

const OptionTable<NadamOptions>& NadamTable() {
  static const auto table =
      CommonOptimizerTable<NadamOptions>("nadam", "NAdam: Adam with Nesterov momentum (Dozat 2016)")
          .Add("beta1", &NadamOptions::beta1, "decay of the first moment",
               Between(0, kLargestDecay))
          .Add("beta2", &NadamOptions::beta2, "decay of the second moment",
               Between(0, kLargestDecay))
          .Add("epsilon", &NadamOptions::epsilon, "added to the root of the second moment",
               AtLeast(0))
          .Add("momentum_decay", &NadamOptions::momentum_decay, "how fast the momentum warms up",
               AtLeast(0))
          .Add("decoupled", &NadamOptions::decoupled, "weight decay as AdamW's");
  return table;
}

void MakeNadam(const NadamOptions& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Nadam";
  result.counts_steps = true;
  result.decoupled = options.decoupled;
  result.attributes = {{"beta1", options.beta1},
                       {"beta2", options.beta2},
                       {"epsilon", options.epsilon},
                       {"momentum_decay", options.momentum_decay}};
  result.states = {{"m"}, {"v"}};
}

}  // namespace

OptimizerKind NadamOptimizer() {
  return DefineOptimizer(NadamTable(), MakeNadam);
}

}  // namespace ingot::nn
