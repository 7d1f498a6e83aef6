// Reductions: ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceSumSquare, ReduceL1,
// ReduceL2, ReduceLogSum, ReduceLogSumExp.
//
// `axes` is an optional i64 input; absent or empty means all axes, or none where
// noop_with_empty_axes is set (each element is then a reduction of its own). Floats accumulate in
// double in index order; integers in 64 bits, wrapping around. Over nothing: a sum is 0, a product
// 1, a mean NaN (0 for integers), a maximum the lowest value of the type, a minimum the highest.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "ingot/ops/elementwise.h"
#include "ingot/ops/reduction.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::GradientContext;
using ir::Value;

// ---- what is accumulated: A is double for floats, i64 or u64 for integers ----

struct SumReducer {
  template <typename A>
  static A First() {
    return 0;
  }
  template <typename A>
  static A Add(A sum, A x) {
    return WrapAdd(sum, x);
  }
  template <typename A>
  static A Last(A sum, int64_t) {
    return sum;
  }
};

struct MeanReducer : SumReducer {
  template <typename A>
  static A Last(A sum, int64_t count) {
    if constexpr (std::is_integral_v<A>) {
      return count == 0 ? 0 : static_cast<A>(sum / static_cast<A>(count));
    } else {
      return sum / static_cast<double>(count);
    }
  }
};

struct ProductReducer : SumReducer {
  template <typename A>
  static A First() {
    return 1;
  }
  template <typename A>
  static A Add(A product, A x) {
    return WrapMul(product, x);
  }
};

struct SumSquareReducer : SumReducer {
  template <typename A>
  static A Add(A sum, A x) {
    return WrapAdd(sum, WrapMul(x, x));
  }
};

struct L1Reducer : SumReducer {
  template <typename A>
  static A Add(A sum, A x) {
    return WrapAdd(sum, x < A(0) ? WrapSub(A(0), x) : x);
  }
};

struct L2Reducer : SumSquareReducer {
  template <typename A>
  static A Last(A sum, int64_t) {
    return static_cast<A>(std::sqrt(static_cast<double>(sum)));
  }
};

struct LogSumReducer : SumReducer {
  template <typename A>
  static A Last(A sum, int64_t) {
    return static_cast<A>(std::log(static_cast<double>(sum)));
  }
};

template <typename A>
constexpr A Lowest() {
  if constexpr (std::is_integral_v<A>)
    return std::numeric_limits<A>::min();
  else
    return -std::numeric_limits<A>::infinity();
}

template <typename A>
constexpr A Highest() {
  if constexpr (std::is_integral_v<A>)
    return std::numeric_limits<A>::max();
  else
    return std::numeric_limits<A>::infinity();
}

struct MaxReducer : SumReducer {
  template <typename A>
  static A First() {
    return Lowest<A>();
  }
  template <typename A>
  static A Add(A best, A x) {
    return x > best || x != x ? x : best;
  }
};

struct MinReducer : SumReducer {
  template <typename A>
  static A First() {
    return Highest<A>();
  }
  template <typename A>
  static A Add(A best, A x) {
    return x < best || x != x ? x : best;
  }
};

// Of an integer type narrower than A, the extreme of nothing is that type's own.
template <typename T, typename A>
T Narrow(A value) {
  if constexpr (std::is_integral_v<T>) {
    if (value == std::numeric_limits<A>::min()) return std::numeric_limits<T>::min();
    if (value == std::numeric_limits<A>::max()) return std::numeric_limits<T>::max();
  }
  return static_cast<T>(value);
}

template <typename A, typename T>
A Widen(T x) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<A>(x);
  else
    return static_cast<double>(x);
}

template <typename T>
using Accumulator = std::conditional_t<!std::is_integral_v<T>, double,
                                       std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

// Any (or all) of the bools: their largest (or smallest).
template <typename Reducer>
void ReduceBools(const ir::ReferenceCall& call, const ReductionPlan& plan) {
  constexpr bool kAny = std::is_same_v<Reducer, MaxReducer>;
  bool* out = call.output().as<bool>();
  std::fill(out, out + plan.output_size(), !kAny);
  auto index = plan.Walk();
  for (int64_t i = 0; i < plan.input_size(); ++i, index.Next()) {
    if (call.input(0).as<bool>()[i] == kAny) out[index[0]] = kAny;
  }
}

