// Comparisons, logic, selection: Equal, Greater, Less, GreaterOrEqual, LessOrEqual, Not, And, Or,
// Xor, Where, IsNaN, IsInf. All but Where give bool and have no gradient.
#include <cmath>

#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Builder;
using ir::GradientContext;
using ir::Value;

const std::vector<double> kLeft = {1, 2, 3, -1, 0, 5};
const std::vector<double> kRight = {2, 2, 1};

// The op on kLeft [2, 3] and kRight [3] in floats and integers, and on empty and scalar inputs.
std::vector<OpCase> ComparisonCases(const std::vector<double>& expected, double scalar_expected) {
  const auto ints = [](const std::vector<double>& v) {
    return std::vector<int64_t>(v.begin(), v.end());
  };
  return {
      ExpectedOnly("broadcast", {Floats({2, 3}, kLeft), Floats({3}, kRight)}, expected),
      ExpectedOnly("i64", {Integers({2, 3}, ints(kLeft)), Integers({3}, ints(kRight))}, expected),
      ExpectedOnly(
          "i8",
          {Integers({2, 3}, ints(kLeft), DType::kI8), Integers({1, 3}, ints(kRight), DType::kI8)},
          expected),
      ExpectedOnly("scalars", {Floats({}, {0.5}), Floats({}, {0.25})}, {scalar_expected}),
      ExpectedOnly("empty", {Floats({0}, {}), Floats({1}, {1})}, {})};
}

template <Types kTypes, typename F>
void AddComparison(ir::OpRegistry& registry, const char* name, int since, const char* summary, F f,
                   std::vector<OpCase> cases) {
  ir::OpDefinition op = Comparison<kTypes>(name, since, summary, f);
  op.cases = std::move(cases);
  registry.Add(std::move(op));
}

void RegisterComparisons(ir::OpRegistry& registry) {
  std::vector<OpCase> equal = ComparisonCases({0, 1, 0, 0, 0, 0}, 0);
  equal.push_back(ExpectedOnly(
      "bool",
      {Integers({4}, {0, 0, 1, 1}, DType::kBool), Integers({4}, {0, 1, 0, 1}, DType::kBool)},
      {1, 0, 0, 1}));
  ir::OpDefinition equal_op =
      Comparison<Types::kAll>("Equal", 19, "C = A == B, broadcast; NaN equals nothing.",
                              [](auto a, auto b) { return a == b; });
  equal_op.cases = std::move(equal);
  // Of strings too.
  equal_op.infer = [numbers = equal_op.infer](ir::InferContext& context) {
    if (context.input(0).dtype() != DType::kString) return numbers(context);
    context.SetOutput(0, BroadcastInputs(context).WithDType(DType::kBool));
  };
  equal_op.reference = [numbers = equal_op.reference](const ir::ReferenceCall& call) {
    if (call.input(0).dtype != DType::kString) return numbers(call);
    auto at = BroadcastIndex<2>(call.output().dims, {call.input(0).dims, call.input(1).dims});
    for (int64_t i = 0; i < call.output().size(); ++i, at.Next()) {
      call.output().as<bool>()[i] =
          call.input(0).as<StringRef>()[at[0]] == call.input(1).as<StringRef>()[at[1]];
    }
  };
  registry.Add(std::move(equal_op));
  AddComparison<Types::kNumeric>(
      registry, "Greater", 13, "C = A > B, broadcast.", [](auto a, auto b) { return a > b; },
      ComparisonCases({0, 0, 1, 0, 0, 1}, 1));
  AddComparison<Types::kNumeric>(
      registry, "Less", 13, "C = A < B, broadcast.", [](auto a, auto b) { return a < b; },
      ComparisonCases({1, 0, 0, 1, 1, 0}, 0));
  AddComparison<Types::kNumeric>(
      registry, "GreaterOrEqual", 16, "C = A >= B, broadcast.",
      [](auto a, auto b) { return a >= b; }, ComparisonCases({0, 1, 1, 0, 0, 1}, 1));
  AddComparison<Types::kNumeric>(
      registry, "LessOrEqual", 16, "C = A <= B, broadcast.", [](auto a, auto b) { return a <= b; },
      ComparisonCases({1, 1, 0, 1, 1, 0}, 0));
}

void RegisterLogic(ir::OpRegistry& registry) {
  const auto cases = [](std::vector<double> expected) {
    return std::vector<OpCase>{ExpectedOnly(
        "table", {Integers({2, 1}, {0, 1}, DType::kBool), Integers({2}, {0, 1}, DType::kBool)},
        std::move(expected))};
  };
  AddComparison<Types::kBool>(
      registry, "And", 7, "C = A and B, broadcast.", [](bool a, bool b) { return a && b; },
      cases({0, 0, 0, 1}));
  AddComparison<Types::kBool>(
      registry, "Or", 7, "C = A or B, broadcast.", [](bool a, bool b) { return a || b; },
      cases({0, 1, 1, 1}));
  AddComparison<Types::kBool>(
      registry, "Xor", 7, "C = A or B, not both, broadcast.", [](bool a, bool b) { return a != b; },
      cases({0, 1, 1, 0}));
  ir::OpDefinition negation =
      Unary<Types::kBool>("Not", 1, "Y = not X.", [](bool x) { return !x; });
  negation.cases = {ExpectedOnly("both", {Integers({2}, {0, 1}, DType::kBool)}, {1, 0})};
  registry.Add(std::move(negation));
}

