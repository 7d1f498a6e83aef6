// Activations and the elementwise helpers of their gradients.
//
// A helper takes dY and what the forward pass keeps anyway (Y where that suffices, else X), so that
// fused kernels need one tensor less. Each helper has a gradient rule of its own; at a kink the
// slope is the one of the left side (Relu: 0 at 0).
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::GradientContext;
using ir::Value;
using V = std::span<const double>;

const double kSqrtHalf = std::sqrt(0.5);
const double kSqrt2OverPi = std::sqrt(2 / std::numbers::pi);
constexpr double kGeluCubic = 0.044715;

// x sampled on both sides of a kink at 0, and not near it.
std::vector<OpCase> AroundZero(std::function<double(V)> formula,
                               const Attributes& attributes = {}) {
  std::vector<OpCase> cases = UnaryCases(0.1, 3, formula, attributes);
  for (OpCase& test : UnaryCases(-3, -0.1, formula, attributes)) cases.push_back(std::move(test));
  return cases;
}

// Cases of a gradient helper: dY of any size, the second input in the given range.
std::vector<OpCase> HelperCases(double low, double high, std::function<double(V)> formula,
                                const Attributes& attributes = {}) {
  std::vector<OpCase> cases;
  for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{17}}) {
    OpCase test;
    test.name = CaseName(low, shape, attributes);
    test.inputs = {Uniform(shape, -2, 2), Uniform(shape, low, high)};
    test.formula = formula;
    test.attributes = attributes;
    cases.push_back(std::move(test));
  }
  return cases;
}

void Append(std::vector<OpCase>& cases, std::vector<OpCase> more) {
  for (OpCase& test : more) cases.push_back(std::move(test));
}

// The gradient of y = Op(x): one call of `helper` on dY and X or Y, with the node's attributes.
GradientRule CallHelper(std::string helper, bool takes_output,
                        std::vector<std::string> attributes) {
  return [=](GradientContext& context) {
    if (!context.wants(0)) return;
    Attributes copied;
    for (const std::string& name : attributes) {
      const auto found = context.node().attributes().find(name);
      if (found != context.node().attributes().end()) copied.insert(*found);
    }
    Value* second = takes_output ? context.output() : context.input(0);
    context.SetInputGradient(
        0, context.builder().Op(helper, {context.output_gradient(), second}, std::move(copied)));
  };
}

// The gradient of dx = dy * slope(v): d(dy) = g * slope(v) is the helper itself, and
// d(v) = g * dy * slope'(v) where `curvature` builds slope'(v); null where that is 0.
GradientRule HelperGradient(
    std::function<Value*(Builder&, const ir::Node&, Value* v)> curvature = nullptr) {
  return [curvature](GradientContext& context) {
    Builder& b = context.builder();
    Value* g = context.output_gradient();
    Value* v = context.input(1);
    if (context.wants(0)) {
      Value* same = b.Op(context.node().op().FullName(), {g, v}, context.node().attributes());
      context.SetInputGradient(0, b.SumToLike(same, context.input(0)));
    }
    if (context.wants(1) && curvature) {
      Value* product = b.Mul(b.Mul(g, context.input(0)), curvature(b, context.node(), v));
      context.SetInputGradient(1, b.SumToLike(product, v));
    }
  };
}

// reference[i] = f(alpha, x...) for an op with one float attribute.
template <size_t kInputs, typename F>
std::function<void(const ir::ReferenceCall&)> WithAlpha(F f) {
  return [f](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha");
    Map<Types::kFloat, kInputs>(call, [&](auto... x) { return f(alpha, x...); });
  };
}

double SigmoidOf(double x) {
  return 1 / (1 + std::exp(-x));
}

