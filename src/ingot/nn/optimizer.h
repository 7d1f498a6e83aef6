// Optimizers: what updates each parameter from its gradient, as ops of the step's graph.
//
//   sgd    v = momentum v + g; w -= lr v (nesterov: w -= lr (g + momentum v)); weight_decay adds
//          weight_decay w to g
//   adam   Kingma & Ba 2015; weight_decay adds weight_decay w to g
//   adamw  Loshchilov & Hutter 2019: w is scaled by 1 - lr weight_decay instead
// The formulas are PyTorch's. State tensors have the parameter's shape and type, begin as zeros and
// are named "layers.0.weight.m".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/ir/builder.h"
#include "ingot/nn/layer.h"

namespace ingot::nn {

struct SgdOptions {
  double learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
};

struct AdamOptions {
  double learning_rate = 0.001;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

struct AdamWOptions : AdamOptions {
  AdamWOptions() { weight_decay = 0.01; }
};

// The `optimizer:` section of a job: exactly one of them.
struct OptimizerOptions {
  std::optional<SgdOptions> sgd;
  std::optional<AdamOptions> adam;
  std::optional<AdamWOptions> adamw;

  std::string name() const;  // "adam"
  double learning_rate() const;
};

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
};

// The state of one parameter, in the order of its update's inputs; empty for plain SGD.
std::vector<StateSpec> StateOf(const OptimizerOptions& options, const ParameterSpec& parameter);

// What the update of one parameter takes and gives.
struct UpdateInputs {
  ir::Value* parameter = nullptr;
  ir::Value* gradient = nullptr;       // of the parameter's type
  ir::Value* learning_rate = nullptr;  // []
  ir::Value* step = nullptr;           // i64[], counted from 1
  std::vector<ir::Value*> state;       // as StateOf
};
struct UpdateOutputs {
  ir::Value* parameter = nullptr;
  std::vector<ir::Value*> state;
};
UpdateOutputs AddUpdate(const OptimizerOptions& options, ir::Builder& builder,
                        const UpdateInputs& inputs);

}  // namespace ingot::nn
