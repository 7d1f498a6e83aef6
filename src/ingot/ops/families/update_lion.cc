// ingot.Lion (X. Chen et al. 2023):
//   w' = w - lr sign(b1 m + (1 - b1) g), with sign(0) = 0;  m' = b2 m + (1 - b2) g
// Its weight decay is decoupled in the paper.
#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateLion(ir::OpRegistry& registry);

namespace {

ElementUpdate LionFormula(const ir::Node& node, double rate, double /*step*/) {
  const double beta1 = node.GetFloat("beta1");
  const double beta2 = node.GetFloat("beta2");
  return [=](double& w, double g, double* state) {
    const double direction = Interpolate(state[0], g, 1 - beta1);
    w = w - rate * static_cast<double>((direction > 0) - (direction < 0));
    state[0] = Interpolate(state[0], g, 1 - beta2);
  };
}

}  // namespace

void RegisterUpdateLion(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Lion";
  rule.summary = "One step of Lion: the sign of a moving average.";
  rule.attributes = {FloatAttribute("beta1", 0.9), FloatAttribute("beta2", 0.99)};
  rule.states = [](const ir::Node&) { return std::vector<std::string>{"m"}; };
  rule.formula = LionFormula;
  rule.cases = {
      // Directions 0.75 * 4 - 1, 0 and -1; m' is halfway to g.
      OpCase{.name = "by_hand",
             .inputs = {Floats({3}, {1, -2, 3}), Floats({3}, {-4, 0, -4}), Floats({}, {0.25}),
                        Floats({3}, {4, 0, 0})},
             .attributes = {{"beta1", 0.75},
                            {"beta2", 0.5},
                            {"weight_decay", 0.5},
                            {"decoupled", int64_t{1}}},
             .expected = {{0.625, -1.75, 2.875}, {0, 0, -2}},
             .outputs = 2,
             .gradient = false},
      RandomUpdate("default", {5, 7}, 0, 1, 1),
      RandomUpdate("ragged", {3, 11, 5}, 0, 1, 1, {{"weight_decay", 0.125}, {"clip", 0.5}}),
      RandomUpdate("empty", {0, 3}, 0, 1, 1),
      RandomUpdate("scalar", {}, 0, 1, 1),
  };
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
