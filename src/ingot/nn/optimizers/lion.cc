// Lion: steps by the sign of a moving average.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct LionOptions : CommonOptimizerOptions {
  LionOptions() { learning_rate = 0.0001; }
  double beta1 = 0.9;
  double beta2 = 0.99;
};

const OptionTable<LionOptions>& LionTable() {
  static const auto table =
      CommonOptimizerTable<LionOptions>("lion", "Lion (Chen et al. 2023)", true)
          .Add("beta1", &LionOptions::beta1, "share of the average in a step",
               Between(0, kLargestDecay))
          .Add("beta2", &LionOptions::beta2, "decay of the average", Between(0, kLargestDecay));
  return table;
}

void MakeLion(const LionOptions& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Lion";
  result.decoupled = true;
  result.attributes = {{"beta1", options.beta1}, {"beta2", options.beta2}};
  result.states = {{"m"}};
}

}  // namespace

OptimizerKind LionOptimizer() {
  return DefineOptimizer(LionTable(), MakeLion);
}

}  // namespace ingot::nn
