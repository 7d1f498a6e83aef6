// The optimizers' options and update ops.
#include "ingot/nn/optimizer.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::nn {

namespace {

// A decay of 1 would never forget, and divides by zero in Adam's bias correction.
constexpr double kLargestDecay = 1 - 1e-12;

const OptionTable<SgdOptions>& SgdTable() {
  static const auto table =
      OptionTable<SgdOptions>("sgd", "stochastic gradient descent")
          .Add("learning_rate", &SgdOptions::learning_rate, "step size", AtLeast(0))
          .Add("momentum", &SgdOptions::momentum, "share of the last step that is kept",
               Between(0, 1))
          .Add("nesterov", &SgdOptions::nesterov, "look ahead (needs a momentum)")
          .Add("weight_decay", &SgdOptions::weight_decay, "times w is added to the gradient",
               AtLeast(0));
  return table;
}

template <typename Options>
OptionTable<Options> MakeAdamTable(const std::string& name, const std::string& summary,
                                   const std::string& decay) {
  return OptionTable<Options>(name, summary)
      .Add("learning_rate", static_cast<double Options::*>(&Options::learning_rate), "step size",
           AtLeast(0))
      .Add("beta1", static_cast<double Options::*>(&Options::beta1), "decay of the first moment",
           Between(0, kLargestDecay))
      .Add("beta2", static_cast<double Options::*>(&Options::beta2), "decay of the second moment",
           Between(0, kLargestDecay))
      .Add("epsilon", static_cast<double Options::*>(&Options::epsilon),
           "added to the root of the second moment", AtLeast(0))
      .Add("weight_decay", static_cast<double Options::*>(&Options::weight_decay), decay,
           AtLeast(0));
}

const OptionTable<AdamOptions>& AdamTable() {
  static const auto table = MakeAdamTable<AdamOptions>("adam", "Adam (Kingma & Ba 2015)",
                                                       "times w is added to the gradient");
  return table;
}

const OptionTable<AdamWOptions>& AdamWTable() {
  static const auto table = MakeAdamTable<AdamWOptions>(
      "adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)",
      "w shrinks by learning_rate times this in every step");
  return table;
}

ir::Attributes AdamAttributes(const AdamOptions& options, bool decoupled) {
  return {{"beta1", options.beta1},
          {"beta2", options.beta2},
          {"epsilon", options.epsilon},
          {"weight_decay", options.weight_decay},
          {"decoupled", int64_t{decoupled}}};
}

}  // namespace

std::string OptimizerOptions::name() const {
  return sgd ? "sgd" : adamw ? "adamw" : "adam";
}

double OptimizerOptions::learning_rate() const {
  if (sgd) return sgd->learning_rate;
  if (adamw) return adamw->learning_rate;
  return adam ? adam->learning_rate : AdamOptions{}.learning_rate;
}

const OptionTable<OptimizerOptions>& OptimizerTable() {
  static const auto table =
      OptionTable<OptimizerOptions>("optimizer", "what changes the parameters")
          .AddTable("sgd", &OptimizerOptions::sgd, SgdTable(), SgdTable().summary())
          .AddTable("adam", &OptimizerOptions::adam, AdamTable(), AdamTable().summary())
          .AddTable("adamw", &OptimizerOptions::adamw, AdamWTable(), AdamWTable().summary());
  return table;
}

OptimizerOptions ReadOptimizer(const ConfigNode& node) {
  OptimizerOptions options;
  const std::vector<std::string> names = {"sgd", "adam", "adamw"};
  if (node.is_scalar()) {
    if (node.scalar() == "sgd") {
      options.sgd.emplace();
    } else if (node.scalar() == "adam") {
      options.adam.emplace();
    } else if (node.scalar() == "adamw") {
      options.adamw.emplace();
    } else {
      node.Fail("unknown optimizer '" + node.scalar() + "'", DidYouMean(node.scalar(), names));
    }
    return options;
  }
  options = OptimizerTable().Read(node);
  const int given =
      int{options.sgd.has_value()} + int{options.adam.has_value()} + int{options.adamw.has_value()};
  if (given > 1) {
    node.Fail("expected one optimizer, got " + std::to_string(given),
              "keep one of sgd, adam, adamw");
  }
  if (given == 0) options.adam.emplace();
  if (options.sgd && options.sgd->nesterov && options.sgd->momentum == 0) {
    const ConfigNode* sgd = node.Find("sgd");
    (sgd != nullptr ? *sgd : node)
        .Fail("nesterov needs a momentum above 0", "set momentum: 0.9, or nesterov: false");
  }
  return options;
}

std::vector<StateSpec> StateOf(const OptimizerOptions& options, const ParameterSpec& parameter) {
  const auto state = [&](const char* suffix) {
    return StateSpec{parameter.name + suffix, parameter.shape, parameter.dtype};
  };
  if (!options.sgd) return {state(".m"), state(".v")};
  if (options.sgd->momentum == 0) return {};
  return {state(".momentum")};
}

UpdateOutputs AddUpdate(const OptimizerOptions& options, ir::Builder& builder,
                        const UpdateInputs& inputs) {
  std::vector<ir::Value*> all = {inputs.parameter, inputs.gradient, inputs.learning_rate};
  std::vector<ir::Value*> results;
  if (options.sgd) {
    const SgdOptions& sgd = *options.sgd;
    all.insert(all.end(), inputs.state.begin(), inputs.state.end());
    results = builder.Ops("ingot.Sgd", std::move(all), 1 + inputs.state.size(),
                          {{"momentum", sgd.momentum},
                           {"nesterov", int64_t{sgd.nesterov}},
                           {"weight_decay", sgd.weight_decay}});
  } else {
    all.push_back(inputs.step);
    all.insert(all.end(), inputs.state.begin(), inputs.state.end());
    const bool decoupled = options.adamw.has_value();
    const AdamOptions adam = decoupled      ? static_cast<const AdamOptions&>(*options.adamw)
                             : options.adam ? *options.adam
                                            : AdamOptions{};
    results = builder.Ops("ingot.Adam", std::move(all), 3, AdamAttributes(adam, decoupled));
  }
  return {results[0], {results.begin() + 1, results.end()}};
}

}  // namespace ingot::nn
