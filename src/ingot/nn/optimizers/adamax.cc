// Adamax.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct AdamaxOptions : CommonOptimizerOptions {
  AdamaxOptions() { learning_rate = 0.002; }
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

const OptionTable<AdamaxOptions>& AdamaxTable() {
  static const auto table =
      CommonOptimizerTable<AdamaxOptions>("adamax", "Adamax (Kingma & Ba 2015)")
          .Add("beta1", &AdamaxOptions::beta1, "decay of the first moment",
               Between(0, kLargestDecay))
          .Add("beta2", &AdamaxOptions::beta2, "decay of the second moment",
               Between(0, kLargestDecay))
          .Add("epsilon", &AdamaxOptions::epsilon, "added to the root of the second moment",
               AtLeast(0));
  return table;
}

void MakeAdamax(const AdamaxOptions& options, const ConfigNode& /*node*/,
                OptimizerOptions& result) {
  result.op = "ingot.Adamax";
  result.counts_steps = true;
  result.attributes = {
      {"beta1", options.beta1}, {"beta2", options.beta2}, {"epsilon", options.epsilon}};
  result.states = {{"m"}, {"largest"}};
}

}  // namespace

OptimizerKind AdamaxOptimizer() {
  return DefineOptimizer(AdamaxTable(), MakeAdamax);
}

}  // namespace ingot::nn
