// What the files in optimizers/ share: the common rows of an option table, and DefineOptimizer.
#pragma once

#include <string>
#include <utility>

#include "ingot/nn/optimizer.h"

namespace ingot::nn {

// A decay of 1 would never forget, and divides by zero in bias corrections.
inline constexpr double kLargestDecay = 1 - 1e-12;

const OptionTable<ParameterGroup>& ParameterGroupTable();

// A table whose first rows are the options that all have. Options derives from
// CommonOptimizerOptions.
template <typename Options>
OptionTable<Options> CommonOptimizerTable(std::string name, std::string summary,
                                          bool decoupled = false) {
  return OptionTable<Options>(std::move(name), std::move(summary))
      .Add("learning_rate", &Options::learning_rate, "step size", AtLeast(0))
      .Add("weight_decay", &Options::weight_decay,
           decoupled ? "w shrinks by learning_rate times this in every step"
                     : "times w is added to the gradient",
           AtLeast(0))
      .AddChoice("decay", &Options::decay,
                 "what weight_decay is for: all parameters, or matrices alone (two and more "
                 "dimensions), not biases and norms",
                 {"all", "matrices"})
      .AddList("groups", &Options::groups, ParameterGroupTable(),
               "parameters with values of their own; the first group that matches counts");
}

// A kind from its table, which must outlive it, and from `make`, which sets op, attributes, states
// and the like.
template <typename Options>
OptimizerKind DefineOptimizer(const OptionTable<Options>& table,
                              void (*make)(const Options&, const ConfigNode&, OptimizerOptions&)) {
  OptimizerKind kind;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.help = [&table](const std::string& path) { return table.Help(path); };
  kind.read = [&table, make](const ConfigNode& node) {
    const Options options = table.Read(node);
    OptimizerOptions result;
    result.kind = table.name();
    result.resolved = table.Write(options);
    result.common = options;
    result.states.clear();
    result.counts_steps = false;
    make(options, node, result);
    return result;
  };
  return kind;
}

}  // namespace ingot::nn
