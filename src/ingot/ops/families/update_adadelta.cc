// ingot.Adadelta, as torch.optim.Adadelta (M. Zeiler 2012):
//   s' = rho s + (1 - rho) g^2;  d = sqrt(a + epsilon) / sqrt(s' + epsilon) * g
//   a' = rho a + (1 - rho) d^2;  w' = w - lr d
#include <cmath>

#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateAdadelta(ir::OpRegistry& registry);

namespace {

ElementUpdate AdadeltaFormula(const ir::Node& node, double rate, double /*step*/) {
  const double rho = node.GetFloat("rho");
  const double epsilon = node.GetFloat("epsilon");
  return [=](double& w, double g, double* state) {
    state[0] = rho * state[0] + (1 - rho) * g * g;
    const double step = std::sqrt(state[1] + epsilon) / std::sqrt(state[0] + epsilon) * g;
    state[1] = rho * state[1] + (1 - rho) * step * step;
    w = w - rate * step;
  };
}

}  // namespace

void RegisterUpdateAdadelta(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Adadelta";
  rule.summary = "One step of Adadelta.";
  rule.attributes = {FloatAttribute("rho", 0.9), FloatAttribute("epsilon", 1e-6)};
  rule.states = [](const ir::Node&) { return std::vector<std::string>{"square", "moved"}; };
  rule.formula = AdadeltaFormula;
  rule.cases = {
      // s' = 3, 15; with epsilon 1 the roots are 2, 4 and 2, 1: d = 2, -1.
      OpCase{.name = "by_hand",
             .inputs = {Floats({2}, {1, -2}), Floats({2}, {2, -4}), Floats({}, {0.25}),
                        Floats({2}, {2, 14}), Floats({2}, {3, 0})},
             .attributes = {{"rho", 0.5}, {"epsilon", 1.0}},
             .expected = {{0.5, -1.75}, {3, 15}, {3.5, 0.5}},
             .outputs = 3,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 0, 2, 0),
      RandomUpdate("ragged", {3, 11, 5}, 0, 2, 0, {{"weight_decay", 0.125}}),
      RandomUpdate("empty", {0, 3}, 0, 2, 0),
      RandomUpdate("scalar", {}, 0, 2, 0),
  };
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
