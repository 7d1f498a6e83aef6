// ingot.Adagrad, as torch.optim.Adagrad (J. Duchi, E. Hazan, Y. Singer 2011):
//   s' = s + g^2;  w' = w - lr / (1 + (t - 1) rate_decay) * g / (sqrt(s') + epsilon)
#include <cmath>

#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateAdagrad(ir::OpRegistry& registry);

namespace {

ElementUpdate AdagradFormula(const ir::Node& node, double rate, double step) {
  const double epsilon = node.GetFloat("epsilon");
  const double step_size = rate / (1 + (step - 1) * node.GetFloat("rate_decay"));
  return [=](double& w, double g, double* state) {
    state[0] = state[0] + g * g;
    w = w - step_size * (g / (std::sqrt(state[0]) + epsilon));
  };
}

}  // namespace

void RegisterUpdateAdagrad(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Adagrad";
  rule.summary = "One step of Adagrad.";
  rule.counts_steps = true;
  rule.attributes = {FloatAttribute("epsilon", 1e-10), FloatAttribute("rate_decay", 0)};
  rule.states = [](const ir::Node&) { return std::vector<std::string>{"sum"}; };
  rule.formula = AdagradFormula;
  rule.cases = {
      // s' = 16, 25; the rate is 1/4 / (1 + 2 / 2).
      OpCase{.name = "third_step",
             .inputs = {Floats({2}, {1, -2}), Floats({2}, {4, -3}), Floats({}, {0.25}),
                        Integers({}, {3}), Floats({2}, {0, 16})},
             .attributes = {{"epsilon", 0.0}, {"rate_decay", 0.5}},
             .expected = {{0.875, -2 + 0.125 * 0.6}, {16, 25}},
             .outputs = 2,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 3, 1, 0),
      RandomUpdate("ragged", {3, 11, 5}, 9, 1, 0, {{"weight_decay", 0.125}}),
      RandomUpdate("empty", {0, 3}, 1, 1, 0),
      RandomUpdate("scalar", {}, 2, 1, 0),
  };
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
