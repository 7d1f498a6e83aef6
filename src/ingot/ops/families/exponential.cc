// Exponentials, roots, trigonometry and rounding: float functions of one input.
#include <cmath>
#include <numbers>

#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Builder;
using ir::Value;
using V = std::span<const double>;

// Half to even whatever the thread's rounding mode is, as ONNX's Round asks.
double RoundHalfToEven(double x) {
  const double floor = std::floor(x);
  const double rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  if (rest == 0.5) return std::fmod(floor, 2) == 0 ? floor : floor + 1;
  return x;  // NaN and infinity
}

template <typename F>
void Add(ir::OpRegistry& registry, const char* name, int since, const char* summary, F f,
         GradientRule gradient, std::vector<OpCase> cases) {
  ir::OpDefinition op = Unary<Types::kFloat>(name, since, summary, f);
  op.gradient = std::move(gradient);
  op.cases = std::move(cases);
  registry.Add(std::move(op));
}

void RegisterPowers(ir::OpRegistry& registry) {
  Add(
      registry, "Exp", 13, "Y = e^X.", [](double x) { return std::exp(x); },
      UnaryGradient([](Builder& b, Value* dy, Value*, Value* y) { return b.Mul(dy, y); }),
      UnaryCases(-2, 2, [](V v) { return std::pow(std::numbers::e, v[0]); }));
  Add(
      registry, "Log", 13, "Y = natural logarithm of X.", [](double x) { return std::log(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) { return b.Div(dy, x); }),
      UnaryCases(0.25, 4, [](V v) { return std::log2(v[0]) * std::numbers::ln2; }));
  Add(
      registry, "Sqrt", 13, "Y = square root of X.", [](double x) { return std::sqrt(x); },
      UnaryGradient(
          [](Builder& b, Value* dy, Value*, Value* y) { return b.Div(dy, b.MulScalar(y, 2)); }),
      UnaryCases(0.25, 4, [](V v) { return std::pow(v[0], 0.5); }));
  Add(
      registry, "Erf", 13, "Y = error function of X.", [](double x) { return std::erf(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) {
        const double scale = 2 / std::sqrt(std::numbers::pi);
        return b.Mul(dy, b.MulScalar(b.Op("Exp", {b.Neg(b.Mul(x, x))}), scale));
      }),
      UnaryCases(-2, 2, [](V v) { return 1 - std::erfc(v[0]); }));
}

// dy / sqrt(1 + sign * x^2).
Value* OverRoot(Builder& b, Value* dy, Value* x, double sign) {
  Value* square = b.MulScalar(b.Mul(x, x), sign);
  return b.Div(dy, b.Op("Sqrt", {b.Add(square, b.ScalarLike(x, 1))}));
}

