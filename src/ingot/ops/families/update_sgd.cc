// ingot.Sgd: gradient descent with momentum, as torch.optim.SGD:
//   v' = momentum v + g;  w' = w - lr (nesterov ? g + momentum v' : v')
// PyTorch's first momentum is the gradient itself; from a momentum of 0 that is the same.
#include "ingot/ops/update.h"

namespace ingot::ops {

void RegisterUpdateSgd(ir::OpRegistry& registry);

namespace {

ElementUpdate SgdFormula(const ir::Node& node, double rate, double /*step*/) {
  const double momentum = node.GetFloat("momentum");
  const bool nesterov = node.GetInt("nesterov") != 0;
  return [=](double& w, double g, double* state) {
    if (momentum != 0) {
      state[0] = momentum * state[0] + g;
      g = nesterov ? g + momentum * state[0] : state[0];
    }
    w = w - rate * g;
  };
}

std::vector<OpCase> Cases() {
  const auto w = Floats({2}, {1, -2});
  const auto g = Floats({2}, {0.5, 4});
  const auto velocity = Floats({2}, {2, -1});
  const auto rate = Floats({}, {0.25});
  const ir::Attributes all = {{"momentum", 0.5}, {"weight_decay", 0.25}};
  ir::Attributes nesterov = all;
  nesterov["nesterov"] = int64_t{1};
  ir::Attributes shared = all;
  shared.insert({{"clip", 2.0}, {"average_decay", 0.75}, {"rate_factor", 0.5}});
  return {
      OpCase{.name = "plain", .inputs = {w, g, rate}, .expected = {{0.875, -3}}, .gradient = false},
      OpCase{.name = "weight_decay",
             .inputs = {w, g, rate},
             .attributes = {{"weight_decay", 0.25}},
             .expected = {{0.8125, -2.875}},
             .gradient = false},
      // w / 16 is taken away first.
      OpCase{.name = "decoupled",
             .inputs = {w, g, rate},
             .attributes = {{"weight_decay", 0.25}, {"decoupled", int64_t{1}}},
             .expected = {{0.8125, -2.875}},
             .gradient = false},
      // g = 0.75, 3.5; v' = 1.75, 3; w' = w - v' / 4.
      OpCase{.name = "momentum",
             .inputs = {w, g, rate, velocity},
             .attributes = all,
             .expected = {{0.5625, -2.75}, {1.75, 3}},
             .outputs = 2,
             .gradient = false},
      // The same v', and w' = w - (g + v' / 2) / 4.
      OpCase{.name = "nesterov",
             .inputs = {w, g, rate, velocity},
             .attributes = nesterov,
             .expected = {{0.59375, -3.25}, {1.75, 3}},
             .outputs = 2,
             .gradient = false},
      // g is clipped to 0.5, 2 and decays to 0.75, 1.5; v' = 1.75, 1; w' = w - v' / 8; the average
      // goes a quarter of the way from 0 to w'.
      OpCase{.name = "clip_average_and_rate_factor",
             .inputs = {w, g, rate, velocity, Floats({2}, {0, 0})},
             .attributes = shared,
             .expected = {{0.78125, -2.125}, {1.75, 1}, {0.1953125, -0.53125}},
             .outputs = 3,
             .gradient = false},
      RandomUpdate("matrix", {64, 10}, 0, 1, 1, all),
      RandomUpdate("ragged", {5, 3, 7}, 0, 1, 1, nesterov),
      RandomUpdate("empty", {0}, 0, 1, 1, all),
      RandomUpdate("scalar", {}, 0, 1, 1, nesterov),
      RandomUpdate("layer", {784, 64}, 0, 1, 1, all),
      RandomUpdate("shared", {37, 3}, 0, 2, 2, shared),
  };
}

}  // namespace

void RegisterUpdateSgd(ir::OpRegistry& registry) {
  UpdateRule rule;
  rule.name = "Sgd";
  rule.summary =
      "One step of gradient descent, with momentum (Nesterov's if asked) and weight decay.";
  rule.attributes = {FloatAttribute("momentum", 0), IntAttribute("nesterov", 0)};
  rule.states = [](const ir::Node& node) {
    return node.GetFloat("momentum") != 0 ? std::vector<std::string>{"momentum"}
                                          : std::vector<std::string>{};
  };
  rule.formula = SgdFormula;
  rule.cases = Cases();
  registry.Add(MakeUpdate(std::move(rule)));
}

}  // namespace ingot::ops
