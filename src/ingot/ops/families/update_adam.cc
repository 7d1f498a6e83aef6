// ingot.Adam, as torch.optim.Adam and AdamW (decoupled):
//   m' = m + (1 - b1) (g - m);  v' = b2 v + (1 - b2) g^2;  x = amsgrad ? (largest' = max(largest,
//   v')) : v';  w' = w - lr / (1 - b1^t) * m' / (sqrt(x) / sqrt(1 - b2^t) + epsilon)
// D. Kingma, J. Ba, ICLR 2015; I. Loshchilov, F. Hutter, ICLR 2019; AMSGrad: S. Reddi et al., 2018.
#include <algorithm>
#include <cmath>

#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateAdam(ir::OpRegistry& registry);

namespace {

ElementUpdate AdamFormula(const ir::Node& node, double rate, double step) {
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  const double epsilon = node.GetFloat("epsilon");
  const bool amsgrad = node.GetInt("amsgrad") != 0;
  const double step_size = rate / (1 - std::pow(beta1, step));
  const double correction = std::sqrt(1 - std::pow(beta2, step));
  return [=](double& w, double g, double* state) {
    state[0] = Interpolate(state[0], g, 1 - beta1);
    state[1] = state[1] * beta2 + (1 - beta2) * g * g;
    if (amsgrad) state[2] = std::max(state[2], state[1]);
    const double root = std::sqrt(state[amsgrad ? 2 : 1]) / correction + epsilon;
    w = w - step_size * (state[0] / root);
  };
}

std::vector<OpCase> Cases() {
  const auto w = Floats({2}, {1, -2});
  const auto g = Floats({2}, {0.5, -4});
  const auto zero = Floats({2}, {0, 0});
  const auto rate = Floats({}, {0.25});
  const auto first = Integers({}, {1});
  const ir::Attributes half = {{"beta1", 0.5}, {"beta2", 0.75}, {"epsilon", 0.0}};
  const auto with = [&](double weight_decay, int64_t decoupled) {
    ir::Attributes attributes = half;
    attributes["weight_decay"] = weight_decay;
    attributes["decoupled"] = decoupled;
    return attributes;
  };
  ir::Attributes amsgrad = half;
  amsgrad["amsgrad"] = int64_t{1};
  ir::Attributes everything = {{"amsgrad", int64_t{1}}, {"decoupled", int64_t{1}},
                               {"weight_decay", 0.125}, {"clip", 0.5},
                               {"average_decay", 0.75}, {"rate_factor", 2.0}};
  return {
      // The first step goes by the learning rate, whatever the gradient's size.
      OpCase{.name = "first_step",
             .inputs = {w, g, rate, first, zero, zero},
             .attributes = half,
             .expected = {{0.75, -1.75}, {0.25, -2}, {0.0625, 4}},
             .outputs = 3,
             .gradient = false},
      // m' = 0.75, -1; v' = 0.25, 16; corrections 0.75 and 0.4375.
      OpCase{
          .name = "second_step",
          .inputs = {w, g, rate, Integers({}, {2}), Floats({2}, {1, 2}), Floats({2}, {0.25, 16})},
          .attributes = half,
          .expected = {{1 - 0.25 / 0.75 * 0.75 / (0.5 / std::sqrt(0.4375)),
                        -2 + 0.25 / 0.75 * 1 / (4 / std::sqrt(0.4375))},
                       {0.75, -1},
                       {0.25, 16}},
          .outputs = 3,
          .gradient = false},
      // g + w / 4 = 0.75, -4.5.
      OpCase{.name = "weight_decay",
             .inputs = {w, g, rate, first, zero, zero},
             .attributes = with(0.25, 0),
             .expected = {{0.75, -1.75}, {0.375, -2.25}, {0.140625, 5.0625}},
             .outputs = 3,
             .gradient = false},
      // w * (1 - 1/16), then the step.
      OpCase{.name = "decoupled",
             .inputs = {w, g, rate, first, zero, zero},
             .attributes = with(0.25, 1),
             .expected = {{0.6875, -1.625}, {0.25, -2}, {0.0625, 4}},
             .outputs = 3,
             .gradient = false},
      // The largest v so far is 0.25 and 4; the root of the second is twice that of v'.
      OpCase{.name = "amsgrad",
             .inputs = {w, Floats({2}, {0.5, -2}), rate, first, zero, zero, Floats({2}, {0, 4})},
             .attributes = amsgrad,
             .expected = {{0.75, -1.875}, {0.25, -1}, {0.0625, 1}, {0.0625, 4}},
             .outputs = 4,
             .gradient = false},
      // A zero gradient from zero state leaves the parameter: 0 / (0 + epsilon).
      OpCase{.name = "nothing_to_do",
             .inputs = {w, zero, rate, Integers({}, {7}), zero, zero},
             .expected = {{1, -2}, {0, 0}, {0, 0}},
             .outputs = 3,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 3, 2, 1),
      RandomUpdate("ragged", {3, 11, 5}, 1000000, 2, 1, {{"weight_decay", 0.125}}),
      RandomUpdate("adamw", {17}, 12, 2, 1, {{"weight_decay", 0.125}, {"decoupled", int64_t{1}}}),
      RandomUpdate("everything", {31, 3}, 12, 4, 1, everything),
      RandomUpdate("empty", {0, 3}, 1, 2, 1),
      RandomUpdate("scalar", {}, 2, 2, 1),
      RandomUpdate("layer", {784, 64}, 100, 2, 1),
  };
}

}  // namespace

void RegisterUpdateAdam(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Adam";
  rule.summary = "One step of Adam; with `decoupled` of AdamW, with `amsgrad` of AMSGrad.";
  rule.counts_steps = true;
  rule.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.999),
                     FloatAttribute("epsilon", 1e-8), IntAttribute("amsgrad", 0)};
  rule.states = [](const ir::Node& node) {
    std::vector<std::string> states = {"m", "v"};
    if (node.GetInt("amsgrad") != 0) states.push_back("largest");
    return states;
  };
  rule.formula = AdamFormula;
  rule.cases = Cases();
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
