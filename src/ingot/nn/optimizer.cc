// Reading the optimizer section, and the update op of a parameter.
#include "ingot/nn/optimizer.h"

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/nn/optimizer_kind.h"
#include "ingot/nn/optimizers/optimizers.h"
#include "ingot/nn/parameter_pattern.h"

namespace ingot::nn {

namespace {

const OptimizerKind* FindKind(const std::string& name) {
  for (const OptimizerKind& kind : OptimizerKinds()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

std::vector<std::string> KindNames() {
  std::vector<std::string> names;
  for (const OptimizerKind& kind : OptimizerKinds()) names.push_back(kind.name);
  return names;
}

const ParameterGroup* GroupOf(const OptimizerOptions& options, const std::string& parameter) {
  for (const ParameterGroup& group : options.common.groups) {
    if (MatchesPattern(group.match, parameter)) return &group;
  }
  return nullptr;
}

const OptimizerOptions& OptionsFor(const OptimizerOptions& options,
                                   const ParameterSpec& parameter) {
  return options.others == nullptr || options.takes(parameter) ? options : *options.others;
}

double WeightDecayOf(const OptimizerOptions& options, const ParameterSpec& parameter) {
  const ParameterGroup* group = GroupOf(options, parameter.name);
  if (group != nullptr && group->weight_decay) return *group->weight_decay;
  const bool decays = options.common.decay != "matrices" || parameter.shape.rank() >= 2;
  return decays ? options.common.weight_decay : 0;
}

}  // namespace

const OptionTable<ParameterGroup>& ParameterGroupTable() {
  static const auto table =
      OptionTable<ParameterGroup>("group", "parameters with values of their own")
          .Add("match", &ParameterGroup::match,
               "a pattern of parameters' names, in which * is any text and ? any character: "
               "\"*.bias\"")
          .Add("weight_decay", &ParameterGroup::weight_decay,
               "in place of the optimizer's; by default the same", AtLeast(0))
          .Add("learning_rate_factor", &ParameterGroup::learning_rate_factor,
               "times the learning rate", AtLeast(0))
          .Required("match");
  return table;
}

const std::vector<OptimizerKind>& OptimizerKinds() {
  static const std::vector<OptimizerKind> kinds = {
      SgdOptimizer(),     AdamOptimizer(),     AdamWOptimizer(),  RmsPropOptimizer(),
      AdagradOptimizer(), AdadeltaOptimizer(), AdamaxOptimizer(), NadamOptimizer(),
      RadamOptimizer(),   LionOptimizer(),     LambOptimizer(),   LarsOptimizer(),
      MuonOptimizer()};
  return kinds;
}

const OptionTable<OptimizerOptions>& OptimizerTable() {
  static const auto table = [] {
    OptionTable<OptimizerOptions> all("optimizer", "what changes the parameters");
    for (const OptimizerKind& kind : OptimizerKinds()) {
      all.AddSection(
          kind.name, kind.summary,
          [&kind](const ConfigNode& node, OptimizerOptions& options) { options = kind.read(node); },
          [&kind](const OptimizerOptions& options) {
            return options.kind == kind.name ? options.resolved : ConfigNode();
          },
          kind.help);
    }
    return all;
  }();
  return table;
}

OptimizerOptions ReadOptimizer(const ConfigNode& node) {
  if (node.is_scalar()) {
    const OptimizerKind* kind = FindKind(node.scalar());
    if (kind == nullptr) {
      node.Fail("unknown optimizer '" + node.scalar() + "'",
                DidYouMean(node.scalar(), KindNames()));
    }
    return kind->read(ConfigNode());
  }
  if (node.is_map() && node.entries().size() > 1) {
    size_t known = 0;
    for (const auto& entry : node.entries()) known += FindKind(entry.first) != nullptr ? 1 : 0;
    if (known == node.entries().size()) {
      node.Fail("expected one optimizer, got " + std::to_string(known),
                "keep one of " + Join(KindNames(), ", "));
    }
  }
  OptimizerOptions options = OptimizerTable().Read(node);
  return options.kind.empty() ? FindKind("adam")->read(ConfigNode()) : options;
}

std::vector<StateSpec> StateOf(const OptimizerOptions& options, const ParameterSpec& parameter) {
  std::vector<StateSpec> specs;
  for (const StateKind& state : OptionsFor(options, parameter).states) {
    specs.push_back(
        {parameter.name + "." + state.name, parameter.shape, parameter.dtype, state.initial, {}});
  }
  if (options.average_decay > 0) {
    specs.push_back(
        {parameter.name + kAverageSuffix, parameter.shape, parameter.dtype, 0, parameter.name});
  }
  return specs;
}

bool NeedsWholeGradient(const OptimizerOptions& options, const ParameterSpec& parameter) {
  return OptionsFor(options, parameter).direction != nullptr;
}

void CheckGroups(const OptimizerOptions& options, const std::vector<ParameterSpec>& parameters) {
  for (const ParameterGroup& group : options.common.groups) {
    CheckPattern(group.match, parameters, "optimizer group");
  }
}

UpdateOutputs AddUpdate(const OptimizerOptions& all, ir::Builder& builder,
                        const UpdateInputs& inputs) {
  static const ParameterSpec kUnknown;
  const ParameterSpec& spec = inputs.spec != nullptr ? *inputs.spec : kUnknown;
  const OptimizerOptions& options = inputs.spec != nullptr ? OptionsFor(all, spec) : all;
  ir::Attributes attributes = options.attributes;
  double decay = all.common.weight_decay;
  if (inputs.spec != nullptr) {
    decay = WeightDecayOf(all, spec);
    const ParameterGroup* group = GroupOf(all, spec.name);
    if (group != nullptr) attributes["rate_factor"] = group->learning_rate_factor;
  }
  UpdateOutputs updated;
  ir::Value* gradient = inputs.gradient;
  if (options.direction) {
    if (all.clip > 0) {
      throw Error(ErrorCode::kInvalidInput, "clip.value does not go with optimizer " + all.kind,
                  "use clip.norm");
    }
    Direction direction = options.direction(builder, inputs, decay);
    gradient = direction.value;
    updated.state = std::move(direction.state);
  }
  std::vector<ir::Value*> values = {inputs.parameter, gradient, inputs.learning_rate};
  if (options.counts_steps && !options.direction) values.push_back(inputs.step);
  const auto own = inputs.state.begin() + static_cast<std::ptrdiff_t>(updated.state.size());
  values.insert(values.end(), own, inputs.state.end());
  attributes["weight_decay"] = options.direction_decays ? 0.0 : decay;
  attributes["decoupled"] = int64_t{options.decoupled};
  attributes["clip"] = all.clip;
  attributes["average_decay"] = all.average_decay;
  attributes["copy_to"] = static_cast<int64_t>(inputs.copy_to);
  const size_t outputs = 1 + static_cast<size_t>(inputs.state.end() - own);
  const bool copies = inputs.copy_to != DType::kUndefined;
  std::vector<ir::Value*> results =
      builder.Ops(options.op, std::move(values), outputs + (copies ? 1 : 0), std::move(attributes));
  updated.parameter = results[0];
  if (copies) updated.copy = results.back();
  results.resize(outputs);
  updated.state.insert(updated.state.end(), results.begin() + 1, results.end());
  return updated;
}

}  // namespace ingot::nn