void RegisterRelu(ir::OpRegistry& registry) {
  ir::OpDefinition relu = Unary<Types::kSigned>("Relu", 14, "Y = max(X, 0).", [](auto x) {
    return x > decltype(x)(0) || x != x ? x : decltype(x)(0);
  });
  relu.gradient = CallHelper("ingot.ReluGradient", true, {});
  relu.cases = AroundZero([](V v) { return (v[0] + std::fabs(v[0])) / 2; });
  relu.cases.push_back(ExpectedOnly("i32", {Integers({3}, {-5, 0, 6}, DType::kI32)}, {0, 0, 6}));
  relu.cases.push_back(ExpectedOnly("zero", {Floats({3}, {0, -1, 1})}, {0, 0, 1}));
  registry.Add(std::move(relu));

  ir::OpDefinition helper = GradientHelper("ReluGradient", "dX = dY where Y > 0, else 0.", "Y",
                                           [](double dy, double y) { return y > 0 ? dy : 0; });
  helper.gradient = HelperGradient();
  helper.cases = HelperCases(0.1, 3, [](V v) { return v[0]; });
  Append(helper.cases, HelperCases(-3, -0.1, [](V) { return 0.0; }));
  helper.cases.push_back(
      ExpectedOnly("zero", {Floats({3}, {5, 6, 7}), Floats({3}, {0, 1, -1})}, {0, 6, 0}));
  registry.Add(std::move(helper));
}

void RegisterLeakyRelu(ir::OpRegistry& registry) {
  const Attributes alpha = {{"alpha", Attribute(0.25)}};
  ir::OpDefinition op = Unary<Types::kFloat>("LeakyRelu", 16, "Y = X where X >= 0, else alpha * X.",
                                             [](double x) { return x; });
  op.attributes = {FloatAttribute("alpha", 0.01)};
  op.reference = WithAlpha<1>([](double a, double x) { return x < 0 ? a * x : x; });
  op.gradient = CallHelper("ingot.LeakyReluGradient", false, {"alpha"});
  op.cases = AroundZero([](V v) { return std::max(v[0], 0.25 * v[0]); }, alpha);
  op.cases.push_back(ExpectedCase("default_alpha", {Floats({2}, {-2, 4})}, {-0.02, 4}));
  registry.Add(std::move(op));

  ir::OpDefinition helper =
      GradientHelper("LeakyReluGradient", "dX = dY where X > 0, else alpha * dY.", "X",
                     [](double dy, double) { return dy; });
  helper.attributes = {FloatAttribute("alpha", 0.01)};
  helper.reference =
      WithAlpha<2>([](double a, double dy, double x) { return x > 0 ? dy : a * dy; });
  helper.gradient = HelperGradient();
  helper.cases = HelperCases(
      0.1, 3, [](V v) { return v[0]; }, alpha);
  Append(helper.cases, HelperCases(
                           -3, -0.1, [](V v) { return v[0] / 4; }, alpha));
  registry.Add(std::move(helper));
}

void RegisterElu(ir::OpRegistry& registry) {
  const Attributes alpha = {{"alpha", Attribute(0.5)}};
  ir::OpDefinition op = Unary<Types::kFloat>(
      "Elu", 22, "Y = X where X >= 0, else alpha * (e^X - 1).", [](double x) { return x; });
  op.attributes = {FloatAttribute("alpha", 1.0)};
  op.reference = WithAlpha<1>([](double a, double x) { return x < 0 ? a * std::expm1(x) : x; });
  op.gradient = CallHelper("ingot.EluGradient", true, {"alpha"});
  op.cases = AroundZero([](V v) { return v[0] > 0 ? v[0] : 0.5 * std::exp(v[0]) - 0.5; }, alpha);
  op.cases.push_back(
      ExpectedOnly("default_alpha", {Floats({2}, {-30, 4})}, {std::exp(-30.0) - 1, 4}));
  registry.Add(std::move(op));

  ir::OpDefinition helper =
      GradientHelper("EluGradient", "dX = dY where Y > 0, else dY * (Y + alpha).", "Y",
                     [](double dy, double) { return dy; });
  helper.attributes = {FloatAttribute("alpha", 1.0)};
  helper.reference =
      WithAlpha<2>([](double a, double dy, double y) { return y > 0 ? dy : dy * (y + a); });
  helper.gradient = HelperGradient([](Builder& b, const ir::Node&, Value* y) {
    Value* zero = b.ScalarLike(y, 0);
    return b.Op("Where", {b.Op("Greater", {y, zero}), zero, b.ScalarLike(y, 1)});
  });
  helper.cases = HelperCases(
      0.1, 3, [](V v) { return v[0]; }, alpha);
  Append(helper.cases, HelperCases(
                           -0.45, -0.1, [](V v) { return v[0] * v[1] + v[0] / 2; }, alpha));
  registry.Add(std::move(helper));
}