template <typename Reducer>
void Reduce(const ir::ReferenceCall& call) {
  const ReductionPlan plan(call);
  if constexpr (std::is_same_v<Reducer, MaxReducer> || std::is_same_v<Reducer, MinReducer>) {
    if (call.input(0).dtype == DType::kBool) return ReduceBools<Reducer>(call, plan);
  }
  DispatchNumeric(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    const T* in = call.input(0).as<T>();
    T* out = call.output().as<T>();
    std::vector<A> results(static_cast<size_t>(plan.output_size()), Reducer::template First<A>());
    auto index = plan.Walk();
    for (int64_t i = 0; i < plan.input_size(); ++i, index.Next()) {
      A& result = results[static_cast<size_t>(index[0])];
      result = Reducer::template Add<A>(result, Widen<A>(in[i]));
    }
    constexpr bool kExtremum =
        std::is_same_v<Reducer, MaxReducer> || std::is_same_v<Reducer, MinReducer>;
    for (size_t i = 0; i < results.size(); ++i) {
      const A last = Reducer::template Last<A>(results[i], plan.count());
      if constexpr (kExtremum) {
        out[i] = Narrow<T, A>(last);
      } else {
        out[i] = static_cast<T>(last);
      }
    }
  });
}

// log(sum(e^x)) = m + log(sum(e^(x - m))) with m the maximum, so that nothing overflows.
void ReduceLogSumExp(const ir::ReferenceCall& call) {
  const ReductionPlan plan(call);
  DispatchNumeric(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* in = call.input(0).as<T>();
    T* out = call.output().as<T>();
    const auto outputs = static_cast<size_t>(plan.output_size());
    std::vector<double> largest(outputs, -std::numeric_limits<double>::infinity());
    std::vector<double> sums(outputs, 0);
    auto index = plan.Walk();
    for (int64_t i = 0; i < plan.input_size(); ++i, index.Next()) {
      double& best = largest[static_cast<size_t>(index[0])];
      best = MaxReducer::Add<double>(best, static_cast<double>(in[i]));
    }
    auto again = plan.Walk();
    for (int64_t i = 0; i < plan.input_size(); ++i, again.Next()) {
      const auto k = static_cast<size_t>(again[0]);
      if (!std::isinf(largest[k])) sums[k] += std::exp(static_cast<double>(in[i]) - largest[k]);
    }
    for (size_t k = 0; k < outputs; ++k) {
      out[k] = static_cast<T>(std::isinf(largest[k]) ? largest[k] : largest[k] + std::log(sums[k]));
    }
  });
}

// ---- gradients ----

// The result of a reduction, or its gradient, with the reduced axes kept as 1, so that it
// broadcasts against the input.
Value* KeepAxes(GradientContext& context, Value* value) {
  const ir::Node& node = context.node();
  if (node.GetInt("keepdims") != 0 || node.input(1) == nullptr) return value;
  const ir::Type& axes = node.input(1)->type();
  const bool empty = axes.is_static() && axes.shape().size() == 0;
  if (empty) return value;  // all axes: a scalar; none: the shape of the input
  return context.builder().Op("Unsqueeze", {value, node.input(1)});
}

// x reduced by `op` over the node's axes, which are kept as 1.
Value* ReduceAgain(GradientContext& context, const char* op, Value* x) {
  const ir::Node& node = context.node();
  std::vector<Value*> inputs = {x};
  if (node.input(1) != nullptr) inputs.push_back(node.input(1));
  return context.builder().Op(
      op, std::move(inputs),
      {{"keepdims", Attribute(int64_t{1})},
       {"noop_with_empty_axes", Attribute(node.GetInt("noop_with_empty_axes"))}});
}

// d(x) = formula(builder, dy, x, y), dy and y with their reduced axes kept; expanded to x's shape.
GradientRule ReductionGradient(
    std::function<Value*(GradientContext&, Builder&, Value* dy, Value* x, Value* y)> formula) {
  return [formula = std::move(formula)](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* dy = KeepAxes(context, context.output_gradient());
    Value* y = KeepAxes(context, context.output());
    Value* dx = formula(context, b, dy, context.input(0), y);
    context.SetInputGradient(0, b.ExpandLike(dx, context.input(0)));
  };
}

