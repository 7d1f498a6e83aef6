// Activations with a gradient built from other ops: Swish (SiLU), HardSwish, Mish, Selu, Celu,
// ThresholdedRelu, Shrink and SwiGLU. Fusion makes one pass of such a gradient.
#include <algorithm>
#include <cmath>

#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterSmoothActivations(ir::OpRegistry& registry);

namespace {

using ir::Builder;
using ir::GradientContext;
using ir::OpDefinition;
using ir::Value;
using V = std::span<const double>;

double Sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// Cases on both sides of a kink at 0, and not near it.
std::vector<OpCase> AroundZero(const std::function<double(V)>& formula,
                               const ir::Attributes& attributes = {}) {
  std::vector<OpCase> cases = UnaryCases(0.1, 3, formula, attributes);
  for (OpCase& test : UnaryCases(-3, -0.1, formula, attributes)) cases.push_back(std::move(test));
  return cases;
}

// dx = dy * slope, where `slope` builds the derivative from node and x.
GradientRule Slope(std::function<Value*(Builder&, const ir::Node&, Value* x)> slope) {
  return [slope = std::move(slope)](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    context.SetInputGradient(
        0, b.Mul(context.output_gradient(), slope(b, context.node(), context.input(0))));
  };
}

OpDefinition Swish() {
  OpDefinition op = Unary<Types::kFloat>("Swish", 24, "Y = X / (1 + e^(-alpha X)); SiLU at 1.",
                                         [](double x) { return x; });
  op.attributes = {FloatAttribute("alpha", 1)};
  op.reference = [](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha");
    Map<Types::kFloat, 1>(call, [alpha](double x) { return x * Sigmoid(alpha * x); });
  };
  // s + alpha x s (1 - s) with s = sigmoid(alpha x).
  op.gradient = Slope([](Builder& b, const ir::Node& node, Value* x) {
    Value* scaled = b.MulScalar(x, node.GetFloat("alpha"));
    Value* s = b.Op("Sigmoid", {scaled});
    return b.Mul(s, b.Add(b.ScalarLike(x, 1), b.Mul(scaled, b.Sub(b.ScalarLike(x, 1), s))));
  });
  op.cases = UnaryCases(-4, 4, [](V v) { return v[0] * (0.5 + 0.5 * std::tanh(v[0] / 2)); });
  for (OpCase& test : UnaryCases(-3, 3, [](V v) { return v[0] / (1 + std::exp(-1.5 * v[0])); },
                                 {{"alpha", 1.5}})) {
    op.cases.push_back(std::move(test));
  }
  return op;
}

OpDefinition HardSwish() {
  OpDefinition op =
      Unary<Types::kFloat>("HardSwish", 22, "Y = X * (X / 6 + 1 / 2 cut to [0, 1]).",
                           [](double x) { return x * std::max(0.0, std::min(1.0, x / 6 + 0.5)); });
  // Between -3 and 3: x / 3 + 1 / 2; 0 below and 1 above.
  op.gradient = Slope([](Builder& b, const ir::Node&, Value* x) {
    Value* inside = b.Add(b.MulScalar(x, 1.0 / 3), b.ScalarLike(x, 0.5));
    Value* above =
        b.Op("Where", {b.Op("Less", {x, b.ScalarLike(x, 3)}), inside, b.ScalarLike(x, 1)});
    return b.Op("Where", {b.Op("Greater", {x, b.ScalarLike(x, -3)}), above, b.ScalarLike(x, 0)});
  });
  op.cases = UnaryCases(-2.5, 2.5, [](V v) { return v[0] * (v[0] + 3) / 6; });
  op.cases.push_back(ExpectedCase("cut", {Floats({4}, {-8, -4, 4, 8})}, {0, 0, 4, 8}));
  return op;
}

OpDefinition Mish() {
  OpDefinition op = Unary<Types::kFloat>("Mish", 22, "Y = X tanh(log(1 + e^X)).", [](double x) {
    return x * std::tanh(std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))));
  });
  // t + x (1 - t^2) sigmoid(x) with t = tanh(softplus(x)).
  op.gradient = Slope([](Builder& b, const ir::Node&, Value* x) {
    Value* t = b.Op("Tanh", {b.Op("Softplus", {x})});
    Value* rest = b.Mul(b.Sub(b.ScalarLike(x, 1), b.Mul(t, t)), b.Op("Sigmoid", {x}));
    return b.Add(t, b.Mul(x, rest));
  });
  // tanh(log(u)) = (u^2 - 1) / (u^2 + 1).
  op.cases = UnaryCases(-4, 4, [](V v) {
    const double u = 1 + std::exp(v[0]);
    return v[0] * (u * u - 1) / (u * u + 1);
  });
  op.cases.push_back(ExpectedOnly("large", {Floats({2}, {1024, -1024})}, {1024, 0}));
  return op;
}