void RegisterSigmoid(ir::OpRegistry& registry) {
  ir::OpDefinition op = Unary<Types::kFloat>("Sigmoid", 13, "Y = 1 / (1 + e^-X).",
                                             [](double x) { return SigmoidOf(x); });
  op.gradient = CallHelper("ingot.SigmoidGradient", true, {});
  op.cases = UnaryCases(-4, 4, [](V v) { return 0.5 + 0.5 * std::tanh(v[0] / 2); });
  op.cases.push_back(ExpectedOnly("saturated", {Floats({3}, {-1024, 0, 1024})}, {0, 0.5, 1}));
  registry.Add(std::move(op));

  ir::OpDefinition helper = GradientHelper("SigmoidGradient", "dX = dY * Y * (1 - Y).", "Y",
                                           [](double dy, double y) { return dy * y * (1 - y); });
  helper.gradient = HelperGradient([](Builder& b, const ir::Node&, Value* y) {
    return b.Sub(b.ScalarLike(y, 1), b.MulScalar(y, 2));
  });
  helper.cases = HelperCases(0.05, 0.95, [](V v) { return v[0] * (v[1] - v[1] * v[1]); });
  registry.Add(std::move(helper));
}

void RegisterTanh(ir::OpRegistry& registry) {
  ir::OpDefinition op = Unary<Types::kFloat>("Tanh", 13, "Y = hyperbolic tangent of X.",
                                             [](double x) { return std::tanh(x); });
  op.gradient = CallHelper("ingot.TanhGradient", true, {});
  op.cases = UnaryCases(-3, 3, [](V v) { return 2 * SigmoidOf(2 * v[0]) - 1; });
  registry.Add(std::move(op));

  ir::OpDefinition helper = GradientHelper("TanhGradient", "dX = dY * (1 - Y^2).", "Y",
                                           [](double dy, double y) { return dy * (1 - y * y); });
  helper.gradient =
      HelperGradient([](Builder& b, const ir::Node&, Value* y) { return b.MulScalar(y, -2); });
  helper.cases = HelperCases(-0.95, 0.95, [](V v) { return v[0] * (1 - v[1]) * (1 + v[1]); });
  registry.Add(std::move(helper));
}

// ---- Gelu: x * Phi(x) with the normal distribution's Phi, or its approximation by tanh ----

bool UsesTanh(const ir::Node& node) {
  const std::string& approximate = node.GetString("approximate");
  if (approximate == "tanh") return true;
  if (approximate == "none") return false;
  throw Error(ErrorCode::kInvalidInput, "attribute 'approximate' is '" + approximate + "'",
              "expected one of: none, tanh");
}