Value* Cast(Builder& b, Value* x, DType dtype) {
  return b.Op("Cast", {x}, {{"to", Attribute(static_cast<int64_t>(dtype))}});
}

// The number of elements that go into one of the output, if it is known; 0 where it is not.
int64_t ReducedCount(const ir::Node& node) {
  const ir::Type& type = node.input(0)->type();
  const Tensor* axes = ConstantValue(node.input(1));
  if (!type.has_rank() || (node.input(1) != nullptr && axes == nullptr)) return 0;
  const std::vector<bool> reduced =
      ReducedAxes(axes == nullptr ? std::vector<int64_t>() : axes->ToInts(), type.rank(),
                  node.GetInt("noop_with_empty_axes") != 0);
  int64_t count = 1;
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (reduced[i]) count *= std::max<int64_t>(type.dims()[i].value(), 0);
  }
  return count;
}

Value* MeanGradient(GradientContext& context, Builder& b, Value* dy, Value* x, Value*) {
  const int64_t count = ReducedCount(context.node());
  if (count > 0) return b.MulScalar(dy, 1 / static_cast<double>(count));
  // Not known before run time: count them then.
  Value* ones = b.ExpandLike(b.ScalarLike(x, 1), x);
  return b.Div(dy, ReduceAgain(context, "ReduceSum", ones));
}

// Equal extremes share the gradient evenly, so that it does not depend on their order.
Value* ExtremumGradient(GradientContext& context, Builder& b, Value* dy, Value* x, Value* y) {
  Value* mask = Cast(b, b.Op("Equal", {x, y}), x->type().dtype());
  return b.Mul(mask, b.Div(dy, ReduceAgain(context, "ReduceSum", mask)));
}

// The product of the others: y / x where no element is 0; where exactly one is, only that one has a
// gradient, the product of the rest.
Value* ProductGradient(GradientContext& context, Builder& b, Value* dy, Value* x, Value* y) {
  Value* zero = b.ScalarLike(x, 0);
  Value* one = b.ScalarLike(x, 1);
  Value* is_zero = b.Op("Equal", {x, zero});
  Value* zeros = ReduceAgain(context, "ReduceSum", Cast(b, is_zero, x->type().dtype()));
  Value* safe = b.Op("Where", {is_zero, one, x});
  Value* rest = ReduceAgain(context, "ReduceProd", safe);
  Value* lone = b.Op("And", {is_zero, b.Op("Equal", {zeros, one})});
  Value* others = b.Op("Where", {lone, rest, b.Div(y, safe)});
  return b.Mul(dy, others);
}

// ---- definitions ----

Attributes Keep(int64_t keepdims) {
  return {{"keepdims", Attribute(keepdims)}};
}

// Inputs of [2, 3, 2] and the results of `f` over the axis sets that every reduction is tested on.
template <typename F>
std::vector<OpCase> ReductionCases(const std::vector<double>& x, F f) {
  const auto at = [&](int i, int j, int k) { return x[static_cast<size_t>(i * 6 + j * 2 + k)]; };
  std::vector<double> outer;
  std::vector<double> middle;
  std::vector<double> ends;
  for (int j = 0; j < 3; ++j) {
    ends.push_back(f({at(0, j, 0), at(0, j, 1), at(1, j, 0), at(1, j, 1)}));
    for (int k = 0; k < 2; ++k) outer.push_back(f({at(0, j, k), at(1, j, k)}));
  }
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; k < 2; ++k) middle.push_back(f({at(i, 0, k), at(i, 1, k), at(i, 2, k)}));
  }
  std::vector<double> each;
  for (const double value : x) each.push_back(f({value}));
  const OpCase::Input input = Floats({2, 3, 2}, x);
  Attributes noop = Keep(0);
  noop["noop_with_empty_axes"] = Attribute(int64_t{1});
  return {ExpectedCase("all", {input}, {f(x)}),
          ExpectedCase("all_to_scalar", {input}, {f(x)}, Keep(0)),
          ExpectedCase("outer_axis", {input, ConstantInts({0})}, outer, Keep(0)),
          ExpectedCase("negative_axis", {input, ConstantInts({-2})}, middle, Keep(1)),
          ExpectedCase("two_axes", {input, ConstantInts({2, 0})}, ends, Keep(0)),
          ExpectedCase("axes_at_run_time", {input, Integers({1}, {1})}, middle, Keep(0)),
          ExpectedCase("empty_axes", {input, ConstantInts({})}, {f(x)}, Keep(0)),
          ExpectedCase("no_axes", {input, ConstantInts({})}, each, noop),
          ExpectedCase("scalar", {Floats({}, {x[0]})}, {f({x[0]})})};
}

