// ingot.Radam, as torch.optim.RAdam (L. Liu et al., ICLR 2020): Adam whose adaptive part begins
// when enough gradients were seen. n = 2 / (1 - b2) - 1; r(t) = n - 2 t b2^t / (1 - b2^t)
//   m' = m + (1 - b1) (g - m);  v' = b2 v + (1 - b2) g^2
//   r(t) > 5: w' = w - lr / (1 - b1^t) m' rect sqrt(1 - b2^t) / (sqrt(v') + epsilon), with
//             rect = sqrt((r - 4) (r - 2) n / ((n - 4) (n - 2) r))
//   else:     w' = w - lr / (1 - b1^t) m'
#include <cmath>

#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateRadam(ir::OpRegistry& registry);

namespace {

ElementUpdate RAdamFormula(const ir::Node& node, double rate, double step) {
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  const double step_size = rate / (1 - std::pow(beta1, step));
  const double correction = 1 - std::pow(beta2, step);
  const double n = 2 / (1 - beta2) - 1;
  const double r = n - 2 * step * std::pow(beta2, step) / correction;
  const bool adaptive = r > 5;
  const double rectified =
      adaptive ? std::sqrt((r - 4) * (r - 2) * n / ((n - 4) * (n - 2) * r)) * std::sqrt(correction)
               : 1;
  return [=](double& w, double g, double* state) {
    state[0] = Interpolate(state[0], g, 1 - beta1);
    state[1] = state[1] * beta2 + (1 - beta2) * g * g;
    const double root = adaptive ? std::sqrt(state[1]) + epsilon : 1;
    w = w - step_size * rectified * (state[0] / root);
  };
}

}  // namespace

void RegisterUpdateRadam(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Radam";
  rule.summary = "One step of RAdam.";
  rule.counts_steps = true;
  rule.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.999),
                     FloatAttribute("epsilon", 1e-8)};
  rule.states = [](const ir::Node&) { return std::vector<std::string>{"m", "v"}; };
  rule.formula = RAdamFormula;
  rule.cases = {
      // Too early to adapt: w' = w - 1/4 / (1/2) m'.
      OpCase{.name = "first_step",
             .inputs = {Floats({2}, {1, -2}), Floats({2}, {0.5, -4}), Floats({}, {0.25}),
                        Integers({}, {1}), Floats({2}, {0, 0}), Floats({2}, {0, 0})},
             .attributes = {{"beta1", 0.5}, {"beta2", 0.75}, {"epsilon", 0.0}},
             .expected = {{0.875, -1}, {0.25, -2}, {0.0625, 4}},
             .outputs = 3,
             .gradient = false},
      RandomUpdate("before", {5, 7}, 5, 2, 1),
      RandomUpdate("after", {5, 7}, 6, 2, 1),
      RandomUpdate("ragged", {3, 11, 5}, 1000000, 2, 1, {{"weight_decay", 0.125}}),
      RandomUpdate("empty", {0, 3}, 1, 2, 1),
      RandomUpdate("scalar", {}, 2, 2, 1),
  };
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