void RegisterTrigonometry(ir::OpRegistry& registry) {
  Add(
      registry, "Sin", 7, "Y = sine of X (radians).", [](double x) { return std::sin(x); },
      UnaryGradient(
          [](Builder& b, Value* dy, Value* x, Value*) { return b.Mul(dy, b.Op("Cos", {x})); }),
      UnaryCases(-3, 3, [](V v) { return 2 * std::sin(v[0] / 2) * std::cos(v[0] / 2); }));
  Add(
      registry, "Cos", 7, "Y = cosine of X (radians).", [](double x) { return std::cos(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) {
        return b.Neg(b.Mul(dy, b.Op("Sin", {x})));
      }),
      UnaryCases(-3, 3, [](V v) { return 1 - 2 * std::pow(std::sin(v[0] / 2), 2); }));
  Add(
      registry, "Tan", 7, "Y = tangent of X (radians).", [](double x) { return std::tan(x); },
      UnaryGradient([](Builder& b, Value* dy, Value*, Value* y) {
        return b.Mul(dy, b.Add(b.Mul(y, y), b.ScalarLike(y, 1)));
      }),
      UnaryCases(-1, 1, [](V v) { return std::sin(v[0]) / std::cos(v[0]); }));
  Add(
      registry, "Asin", 7, "Y = arc sine of X.", [](double x) { return std::asin(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) { return OverRoot(b, dy, x, -1); }),
      UnaryCases(-0.75, 0.75,
                 [](V v) { return std::atan2(v[0], std::sqrt((1 - v[0]) * (1 + v[0]))); }));
  Add(
      registry, "Acos", 7, "Y = arc cosine of X.", [](double x) { return std::acos(x); },
      UnaryGradient(
          [](Builder& b, Value* dy, Value* x, Value*) { return b.Neg(OverRoot(b, dy, x, -1)); }),
      UnaryCases(-0.75, 0.75,
                 [](V v) { return std::atan2(std::sqrt((1 - v[0]) * (1 + v[0])), v[0]); }));
  Add(
      registry, "Atan", 7, "Y = arc tangent of X.", [](double x) { return std::atan(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) {
        return b.Div(dy, b.Add(b.Mul(x, x), b.ScalarLike(x, 1)));
      }),
      UnaryCases(-2, 2, [](V v) { return std::asin(v[0] / std::sqrt(1 + v[0] * v[0])); }));
  Add(
      registry, "Sinh", 9, "Y = hyperbolic sine of X.", [](double x) { return std::sinh(x); },
      UnaryGradient(
          [](Builder& b, Value* dy, Value* x, Value*) { return b.Mul(dy, b.Op("Cosh", {x})); }),
      UnaryCases(-2, 2, [](V v) { return (std::exp(v[0]) - std::exp(-v[0])) / 2; }));
  Add(
      registry, "Cosh", 9, "Y = hyperbolic cosine of X.", [](double x) { return std::cosh(x); },
      UnaryGradient(
          [](Builder& b, Value* dy, Value* x, Value*) { return b.Mul(dy, b.Op("Sinh", {x})); }),
      UnaryCases(-2, 2, [](V v) { return (std::exp(v[0]) + std::exp(-v[0])) / 2; }));
  Add(
      registry, "Asinh", 9, "Y = inverse hyperbolic sine of X.",
      [](double x) { return std::asinh(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) { return OverRoot(b, dy, x, 1); }),
      UnaryCases(0.25, 3, [](V v) { return std::log(v[0] + std::sqrt(v[0] * v[0] + 1)); }));
  Add(
      registry, "Acosh", 9, "Y = inverse hyperbolic cosine of X.",
      [](double x) { return std::acosh(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) {
        return b.Div(dy, b.Op("Sqrt", {b.Sub(b.Mul(x, x), b.ScalarLike(x, 1))}));
      }),
      UnaryCases(1.5, 4, [](V v) { return std::log(v[0] + std::sqrt(v[0] * v[0] - 1)); }));
  Add(
      registry, "Atanh", 9, "Y = inverse hyperbolic tangent of X.",
      [](double x) { return std::atanh(x); },
      UnaryGradient([](Builder& b, Value* dy, Value* x, Value*) {
        return b.Div(dy, b.Sub(b.ScalarLike(x, 1), b.Mul(x, x)));
      }),
      UnaryCases(-0.75, 0.75, [](V v) { return std::log((1 + v[0]) / (1 - v[0])) / 2; }));
}

void RegisterRounding(ir::OpRegistry& registry) {
  // `halves` are the results for halves, where the slope does not exist; `between` for what lies
  // between.
  const auto add = [&](const char* name, int since, const char* summary, auto f,
                       std::vector<double> halves, std::vector<double> between) {
    Add(registry, name, since, summary, f, ZeroGradient(),
        {ExpectedOnly("halves", {Floats({8}, {-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 3})},
                      std::move(halves)),
         ExpectedCase("between", {Floats({2, 2}, {-2.75, -0.25, 0.25, 1.75})},
                      std::move(between))});
  };
  add("Floor", 13, "Y = the largest integer that is not above X.",
      [](double x) { return std::floor(x); }, {-3, -2, -1, 0, 0, 1, 2, 3}, {-3, -1, 0, 1});
  add("Ceil", 13, "Y = the smallest integer that is not below X.",
      [](double x) { return std::ceil(x); }, {-2, -1, 0, 0, 1, 2, 3, 3}, {-2, 0, 1, 2});
  add("Round", 22, "Y = the nearest integer, halves to the even one.", RoundHalfToEven,
      {-2, -2, 0, 0, 0, 2, 2, 3}, {-3, 0, 0, 2});
}

}  // namespace

void RegisterExponential(ir::OpRegistry& registry) {
  RegisterPowers(registry);
  RegisterTrigonometry(registry);
  RegisterRounding(registry);
}

}  // namespace ingot::ops