const std::vector<double> kMixed = {1, -2, 3, 0.5, -1.5, 2.5, 4, -3, 1.25, -0.75, 2, -5};
const std::vector<double> kPositive = {1, 2, 3, 0.5, 1.5, 2.5, 4, 3.5, 1.25, 0.75, 2.25, 5};

using Values = std::vector<double>;

double SumOf(const Values& v) {
  return std::accumulate(v.begin(), v.end(), 0.0);
}

double SquaresOf(const Values& v) {
  return std::inner_product(v.begin(), v.end(), v.begin(), 0.0);
}

double ExponentialsOf(const Values& v) {
  double sum = 0;
  for (const double x : v) sum += std::exp(x);
  return sum;
}

ir::OpDefinition Reduction(std::string name, int since, std::string summary,
                           std::function<void(const ir::ReferenceCall&)> reference,
                           GradientRule gradient, std::vector<OpCase> cases) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  op.inputs = {Required("data"), Optional("axes", "tint64")};
  op.outputs = {Required("reduced")};
  op.attributes = {IntAttribute("keepdims", 1), IntAttribute("noop_with_empty_axes", 0)};
  op.reference = std::move(reference);
  op.gradient = std::move(gradient);
  op.cases = std::move(cases);
  SetShapeRule(op, ReductionTypes);
  return op;
}

void RegisterSums(ir::OpRegistry& registry) {
  ir::OpDefinition sum = Reduction(
      "ReduceSum", 13, "The sum over the axes.", Reduce<SumReducer>,
      ReductionGradient([](GradientContext&, Builder&, Value* dy, Value*, Value*) { return dy; }),
      ReductionCases(kMixed, SumOf));
  sum.cases.push_back(ExpectedOnly(
      "i32", {Integers({2, 2}, {1, -2, 3, 5}, DType::kI32), ConstantInts({0})}, {4, 3}, Keep(0)));
  sum.cases.push_back(ExpectedOnly("u8_wraps", {Integers({3}, {200, 100, 1}, DType::kU8)}, {45}));
  sum.cases.push_back(ExpectedCase("of_nothing", {Floats({2, 0}, {}), ConstantInts({1})}, {0, 0}));
  registry.Add(std::move(sum));

  ir::OpDefinition mean =
      Reduction("ReduceMean", 18, "The mean over the axes.", Reduce<MeanReducer>,
                ReductionGradient(MeanGradient), ReductionCases(kMixed, [](const Values& v) {
                  return SumOf(v) / static_cast<double>(v.size());
                }));
  mean.cases.push_back(
      ExpectedOnly("i64", {Integers({2, 2}, {1, -2, 4, -5}), ConstantInts({0})}, {2, -3}, Keep(0)));
  registry.Add(std::move(mean));

  ir::OpDefinition product =
      Reduction("ReduceProd", 18, "The product over the axes.", Reduce<ProductReducer>,
                ReductionGradient(ProductGradient), ReductionCases(kPositive, [](const Values& v) {
                  return std::accumulate(v.begin(), v.end(), 1.0, std::multiplies<>());
                }));
  product.cases.push_back(ExpectedCase(
      "zeros", {Floats({3, 3}, {2, 0, 3, 0, 0, 5, -1, 2, 4}), ConstantInts({1})}, {0, 0, -8}));
  product.cases.push_back(ExpectedOnly("i32", {Integers({3}, {-2, 3, 4}, DType::kI32)}, {-24}));
  registry.Add(std::move(product));
}