// X -> bool, of floats.
template <typename F>
ir::OpDefinition Predicate(const char* name, const char* summary, F f) {
  ir::OpDefinition op =
      Comparison<Types::kFloat>(name, 20, summary, [](auto, auto) { return false; });
  op.inputs = {Required("X")};
  op.outputs = {Required("Y", "B")};
  op.reference = [f](const ir::ReferenceCall& call) {
    MapToBool<Types::kFloat, 1>(call, [&](double x) { return f(call.node, x); });
  };
  return op;
}

void RegisterPredicates(ir::OpRegistry& registry) {
  const std::vector<double> values = {1, INFINITY, -INFINITY, NAN, 0};
  ir::OpDefinition nan = Predicate("IsNaN", "Y = whether X is not a number.",
                                   [](const ir::Node&, double x) { return x != x; });
  nan.cases = {ExpectedOnly("all_kinds", {Floats({5}, values)}, {0, 0, 0, 1, 0})};
  registry.Add(std::move(nan));

  ir::OpDefinition inf =
      Predicate("IsInf", "Y = whether X is infinite, of the signs asked for.",
                [](const ir::Node& node, double x) {
                  return (x == INFINITY && node.GetInt("detect_positive") != 0) ||
                         (x == -INFINITY && node.GetInt("detect_negative") != 0);
                });
  inf.attributes = {IntAttribute("detect_negative", 1), IntAttribute("detect_positive", 1)};
  inf.cases = {ExpectedOnly("both_signs", {Floats({5}, values)}, {0, 1, 1, 0, 0}),
               ExpectedOnly("negative", {Floats({5}, values)}, {0, 0, 1, 0, 0},
                            {{"detect_positive", ir::Attribute(int64_t{0})}}),
               ExpectedOnly("positive", {Floats({5}, values)}, {0, 1, 0, 0, 0},
                            {{"detect_negative", ir::Attribute(int64_t{0})}})};
  registry.Add(std::move(inf));
}

// ---- Where ----

void WhereReference(const ir::ReferenceCall& call) {
  DispatchAll("Where", call.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool* condition = call.input(0).as<bool>();
    const T* x = call.input(1).as<T>();
    const T* y = call.input(2).as<T>();
    T* out = call.output().as<T>();
    auto index = BroadcastIndex<3>(call.output().dims,
                                   {call.input(0).dims, call.input(1).dims, call.input(2).dims});
    for (int64_t i = 0; i < call.output().size(); ++i, index.Next()) {
      out[i] = condition[index[0]] ? x[index[1]] : y[index[2]];
    }
  });
}

void WhereGradient(GradientContext& context) {
  Builder& b = context.builder();
  Value* dy = context.output_gradient();
  Value* zero = b.ScalarLike(dy, 0);
  Value* condition = context.input(0);
  if (context.wants(1)) {
    Value* dx = b.Op("Where", {condition, dy, zero});
    context.SetInputGradient(1, b.SumToLike(dx, context.input(1)));
  }
  if (context.wants(2)) {
    Value* other = b.Op("Where", {condition, zero, dy});
    context.SetInputGradient(2, b.SumToLike(other, context.input(2)));
  }
}

void RegisterWhere(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Where";
  op.since_version = 16;
  op.summary = "output = X where condition, else Y, broadcast.";
  op.inputs = {Required("condition", "B"), Required("X"), Required("Y")};
  op.outputs = {Required("output")};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kBool);
    RequireType(context, 1, Types::kAll);
    const ir::Type type = BroadcastInputs(context);
    context.SetOutput(0, type.WithDType(context.input(1).dtype()));
  };
  op.reference = WhereReference;
  op.gradient = WhereGradient;
  op.elementwise = true;
  const auto choose = [](std::span<const double> v) { return v[0] != 0 ? v[1] : v[2]; };
  const auto formula_case = [&](const char* name, OpCase::Input condition, Shape x, Shape y) {
    OpCase test;
    test.name = name;
    test.inputs = {std::move(condition), Uniform(std::move(x)), Uniform(std::move(y))};
    test.formula = choose;
    return test;
  };
  const auto bools = [](Shape shape, const std::vector<int64_t>& values) {
    return Integers(std::move(shape), values, DType::kBool);
  };
  op.cases = {
      formula_case("same_shape", bools({2, 3}, {1, 0, 1, 0, 0, 1}), {2, 3}, {2, 3}),
      formula_case("all_broadcast", bools({2, 1}, {1, 0}), {3}, {4, 1, 1}),
      formula_case("scalar_branches", bools({5}, {1, 0, 0, 1, 0}), {}, {}),
      formula_case("scalar_condition", bools({}, {1}), {3, 1}, {2}),
      ExpectedOnly("i32",
                   {bools({3}, {1, 0, 1}), Integers({3}, {1, 2, 3}, DType::kI32),
                    Integers({1}, {9}, DType::kI32)},
                   {1, 9, 3}),
      ExpectedOnly("bool", {bools({2}, {1, 0}), bools({2}, {0, 0}), bools({2}, {1, 1})}, {0, 1})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterComparison(ir::OpRegistry& registry) {
  RegisterComparisons(registry);
  RegisterLogic(registry);
  RegisterPredicates(registry);
  RegisterWhere(registry);
}

}  // namespace ingot::ops
