// Adadelta.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct AdadeltaOptions : CommonOptimizerOptions {
  AdadeltaOptions() { learning_rate = 1; }
  double rho = 0.9;
  double epsilon = 1e-6;
};

const OptionTable<AdadeltaOptions>& AdadeltaTable() {
  static const auto table =
      CommonOptimizerTable<AdadeltaOptions>("adadelta", "Adadelta (Zeiler 2012)")
          .Add("rho", &AdadeltaOptions::rho, "decay of the mean squares", Between(0, kLargestDecay))
          .Add("epsilon", &AdadeltaOptions::epsilon, "added to the mean squares", MoreThan(0));
  return table;
}

void MakeAdadelta(const AdadeltaOptions& options, const ConfigNode& /*node*/,
                  OptimizerOptions& result) {
  result.op = "ingot.Adadelta";
  result.attributes = {{"rho", options.rho}, {"epsilon", options.epsilon}};
  result.states = {{"square"}, {"moved"}};
}

}  // namespace

OptimizerKind AdadeltaOptimizer() {
  return DefineOptimizer(AdadeltaTable(), MakeAdadelta);
}

}  // namespace ingot::nn