void RegisterNorms(ir::OpRegistry& registry) {
  registry.Add(Reduction("ReduceSumSquare", 18, "The sum of squares over the axes.",
                         Reduce<SumSquareReducer>,
                         ReductionGradient([](GradientContext&, Builder& b, Value* dy, Value* x,
                                              Value*) { return b.Mul(dy, b.MulScalar(x, 2)); }),
                         ReductionCases(kMixed, SquaresOf)));
  registry.Add(Reduction("ReduceL1", 18, "The sum of absolute values over the axes.",
                         Reduce<L1Reducer>,
                         ReductionGradient([](GradientContext&, Builder& b, Value* dy, Value* x,
                                              Value*) { return b.Mul(dy, b.Op("Sign", {x})); }),
                         ReductionCases(kMixed, [](const Values& v) {
                           double sum = 0;
                           for (const double x : v) sum += std::fabs(x);
                           return sum;
                         })));
  registry.Add(
      Reduction("ReduceL2", 18, "The Euclidean norm over the axes; its gradient at 0 is 0.",
                Reduce<L2Reducer>,
                ReductionGradient([](GradientContext&, Builder& b, Value* dy, Value* x, Value* y) {
                  Value* is_zero = b.Op("Equal", {y, b.ScalarLike(y, 0)});
                  return b.Mul(x, b.Div(dy, b.Op("Where", {is_zero, b.ScalarLike(y, 1), y})));
                }),
                ReductionCases(kMixed, [](const Values& v) { return std::sqrt(SquaresOf(v)); })));
}

void RegisterLogarithms(ir::OpRegistry& registry) {
  registry.Add(Reduction(
      "ReduceLogSum", 18, "The logarithm of the sum over the axes.", Reduce<LogSumReducer>,
      ReductionGradient([](GradientContext& context, Builder& b, Value* dy, Value* x, Value*) {
        return b.Div(dy, ReduceAgain(context, "ReduceSum", x));
      }),
      ReductionCases(kPositive, [](const Values& v) { return std::log(SumOf(v)); })));
  ir::OpDefinition log_sum_exp = Reduction(
      "ReduceLogSumExp", 18, "log(sum(e^x)) over the axes, without overflow.", ReduceLogSumExp,
      ReductionGradient([](GradientContext&, Builder& b, Value* dy, Value* x, Value* y) {
        return b.Mul(dy, b.Op("Exp", {b.Sub(x, y)}));
      }),
      ReductionCases(kMixed, [](const Values& v) { return std::log(ExponentialsOf(v)); }));
  log_sum_exp.cases.push_back(
      ExpectedCase("large", {Floats({2}, {1024, 1024})}, {1024 + std::log(2.0)}));
  registry.Add(std::move(log_sum_exp));
}

void RegisterExtrema(ir::OpRegistry& registry) {
  ir::OpDefinition max = Reduction(
      "ReduceMax", 20, "The largest over the axes; NaN wins. Equal ones share the gradient.",
      Reduce<MaxReducer>, ReductionGradient(ExtremumGradient),
      ReductionCases(kMixed,
                     [](const Values& v) { return *std::max_element(v.begin(), v.end()); }));
  max.cases.push_back(ExpectedOnly("i8", {Integers({3}, {-7, -3, -9}, DType::kI8)}, {-3}));
  max.cases.push_back(
      ExpectedOnly("i8_of_nothing", {Integers({1, 0}, {}, DType::kI8), ConstantInts({1})}, {-128}));
  registry.Add(std::move(max));

  ir::OpDefinition min = Reduction(
      "ReduceMin", 20, "The smallest over the axes; NaN wins. Equal ones share the gradient.",
      Reduce<MinReducer>, ReductionGradient(ExtremumGradient),
      ReductionCases(kMixed,
                     [](const Values& v) { return *std::min_element(v.begin(), v.end()); }));
  min.cases.push_back(ExpectedOnly("u8", {Integers({3}, {200, 100, 255}, DType::kU8)}, {100}));
  registry.Add(std::move(min));
}

}  // namespace

void RegisterReductions(ir::OpRegistry& registry) {
  RegisterSums(registry);
  RegisterNorms(registry);
  RegisterLogarithms(registry);
  RegisterExtrema(registry);
}

}  // namespace ingot::ops
