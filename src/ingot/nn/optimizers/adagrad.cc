// Adagrad.
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct AdagradOptions : CommonOptimizerOptions {
  AdagradOptions() { learning_rate = 0.01; }
  double epsilon = 1e-10;
  double rate_decay = 0;
  double initial = 0;
};

const OptionTable<AdagradOptions>& AdagradTable() {
  static const auto table =
      CommonOptimizerTable<AdagradOptions>("adagrad", "Adagrad (Duchi, Hazan & Singer 2011)")
          .Add("epsilon", &AdagradOptions::epsilon, "added to the root of the sum of squares",
               AtLeast(0))
          .Add("rate_decay", &AdagradOptions::rate_decay,
               "the learning rate is divided by 1 + this times the steps done", AtLeast(0))
          .Add("initial", &AdagradOptions::initial, "first value of the sums of squares",
               AtLeast(0));
  return table;
}

void MakeAdagrad(const AdagradOptions& options, const ConfigNode& /*node*/,
                 OptimizerOptions& result) {
  result.op = "ingot.Adagrad";
  result.counts_steps = true;
  result.attributes = {{"epsilon", options.epsilon}, {"rate_decay", options.rate_decay}};
  result.states = {{"sum", options.initial}};
}

}  // namespace

OptimizerKind AdagradOptimizer() {
  return DefineOptimizer(AdagradTable(), MakeAdagrad);
}

}  // namespace ingot::nn
