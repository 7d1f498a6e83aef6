// ingot.RmsProp, as torch.optim.RMSprop (T. Tieleman, G. Hinton 2012; centred: A. Graves 2013):
//   s' = alpha s + (1 - alpha) g^2;  centred: mean' = mean + (1 - alpha) (g - mean)
//   d = g / (sqrt(s' - mean'^2) + epsilon);  w' = w - lr d, or with momentum b' = momentum b + d,
//   w' = w - lr b'
#include <algorithm>
#include <cmath>

#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateRmsprop(ir::OpRegistry& registry);

namespace {

ElementUpdate RmsPropFormula(const ir::Node& node, double rate, double /*step*/) {
  const double alpha = node.GetFloat("alpha");
  const double epsilon = node.GetFloat("epsilon");
  const double momentum = node.GetFloat("momentum");
  const bool centered = node.GetInt("centered") != 0;
  return [=](double& w, double g, double* state) {
    state[0] = alpha * state[0] + (1 - alpha) * g * g;
    double variance = state[0];
    if (centered) {
      double& mean = state[1];
      mean = Interpolate(mean, g, 1 - alpha);
      variance = std::max(variance - mean * mean, 0.0);  // rounding may leave less than nothing
    }
    double step = g / (std::sqrt(variance) + epsilon);
    if (momentum != 0) {
      double& buffer = state[centered ? 2 : 1];
      buffer = momentum * buffer + step;
      step = buffer;
    }
    w = w - rate * step;
  };
}

std::vector<OpCase> RmspropCases() {
  const auto rate = Floats({}, {0.25});
  const auto w = Floats({2}, {1, -2});
  const auto g = Floats({2}, {0.5, -4});
  const auto s = Floats({2}, {0.25, 16});
  const ir::Attributes half = {{"alpha", 0.5}, {"epsilon", 0.0}};
  ir::Attributes centered = half;
  centered["centered"] = int64_t{1};
  ir::Attributes both = centered;
  both["momentum"] = 0.5;
  return {
      // s stays as it is: the step is the gradient's sign.
      OpCase{.name = "plain",
             .inputs = {w, g, rate, s},
             .attributes = half,
             .expected = {{0.75, -1.75}, {0.25, 16}},
             .outputs = 2,
             .gradient = false},
      // s' = 0.390625, 16; the means are 0.375, 0 and the variances 0.5^2 and 16; d = 1, -1; the
      // buffers 1 + 1 and -1 - 1.
      OpCase{.name = "centered_with_momentum",
             .inputs = {w, g, rate, Floats({2}, {0.53125, 16}), Floats({2}, {0.25, 4}),
                        Floats({2}, {2, -2})},
             .attributes = both,
             .expected = {{0.5, -1.5}, {0.390625, 16}, {0.375, 0}, {2, -2}},
             .outputs = 4,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 0, 1, 0),
      RandomUpdate("momentum", {33}, 0, 2, 0, {{"momentum", 0.9}}),
      RandomUpdate("ragged", {3, 11, 5}, 0, 1, 0, {{"weight_decay", 0.125}, {"clip", 0.5}}),
      RandomUpdate("empty", {0, 3}, 0, 1, 0),
      RandomUpdate("scalar", {}, 0, 1, 0),
  };
}

}  // namespace

void RegisterUpdateRmsprop(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "RmsProp";
  rule.summary = "One step of RMSprop, centred and with momentum if asked.";
  rule.attributes = {FloatAttribute("alpha", 0.99), FloatAttribute("epsilon", 1e-8),
                     FloatAttribute("momentum", 0), IntAttribute("centered", 0)};
  rule.states = [](const ir::Node& node) {
    std::vector<std::string> states = {"square"};
    if (node.GetInt("centered") != 0) states.push_back("mean");
    if (node.GetFloat("momentum") != 0) states.push_back("momentum");
    return states;
  };
  rule.formula = RmsPropFormula;
  rule.cases = RmspropCases();
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
