// Optimizers: what updates each parameter from its gradient, as ops of the step's graph.
//
// Each kind is a file in optimizers/ with its options, its option table and the op that it comes
// to, and a line in OptimizerKinds(). The formulas are PyTorch's; they stand at the ops
// (ops/families/update_NAME.cc). State tensors have the parameter's shape and type and are named
// "layers.0.weight.m".
//
// All kinds have: learning_rate; weight_decay; `decay`, which parameters it is for (all, or those
// of two and more dimensions: no biases and norms); and `groups`, whose first group that matches a
// parameter's name sets its weight decay and a factor of its learning rate.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/builder.h"
#include "ingot/nn/layer.h"

namespace ingot::nn {

// Parameters that are treated in a way of their own.
struct ParameterGroup {
  std::string match;  // a pattern of names: "*.bias"
  std::optional<double> weight_decay;
  double learning_rate_factor = 1;
};

// The options that all optimizers have.
struct CommonOptimizerOptions {
  double learning_rate = 0.001;
  double weight_decay = 0;
  std::string decay = "all";
  std::vector<ParameterGroup> groups;
};

// An optimizer's state tensor: "m", and what its elements are at first.
struct StateKind {
  std::string name;
  double initial = 0;
};

struct OptimizerOptions;
struct UpdateInputs;

// What an optimizer that looks at whole parameters makes of a gradient: what the op takes in its
// place, and the new values of the first of the state tensors.
struct Direction {
  ir::Value* value = nullptr;
  std::vector<ir::Value*> state;
};

// The `optimizer:` section of a job, as ReadOptimizer reads it.
struct OptimizerOptions {
  std::string kind;     // "adam"
  ConfigNode resolved;  // the kind's options, written out
  CommonOptimizerOptions common;
  std::string op;  // "ingot.Adam"
  bool counts_steps = false;
  bool decoupled = false;  // weight decay is taken from the weights, not added to gradients
  ir::Attributes attributes;
  std::vector<StateKind> states;
  // LAMB and the like; null: the op takes the gradient. `weight_decay` is the parameter's.
  std::function<Direction(ir::Builder& builder, const UpdateInputs& inputs, double weight_decay)>
      direction;
  bool direction_decays = false;  // it sees to the weight decay, not the op
  // Of parameters that `takes` refuses; null: all are the same.
  std::function<bool(const ParameterSpec& parameter)> takes;
  std::shared_ptr<const OptimizerOptions> others;
  // Not of the section, but of the job.
  double clip = 0;           // of the gradients' elements; 0: none
  double clip_norm = 0;      // of all gradients together; 0: none
  double average_decay = 0;  // of the weights' moving average; 0: none

  const std::string& name() const { return kind; }
  double learning_rate() const { return common.learning_rate; }
};

// A kind of optimizer, for reading and documentation.
struct OptimizerKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>(const std::string& path)> help;
  std::function<OptimizerOptions(const ConfigNode& options)> read;
};
const std::vector<OptimizerKind>& OptimizerKinds();

const OptionTable<OptimizerOptions>& OptimizerTable();
// Reads `adam`, `adam: {learning_rate: 0.001}`; null is Adam with its defaults. Throws
// Error(kInvalidInput) at the node's place: unknown or several optimizers, options out of range,
// nesterov without momentum.
OptimizerOptions ReadOptimizer(const ConfigNode& node);

// A state tensor of one parameter.
struct StateSpec {
  std::string name;  // "layers.0.weight.m"
  Shape shape;
  DType dtype = DType::kF32;
  double initial = 0;                 // of every element
  std::string average_of = {};        // a moving average: begins as this parameter
  std::string copy_of = {};           // this parameter, rounded: follows from it, and is not saved
  DType copy_to = DType::kUndefined;  // to what the copy is rounded
};

// The suffix of a moving average's name: "layers.0.weight.average".
inline constexpr const char* kAverageSuffix = ".average";

// The state of one parameter, in the order of its update's inputs; empty for plain SGD.
std::vector<StateSpec> StateOf(const OptimizerOptions& options, const ParameterSpec& parameter);

// Whether the update of a parameter begins with its whole gradient, not with one element.
bool NeedsWholeGradient(const OptimizerOptions& options, const ParameterSpec& parameter);

// Throws Error(kInvalidInput) naming the group that matches none of the parameters.
void CheckGroups(const OptimizerOptions& options, const std::vector<ParameterSpec>& parameters);

// What the update of one parameter takes and gives.
struct UpdateInputs {
  const ParameterSpec* spec = nullptr;  // decides its group; null: no group, and all decays
  ir::Value* parameter = nullptr;
  ir::Value* gradient = nullptr;       // of the parameter's type
  ir::Value* learning_rate = nullptr;  // []
  ir::Value* step = nullptr;           // i64[], counted from 1
  std::vector<ir::Value*> state;       // as StateOf
  DType copy_to = DType::kUndefined;   // a copy of the new parameter, rounded to this; none
};
struct UpdateOutputs {
  ir::Value* parameter = nullptr;
  ir::Value* copy = nullptr;  // null: none
  std::vector<ir::Value*> state;
};
UpdateOutputs AddUpdate(const OptimizerOptions& options, ir::Builder& builder,
                        const UpdateInputs& inputs);

}  // namespace ingot::nn