OpDefinition Selu() {
  OpDefinition op =
      Unary<Types::kFloat>("Selu", 22, "Y = gamma * (X where X > 0, else alpha * (e^X - 1)).",
                           [](double x) { return x; });
  op.attributes = {FloatAttribute("alpha", 1.67326319217681884765625),
                   FloatAttribute("gamma", 1.05070102214813232421875)};
  op.reference = [](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha"), gamma = call.node.GetFloat("gamma");
    Map<Types::kFloat, 1>(call,
                          [=](double x) { return gamma * (x > 0 ? x : alpha * std::expm1(x)); });
  };
  op.gradient = Slope([](Builder& b, const ir::Node& node, Value* x) {
    const double gamma = node.GetFloat("gamma");
    Value* zero = b.ScalarLike(x, 0);
    Value* low = b.MulScalar(b.Op("Exp", {b.Op("Min", {x, zero})}), gamma * node.GetFloat("alpha"));
    return b.Op("Where", {b.Op("Greater", {x, zero}), b.ScalarLike(x, gamma), low});
  });
  op.cases = AroundZero([](V v) { return 2 * (v[0] > 0 ? v[0] : 0.5 * (std::exp(v[0]) - 1)); },
                        {{"alpha", 0.5}, {"gamma", 2.0}});
  op.cases.push_back(ExpectedOnly("defaults", {Floats({1}, {2})}, {2 * 1.05070102214813232421875}));
  return op;
}

OpDefinition Celu() {
  OpDefinition op =
      Unary<Types::kFloat>("Celu", 12, "Y = max(0, X) + min(0, alpha * (e^(X / alpha) - 1)).",
                           [](double x) { return x; });
  op.attributes = {FloatAttribute("alpha", 1)};
  op.reference = [](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha");
    Map<Types::kFloat, 1>(call,
                          [alpha](double x) { return x > 0 ? x : alpha * std::expm1(x / alpha); });
  };
  op.gradient = Slope([](Builder& b, const ir::Node& node, Value* x) {
    Value* low = b.Op("Min", {x, b.ScalarLike(x, 0)});
    return b.Op("Exp", {b.MulScalar(low, 1 / node.GetFloat("alpha"))});
  });
  op.cases = AroundZero([](V v) { return v[0] > 0 ? v[0] : 2 * std::exp(v[0] / 2) - 2; },
                        {{"alpha", 2.0}});
  return op;
}

OpDefinition ThresholdedRelu() {
  OpDefinition op = Unary<Types::kFloat>("ThresholdedRelu", 22, "Y = X where X > alpha, else 0.",
                                         [](double x) { return x; });
  op.attributes = {FloatAttribute("alpha", 1)};
  op.reference = [](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha");
    Map<Types::kFloat, 1>(call, [alpha](double x) { return x > alpha || x != x ? x : 0.0; });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* x = context.input(0);
    Value* alpha = b.ScalarLike(x, context.node().GetFloat("alpha"));
    context.SetInputGradient(0, b.Op("Where", {b.Op("Greater", {x, alpha}),
                                               context.output_gradient(), b.ScalarLike(x, 0)}));
  };
  op.cases = UnaryCases(0.6, 3, [](V v) { return v[0]; }, {{"alpha", 0.5}});
  op.cases.push_back(ExpectedCase("below", {Floats({4}, {-8, 0.5, 2, 4})}, {0, 0, 2, 4}));
  return op;
}

