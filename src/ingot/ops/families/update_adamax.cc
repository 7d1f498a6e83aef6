// ingot.Adamax, as torch.optim.Adamax (D. Kingma, J. Ba, ICLR 2015, section 7):
//   m' = m + (1 - b1) (g - m);  u' = max(b2 u, |g| + epsilon);  w' = w - lr / (1 - b1^t) * m' / u'
#include <algorithm>
#include <cmath>

#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateAdamax(ir::OpRegistry& registry);

namespace {

ElementUpdate AdamaxFormula(const ir::Node& node, double rate, double step) {
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  const double step_size = rate / (1 - std::pow(beta1, step));
  return [=](double& w, double g, double* state) {
    state[0] = Interpolate(state[0], g, 1 - beta1);
    state[1] = std::max(beta2 * state[1], std::abs(g) + epsilon);
    w = w - step_size * (state[0] / state[1]);
  };
}

}  // namespace

void RegisterUpdateAdamax(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Adamax";
  rule.summary = "One step of Adamax.";
  rule.counts_steps = true;
  rule.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.999),
                     FloatAttribute("epsilon", 1e-8)};
  rule.states = [](const ir::Node&) { return std::vector<std::string>{"m", "largest"}; };
  rule.formula = AdamaxFormula;
  rule.cases = {
      // m' = 0.25, -1; u' = 1 of 2 / 2, and 2; the rate is 1/4 / (1/2).
      OpCase{.name = "first_step",
             .inputs = {Floats({2}, {1, -2}), Floats({2}, {0.5, -2}), Floats({}, {0.25}),
                        Integers({}, {1}), Floats({2}, {0, 0}), Floats({2}, {2, 0})},
             .attributes = {{"beta1", 0.5}, {"beta2", 0.5}, {"epsilon", 0.0}},
             .expected = {{0.875, -1.75}, {0.25, -1}, {1, 2}},
             .outputs = 3,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 3, 2, 1),
      RandomUpdate("ragged", {3, 11, 5}, 9, 2, 1, {{"weight_decay", 0.125}}),
      RandomUpdate("empty", {0, 3}, 1, 2, 1),
      RandomUpdate("scalar", {}, 2, 2, 1),
  };
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
