// ingot.Nadam, as torch.optim.NAdam (T. Dozat 2016): Adam with Nesterov's momentum,
//   mu(t) = b1 (1 - 0.96^(t momentum_decay) / 2), p(t) = mu(1) ... mu(t)
//   m' = m + (1 - b1) (g - m);  v' = b2 v + (1 - b2) g^2;  d = sqrt(v' / (1 - b2^t)) + epsilon
//   w' = w - lr ((1 - mu(t)) / (1 - p(t)) g + mu(t + 1) / (1 - p(t + 1)) m') / d
#include <cmath>

#include "ingot/ops/nadam_momentum.h"
#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateNadam(ir::OpRegistry& registry);

namespace {

ElementUpdate NAdamFormula(const ir::Node& node, double rate, double step) {
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  const NadamMomentum momentum(beta1, node.GetFloat("momentum_decay"), step);
  const double of_gradient =
      rate * (1 - momentum.now) / (1 - static_cast<double>(momentum.product));
  const double of_moment = rate * momentum.next / (1 - momentum.product * momentum.next);
  const double correction = 1 - std::pow(beta2, step);
  return [=](double& w, double g, double* state) {
    state[0] = Interpolate(state[0], g, 1 - beta1);
    state[1] = state[1] * beta2 + (1 - beta2) * g * g;
    const double root = std::sqrt(state[1] / correction) + epsilon;
    w = w - of_gradient * (g / root);
    w = w - of_moment * (state[0] / root);
  };
}

}  // namespace

void RegisterUpdateNadam(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Nadam";
  rule.summary = "One step of NAdam.";
  rule.counts_steps = true;
  rule.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.999),
                     FloatAttribute("epsilon", 1e-8), FloatAttribute("momentum_decay", 0.004)};
  rule.states = [](const ir::Node&) { return std::vector<std::string>{"m", "v"}; };
  rule.formula = NAdamFormula;
  // momentum_decay 0 makes mu = b1 / 2 = 1/4 at every step: (3/4) / (3/4) of the gradient and
  // (1/4) / (15/16) of m' = 0.25, -2; the root is that of the gradient's square.
  const double share = 0.25 / (1 - 0.0625);
  rule.cases = {
      OpCase{.name = "first_step",
             .inputs = {Floats({2}, {1, -2}), Floats({2}, {0.5, -4}), Floats({}, {0.25}),
                        Integers({}, {1}), Floats({2}, {0, 0}), Floats({2}, {0, 0})},
             .attributes =
                 {{"beta1", 0.5}, {"beta2", 0.75}, {"epsilon", 0.0}, {"momentum_decay", 0.0}},
             .expected = {{0.75 - 0.25 * share / 2, -1.75 + 0.25 * share / 2},
                          {0.25, -2},
                          {0.0625, 4}},
             .outputs = 3,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 3, 2, 1),
      RandomUpdate("ragged", {3, 11, 5}, 1000000, 2, 1, {{"weight_decay", 0.125}}),
      RandomUpdate("empty", {0, 3}, 1, 2, 1),
      RandomUpdate("scalar", {}, 2, 2, 1),
  };
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