OpDefinition Shrink() {
  OpDefinition op = Unary<Types::kNumeric>(
      "Shrink", 9, "Y = X - bias above lambd, X + bias below -lambd, else 0.",
      [](auto x) { return x; });
  op.attributes = {FloatAttribute("bias", 0), FloatAttribute("lambd", 0.5)};
  op.reference = [](const ir::ReferenceCall& call) {
    const double bias = call.node.GetFloat("bias"), limit = call.node.GetFloat("lambd");
    Map<Types::kNumeric, 1>(call, [=](auto value) {
      const auto x = static_cast<double>(value);
      return static_cast<decltype(value)>(x < -limit ? x + bias : x > limit ? x - bias : 0.0);
    });
  };
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* x = context.input(0);
    Value* outside =
        b.Op("Greater", {b.Op("Abs", {x}), b.ScalarLike(x, context.node().GetFloat("lambd"))});
    context.SetInputGradient(
        0, b.Op("Where", {outside, context.output_gradient(), b.ScalarLike(x, 0)}));
  };
  op.cases = {
      ExpectedCase("hard", {Floats({4}, {-2, -0.25, 0.25, 3})}, {-2, 0, 0, 3}),
      ExpectedCase("soft", {Floats({4}, {-2, -0.5, 0.5, 3})}, {-1, 0, 0, 2},
                   {{"bias", 1.0}, {"lambd", 1.0}}),
      ExpectedOnly("i32", {Integers({3}, {-3, 0, 2}, DType::kI32)}, {-2, 0, 1}, {{"bias", 1.0}})};
  return op;
}

OpDefinition SwiGlu() {
  OpDefinition op = Binary<Types::kFloat>("SwiGLU", 28, "Y = A / (1 + e^(-alpha A)) * B.",
                                          [](double a, double) { return a; });
  op.attributes = {FloatAttribute("alpha", 1)};
  op.reference = [](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha");
    Map<Types::kFloat, 2>(call, [alpha](double a, double b) { return a * Sigmoid(alpha * a) * b; });
  };
  op.gradient = [](GradientContext& context) {
    Builder& b = context.builder();
    const ir::Attributes alpha = {{"alpha", ir::Attribute(context.node().GetFloat("alpha"))}};
    Value* x = context.input(0);
    Value* dy = context.output_gradient();
    if (context.wants(0)) {
      Value* s = b.Op("Sigmoid", {b.MulScalar(x, context.node().GetFloat("alpha"))});
      Value* rest =
          b.Mul(b.MulScalar(x, context.node().GetFloat("alpha")), b.Sub(b.ScalarLike(x, 1), s));
      Value* slope = b.Mul(s, b.Add(b.ScalarLike(x, 1), rest));
      context.SetInputGradient(0, b.SumToLike(b.Mul(b.Mul(dy, context.input(1)), slope), x));
    }
    if (context.wants(1)) {
      context.SetInputGradient(1,
                               b.SumToLike(b.Mul(dy, b.Op("Swish", {x}, alpha)), context.input(1)));
    }
  };
  OpCase test;
  test.name = "random";
  test.inputs = {Uniform({3, 5}, -3, 3), Uniform({3, 5}, -2, 2)};
  test.attributes = {{"alpha", 1.5}};
  test.formula = [](V v) { return v[0] * v[1] * (0.5 + 0.5 * std::tanh(0.75 * v[0])); };
  op.cases = {std::move(test)};
  return op;
}

}  // namespace

void RegisterSmoothActivations(ir::OpRegistry& registry) {
  registry.Add(Swish());
  registry.Add(HardSwish());
  registry.Add(Mish());
  registry.Add(Selu());
  registry.Add(Celu());
  registry.Add(ThresholdedRelu());
  registry.Add(Shrink());
  registry.Add(SwiGlu());
}

}  // namespace ingot::ops
