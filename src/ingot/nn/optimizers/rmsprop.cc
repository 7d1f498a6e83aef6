// RMSprop, centred and with momentum.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct RmsPropOptions : CommonOptimizerOptions {
  RmsPropOptions() { learning_rate = 0.01; }
  double alpha = 0.99;
  double epsilon = 1e-8;
  double momentum = 0;
  bool centered = false;
};

const OptionTable<RmsPropOptions>& RmsPropTable() {
  static const auto table =
      CommonOptimizerTable<RmsPropOptions>("rmsprop", "RMSprop (Tieleman & Hinton 2012)")
          .Add("alpha", &RmsPropOptions::alpha, "decay of the mean square",
               Between(0, kLargestDecay))
          .Add("epsilon", &RmsPropOptions::epsilon, "added to the root of the mean square",
               AtLeast(0))
          .Add("momentum", &RmsPropOptions::momentum, "share of the last step that is kept",
               Between(0, 1))
          .Add("centered", &RmsPropOptions::centered,
               "divide by the standard deviation: the mean is taken off (Graves 2013)");
  return table;
}

void MakeRmsProp(const RmsPropOptions& options, const ConfigNode& /*node*/,
                 OptimizerOptions& result) {
  result.op = "ingot.RmsProp";
  result.attributes = {{"alpha", options.alpha},
                       {"epsilon", options.epsilon},
                       {"momentum", options.momentum},
                       {"centered", int64_t{options.centered}}};
  result.states = {{"square"}};
  if (options.centered) result.states.push_back({"mean"});
  if (options.momentum != 0) result.states.push_back({"momentum"});
}

}  // namespace

OptimizerKind RmsPropOptimizer() {
  return DefineOptimizer(RmsPropTable(), MakeRmsProp);
}

}  // namespace ingot::nn
