// Gradient descent, with momentum and Nesterov's momentum.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct SgdOptions : CommonOptimizerOptions {
  SgdOptions() { learning_rate = 0.01; }
  double momentum = 0;
  bool nesterov = false;
};

const OptionTable<SgdOptions>& SgdTable() {
  static const auto table =
      CommonOptimizerTable<SgdOptions>("sgd", "stochastic gradient descent")
          .Add("momentum", &SgdOptions::momentum, "share of the last step that is kept",
               Between(0, 1))
          .Add("nesterov", &SgdOptions::nesterov, "look ahead (needs a momentum)");
  return table;
}

void MakeSgd(const SgdOptions& options, const ConfigNode& node, OptimizerOptions& result) {
  if (options.nesterov && options.momentum == 0) {
    node.Fail("nesterov needs a momentum above 0", "set momentum: 0.9, or nesterov: false");
  }
  result.op = "ingot.Sgd";
  result.attributes = {{"momentum", options.momentum}, {"nesterov", int64_t{options.nesterov}}};
  if (options.momentum != 0) result.states = {{"momentum"}};
}

}  // namespace

OptimizerKind SgdOptimizer() {
  return DefineOptimizer(SgdTable(), MakeSgd);
}

}  // namespace ingot::nn
