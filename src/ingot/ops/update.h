// UpdateRule: an optimizer's update as an op, from a formula for one element. MakeUpdate adds what
// all optimizers share, so that a file in families/ holds the formula and the attributes alone.
//
// The op:
//   inputs   w [...], the parameter; g, its gradient; learning_rate []; step i64[], counted from 1
//            (of rules that count); the state tensors, shaped as w
//   outputs  the new w and the new state tensors, in the inputs' order
// What all have, in this order, computed in f64:
//   1. g is clipped to [-clip, clip] where the attribute `clip` is above 0;
//   2. weight decay: g += weight_decay w, or where `decoupled` w *= 1 - lr weight_decay, with
//      lr = learning_rate * rate_factor;
//   3. the formula, with that lr;
//   4. where `average_decay` is above 0, the last state tensor follows the new w: an exponential
//      moving average a += (1 - average_decay) (w - a);
//   5. where `copy_to` is the number of a 16-bit float type (0: none), one output more is the new w
//      rounded to that type, in w's own (ingot.RoundTo).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/ops/definition.h"

namespace ingot::ops {

// One element's update: changes w and the state; g is its gradient.
using ElementUpdate = std::function<void(double& w, double g, double* state)>;

struct UpdateRule {
  std::string name;  // "Adam", in the domain ingot
  std::string summary;
  bool counts_steps = false;
  std::vector<ir::AttributeSpec> attributes;  // its own
  // The state tensors that a node's attributes call for.
  std::function<std::vector<std::string>(const ir::Node& node)> states;
  // The formula of a step (from 1; 0 where the rule does not count).
  std::function<ElementUpdate(const ir::Node& node, double learning_rate, double step)> formula;
  std::vector<OpCase> cases;
};

// Whether an update's last output is the new parameter, rounded.
inline bool GivesCopy(const ir::Node& update) {
  return update.GetInt("copy_to", 0) != 0;
}

ir::OpDefinition MakeUpdate(UpdateRule rule);

// start + weight * (end - start), from the nearer end, so that both ends are exact.
double Interpolate(double start, double end, double weight);

// A case of random numbers: `states` tensors in [0.01, 1], those of the first `signed_states` in
// [-1, 1]. step 0: an op that does not count.
OpCase RandomUpdate(std::string name, Shape shape, int64_t step, size_t states,
                    size_t signed_states, ir::Attributes attributes = {});

}  // namespace ingot::ops
