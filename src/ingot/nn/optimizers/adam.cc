// Adam and AdamW, with AMSGrad.
#include <type_traits>

#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"

namespace ingot::nn {
namespace {

struct AdamOptions : CommonOptimizerOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  bool amsgrad = false;
};

struct AdamWOptions : AdamOptions {
  AdamWOptions() { weight_decay = 0.01; }
};

template <typename Options>
OptionTable<Options> MakeTable(const std::string& name, const std::string& summary,
                               bool decoupled) {
  return CommonOptimizerTable<Options>(name, summary, decoupled)
      .Add("beta1", &Options::beta1, "decay of the first moment", Between(0, kLargestDecay))
      .Add("beta2", &Options::beta2, "decay of the second moment", Between(0, kLargestDecay))
      .Add("epsilon", &Options::epsilon, "added to the root of the second moment", AtLeast(0))
      .Add("amsgrad", &Options::amsgrad,
           "divide by the largest second moment so far (Reddi et al. 2018)");
}

const OptionTable<AdamOptions>& AdamTable() {
  static const auto table = MakeTable<AdamOptions>("adam", "Adam (Kingma & Ba 2015)", false);
  return table;
}

const OptionTable<AdamWOptions>& AdamWTable() {
  static const auto table = MakeTable<AdamWOptions>(
      "adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)", true);
  return table;
}

template <typename Options>
void MakeAdamLike(const Options& options, const ConfigNode& /*node*/, OptimizerOptions& result) {
  result.op = "ingot.Adam";
  result.counts_steps = true;
  result.decoupled = std::is_same_v<Options, AdamWOptions>;
  result.attributes = {{"beta1", options.beta1},
                       {"beta2", options.beta2},
                       {"epsilon", options.epsilon},
                       {"amsgrad", int64_t{options.amsgrad}}};
  result.states = {{"m"}, {"v"}};
  if (options.amsgrad) result.states.push_back({"largest"});
}

}  // namespace

OptimizerKind AdamOptimizer() {
  return DefineOptimizer(AdamTable(), MakeAdamLike<AdamOptions>);
}

OptimizerKind AdamWOptimizer() {
  return DefineOptimizer(AdamWTable(), MakeAdamLike<AdamWOptions>);
}

}  // namespace ingot::nn