double GeluErf(double x) {
  return 0.5 * x * (1 + std::erf(x * kSqrtHalf));
}
double GeluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(kSqrt2OverPi * (x + kGeluCubic * x * x * x)));
}
double GeluErfSlope(double x) {
  const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
  return 0.5 * (1 + std::erf(x * kSqrtHalf)) + x * density;
}
double GeluTanhSlope(double x) {
  const double t = std::tanh(kSqrt2OverPi * (x + kGeluCubic * x * x * x));
  const double du = kSqrt2OverPi * (1 + 3 * kGeluCubic * x * x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du;
}

// Second derivative of x * Phi(x): density(x) * (2 - x^2).
Value* GeluErfCurvature(Builder& b, Value* x) {
  Value* square = b.Mul(x, x);
  Value* density =
      b.MulScalar(b.Op("Exp", {b.MulScalar(square, -0.5)}), 1 / std::sqrt(2 * std::numbers::pi));
  return b.Mul(density, b.Sub(b.ScalarLike(x, 2), square));
}

// With t = tanh(u): (1 - t^2) * (u' + x/2 * (u'' - 2 t u'^2)).
Value* GeluTanhCurvature(Builder& b, Value* x) {
  Value* one = b.ScalarLike(x, 1);
  Value* square = b.Mul(x, x);
  Value* u = b.Mul(b.MulScalar(x, kSqrt2OverPi), b.Add(one, b.MulScalar(square, kGeluCubic)));
  Value* t = b.Op("Tanh", {u});
  Value* du = b.MulScalar(b.Add(one, b.MulScalar(square, 3 * kGeluCubic)), kSqrt2OverPi);
  Value* ddu = b.MulScalar(x, 6 * kGeluCubic * kSqrt2OverPi);
  Value* inner = b.Sub(ddu, b.MulScalar(b.Mul(t, b.Mul(du, du)), 2));
  Value* bracket = b.Add(du, b.Mul(b.MulScalar(x, 0.5), inner));
  return b.Mul(b.Sub(one, b.Mul(t, t)), bracket);
}

void RegisterGelu(ir::OpRegistry& registry) {
  const Attributes tanh = {{"approximate", Attribute(std::string("tanh"))}};
  const auto rule = [](ir::InferContext& context) {
    UsesTanh(context.node());
    ElementwiseRule(Types::kFloat)(context);
  };
  ir::OpDefinition op = Unary<Types::kFloat>(
      "Gelu", 20, "Y = X * Phi(X), Phi the normal distribution (or its approximation by tanh).",
      [](double x) { return x; });
  op.attributes = {StringAttribute("approximate", "none")};
  op.infer = rule;
  op.reference = [](const ir::ReferenceCall& call) {
    const auto f = UsesTanh(call.node) ? GeluTanh : GeluErf;
    Map<Types::kFloat, 1>(call, f);
  };
  op.gradient = CallHelper("ingot.GeluGradient", false, {"approximate"});
  op.cases = UnaryCases(-3, 3, [](V v) { return v[0] / 2 * std::erfc(-v[0] / std::sqrt(2.0)); });
  // tanh(u) = 2 sigmoid(2u) - 1, so the approximation is x * sigmoid(2u).
  Append(op.cases, UnaryCases(
                       -3, 3,
                       [](V v) {
                         const double u = std::sqrt(2 / std::numbers::pi) *
                                          (v[0] + 0.044715 * std::pow(v[0], 3));
                         return v[0] / (1 + std::exp(-2 * u));
                       },
                       tanh));
  registry.Add(std::move(op));

  ir::OpDefinition helper = GradientHelper("GeluGradient", "dX = dY * (derivative of Gelu at X).",
                                           "X", [](double dy, double) { return dy; });
  helper.attributes = {StringAttribute("approximate", "none")};
  helper.infer = rule;
  helper.reference = [](const ir::ReferenceCall& call) {
    const auto slope = UsesTanh(call.node) ? GeluTanhSlope : GeluErfSlope;
    Map<Types::kFloat, 2>(call, [slope](double dy, double x) { return dy * slope(x); });
  };
  helper.gradient = HelperGradient([](Builder& b, const ir::Node& node, Value* x) {
    return UsesTanh(node) ? GeluTanhCurvature(b, x) : GeluErfCurvature(b, x);
  });
  helper.cases = HelperCases(-3, 3, [](V v) {
    return v[0] * (0.5 * std::erfc(-v[1] / std::sqrt(2.0)) +
                   v[1] * std::exp(-v[1] * v[1] / 2) / std::sqrt(2 * std::numbers::pi));
  });
  // The derivative of x * sigmoid(w): s + x * s * (1 - s) * w'.
  Append(helper.cases, HelperCases(
                           -3, 3,
                           [](V v) {
                             const double scale = std::sqrt(8 / std::numbers::pi);
                             const double w = scale * (v[1] + 0.044715 * std::pow(v[1], 3));
                             const double slope = scale * (1 + 0.134145 * v[1] * v[1]);
                             const double s = SigmoidOf(w);
                             return v[0] * (s + v[1] * s * (1 - s) * slope);
                           },
                           tanh));
  registry.Add(std::move(helper));
}

void RegisterOthers(ir::OpRegistry& registry) {
  ir::OpDefinition softplus = Unary<Types::kFloat>(
      "Softplus", 22, "Y = log(1 + e^X), without overflow.",
      [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); });
  softplus.gradient = UnaryGradient(
      [](Builder& b, Value* dy, Value* x, Value*) { return b.Mul(dy, b.Op("Sigmoid", {x})); });
  softplus.cases = UnaryCases(-4, 4, [](V v) { return std::log(1 + std::exp(v[0])); });
  softplus.cases.push_back(ExpectedOnly("large", {Floats({2}, {1024, -1024})}, {1024, 0}));
  registry.Add(std::move(softplus));

  ir::OpDefinition softsign = Unary<Types::kFloat>("Softsign", 22, "Y = X / (1 + |X|).",
                                                   [](double x) { return x / (1 + std::fabs(x)); });
  softsign.gradient = UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) {
    Value* root = b.Add(b.Op("Abs", {x}), b.ScalarLike(x, 1));
    return b.Div(dy, b.Mul(root, root));
  });
  softsign.cases =
      AroundZero([](V v) { return std::copysign(1 - 1 / (1 + std::fabs(v[0])), v[0]); });
  registry.Add(std::move(softsign));

  ir::OpDefinition hard = Unary<Types::kFloat>(
      "HardSigmoid", 22, "Y = alpha * X + beta, cut to [0, 1].", [](double x) { return x; });
  hard.attributes = {FloatAttribute("alpha", 0.2), FloatAttribute("beta", 0.5)};
  hard.reference = [](const ir::ReferenceCall& call) {
    const double alpha = call.node.GetFloat("alpha");
    const double beta = call.node.GetFloat("beta");
    Map<Types::kFloat, 1>(call,
                          [=](double x) { return std::max(0.0, std::min(1.0, alpha * x + beta)); });
  };
  hard.gradient = [](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* y = context.output();
    Value* zero = b.ScalarLike(y, 0);
    Value* inside =
        b.Op("And", {b.Op("Greater", {y, zero}), b.Op("Less", {y, b.ScalarLike(y, 1)})});
    Value* slope = b.MulScalar(context.output_gradient(), context.node().GetFloat("alpha"));
    context.SetInputGradient(0, b.Op("Where", {inside, slope, zero}));
  };
  hard.cases = UnaryCases(-2, 2, [](V v) { return v[0] / 5 + 0.5; });
  hard.cases.push_back(ExpectedCase("cut", {Floats({4}, {-8, -1, 1, 8})}, {0, 0, 1, 1},
                                    {{"alpha", Attribute(2.0)}, {"beta", Attribute(0.25)}}));
  registry.Add(std::move(hard));
}

}  // namespace

void RegisterActivations(ir::OpRegistry& registry) {
  RegisterRelu(registry);
  RegisterLeakyRelu(registry);
  RegisterElu(registry);
  RegisterSigmoid(registry);
  RegisterTanh(registry);
  RegisterGelu(registry);
  RegisterOthers(registry);
}

}  // namespace ingot::ops
