// Arithmetic: Add, Sub, Mul, Div, Neg, Abs, Sign, Pow, Max, Min, Sum, Mean,
// Reciprocal, Identity.
//
// Integer results wrap around. Integer division truncates towards zero; ONNX leaves x / 0 open,
// here it is 0 (never a trap), and the most negative number divided by -1 is itself.
#include <cmath>
#include <cstring>

#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Builder;
using ir::GradientContext;
using ir::Value;

// Sets d(input i) = SumToLike(gradient, input i).
void SetSummed(GradientContext& context, size_t i, Value* gradient) {
  context.SetInputGradient(i, context.builder().SumToLike(gradient, context.input(i)));
}

template <typename T>
T Divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return WrapSub<T>(0, a);
    }
  }
  return static_cast<T>(a / b);
}

// Cases that every binary op shares: equal shapes, ragged and two-sided broadcasting, scalars and
// empty tensors. `low` and `high` bound b, so that divisions and logarithms stay finite.
std::vector<OpCase> BinaryCases(std::function<double(std::span<const double>)> formula,
                                double low_a, double high_a, double low_b, double high_b) {
  const auto make = [&](const char* name, Shape a, Shape b) {
    OpCase test;
    test.name = name;
    test.inputs = {Uniform(std::move(a), low_a, high_a), Uniform(std::move(b), low_b, high_b)};
    test.formula = formula;
    return test;
  };
  return {make("same_shape", {3, 7}, {3, 7}),
          make("row", {5, 3}, {3}),
          make("column", {4, 1}, {4, 6}),
          make("both_ways", {2, 1, 5}, {3, 1}),
          make("scalar", {9}, {}),
          make("scalars", {}, {}),
          make("scalar_first", {}, {2, 3}),
          make("ragged", {1, 17}, {13, 17}),
          make("empty", {0, 3}, {1, 3})};
}

void RegisterAddSub(ir::OpRegistry& registry) {
  ir::OpDefinition add =
      Binary<Types::kNumeric>("Add", 14, "C = A + B, broadcast.",
                              [](auto a, auto b) { return WrapAdd<decltype(a)>(a, b); });
  add.gradient = [](GradientContext& context) {
    for (size_t i = 0; i < 2; ++i) {
      if (context.wants(i)) SetSummed(context, i, context.output_gradient());
    }
  };
  add.cases = BinaryCases([](std::span<const double> v) { return v[0] + v[1]; }, -1, 1, -1, 1);
  add.cases.push_back(ExpectedOnly(
      "i32",
      {Integers({2, 2}, {1, -2, 3, 2147483647}, DType::kI32), Integers({2}, {10, 1}, DType::kI32)},
      {11, -1, 13, -2147483648.0}));
  add.cases.push_back(
      ExpectedOnly("u8", {Integers({3}, {1, 200, 255}, DType::kU8), Integers({}, {56}, DType::kU8)},
                   {57, 0, 55}));
  registry.Add(std::move(add));

  ir::OpDefinition sub =
      Binary<Types::kNumeric>("Sub", 14, "C = A - B, broadcast.",
                              [](auto a, auto b) { return WrapSub<decltype(a)>(a, b); });
  sub.gradient = [](GradientContext& context) {
    if (context.wants(0)) SetSummed(context, 0, context.output_gradient());
    if (context.wants(1)) {
      Value* summed = context.builder().SumToLike(context.output_gradient(), context.input(1));
      context.SetInputGradient(1, context.builder().Neg(summed));
    }
  };
  sub.cases = BinaryCases([](std::span<const double> v) { return v[0] - v[1]; }, -1, 1, -1, 1);
  sub.cases.push_back(
      ExpectedOnly("i64", {Integers({3}, {1, -2, 3}), Integers({3}, {10, -2, 1})}, {-9, 0, 2}));
  registry.Add(std::move(sub));
}

void RegisterMulDiv(ir::OpRegistry& registry) {
  ir::OpDefinition mul =
      Binary<Types::kNumeric>("Mul", 14, "C = A * B, broadcast.",
                              [](auto a, auto b) { return WrapMul<decltype(a)>(a, b); });
  mul.gradient = [](GradientContext& context) {
    for (size_t i = 0; i < 2; ++i) {
      if (!context.wants(i)) continue;
      SetSummed(context, i, context.builder().Mul(context.output_gradient(), context.input(1 - i)));
    }
  };
  mul.cases = BinaryCases([](std::span<const double> v) { return v[0] * v[1]; }, -2, 2, -2, 2);
  mul.cases.push_back(ExpectedOnly(
      "i32",
      {Integers({2, 2}, {1, -2, 3, 65536}, DType::kI32), Integers({2, 1}, {7, 65536}, DType::kI32)},
      {7, -14, 196608, 0}));
  mul.cases.push_back(ExpectedOnly(
      "u16", {Integers({1}, {65535}, DType::kU16), Integers({1}, {65535}, DType::kU16)}, {1}));
  registry.Add(std::move(mul));

  ir::OpDefinition div = Binary<Types::kNumeric>(
      "Div", 14, "C = A / B, broadcast; integers truncate towards zero, x / 0 is 0.",
      [](auto a, auto b) { return Divide<decltype(a)>(a, b); });
  div.gradient = [](GradientContext& context) {
    Builder& b = context.builder();
    if (!context.wants(0) && !context.wants(1)) return;
    Value* da = b.Div(context.output_gradient(), context.input(1));
    if (context.wants(0)) SetSummed(context, 0, da);
    if (context.wants(1)) SetSummed(context, 1, b.Neg(b.Mul(da, context.output())));
  };
  div.cases = BinaryCases([](std::span<const double> v) { return v[0] / v[1]; }, -2, 2, 0.5, 2);
  div.cases.push_back(ExpectedOnly("i32",
                                   {Integers({5}, {7, -7, 7, 5, -2147483648LL}, DType::kI32),
                                    Integers({5}, {2, 2, -2, 0, -1}, DType::kI32)},
                                   {3, -3, -3, 0, -2147483648.0}));
  registry.Add(std::move(div));
}

void RegisterUnaries(ir::OpRegistry& registry) {
  ir::OpDefinition neg = Unary<Types::kSigned>("Neg", 13, "Y = -X.", [](auto x) {
    if constexpr (std::is_integral_v<decltype(x)>) {
      return WrapSub<decltype(x)>(0, x);
    } else {
      return -x;  // not 0 - x: the sign of zero matters
    }
  });
  neg.gradient = UnaryGradient([](Builder& b, Value* dy, Value*, Value*) { return b.Neg(dy); });
  neg.cases = UnaryCases(-2, 2, [](std::span<const double> v) { return -v[0]; });
  neg.cases.push_back(
      ExpectedOnly("i8", {Integers({4}, {1, -3, 0, -128}, DType::kI8)}, {-1, 3, 0, -128}));
  registry.Add(std::move(neg));

  ir::OpDefinition abs = Unary<Types::kNumeric>("Abs", 13, "Y = |X|.", [](auto x) {
    using T = decltype(x);
    if constexpr (std::is_integral_v<T>) {
      return x < T(0) ? WrapSub<T>(0, x) : x;
    } else {
      return std::fabs(x);
    }
  });
  abs.gradient = UnaryGradient(
      [](Builder& b, Value* dy, Value* x, Value*) { return b.Mul(dy, b.Op("Sign", {x})); });
  abs.cases = UnaryCases(0.25, 2, [](std::span<const double> v) { return v[0]; });
  for (OpCase& test : UnaryCases(-2, -0.25, [](std::span<const double> v) { return -v[0]; })) {
    abs.cases.push_back(std::move(test));
  }
  abs.cases.push_back(ExpectedOnly("i32", {Integers({3}, {-5, 0, 6}, DType::kI32)}, {5, 0, 6}));
  registry.Add(std::move(abs));

  ir::OpDefinition sign =
      Unary<Types::kNumeric>("Sign", 13, "Y = -1, 0 or 1; NaN stays NaN.", [](auto x) {
        using T = decltype(x);
        if (x != x) return x;
        return static_cast<T>(static_cast<int>(x > T(0)) - static_cast<int>(x < T(0)));
      });
  sign.gradient = ZeroGradient();
  sign.cases = {ExpectedOnly("float", {Floats({5}, {-2, -0.5, 0, 0.25, 8})}, {-1, -1, 0, 1, 1}),
                ExpectedCase("apart_from_zero", {Floats({2}, {-0.5, 4})}, {-1, 1}),
                ExpectedOnly("i64", {Integers({3}, {-9, 0, 9})}, {-1, 0, 1}),
                ExpectedOnly("u8", {Integers({2}, {0, 200}, DType::kU8)}, {0, 1})};
  registry.Add(std::move(sign));

  ir::OpDefinition reciprocal =
      Unary<Types::kFloat>("Reciprocal", 13, "Y = 1 / X.", [](double x) { return 1 / x; });
  reciprocal.gradient = UnaryGradient(
      [](Builder& b, Value* dy, Value*, Value* y) { return b.Neg(b.Mul(dy, b.Mul(y, y))); });
  reciprocal.cases = UnaryCases(0.5, 2, [](std::span<const double> v) { return 1 / v[0]; });
  registry.Add(std::move(reciprocal));

  ir::OpDefinition identity =
      Unary<Types::kAll>("Identity", 21, "Y = X.", [](auto x) { return x; });
  identity.reference = [](const ir::ReferenceCall& call) {
    // Bytes, not values: NaN payloads survive.
    if (call.output().bytes() == 0) return;
    std::memmove(call.output().data, call.input(0).data, call.output().bytes());
  };
  identity.infer = [](ir::InferContext& context) { context.SetOutput(0, context.input(0)); };
  // Of sequences and optionals too.
  identity.value_reference = [](const ir::ValueCall& call) {
    return std::vector<Datum>{call.inputs[0]};
  };
  identity.gradient = UnaryGradient([](Builder&, Value* dy, Value*, Value*) { return dy; });
  identity.cases = UnaryCases(-1, 1, [](std::span<const double> v) { return v[0]; });
  identity.cases.push_back(
      ExpectedOnly("bool", {Integers({3}, {1, 0, 1}, DType::kBool)}, {1, 0, 1}));
  registry.Add(std::move(identity));
}

// ---- Pow ----

// Integer power by squaring; a negative exponent gives the truncated value of 1 / a^|n|.
template <typename T>
T IntegerPower(T base, double exponent) {
  if (exponent < 0) {
    if (base == 1) return 1;
    if constexpr (std::is_signed_v<T>) {
      if (base == -1) return std::fmod(exponent, 2) == 0 ? T(1) : T(-1);
    }
    return 0;
  }
  T result = 1;
  for (auto n = static_cast<uint64_t>(exponent); n > 0; n /= 2) {
    if (n % 2 == 1) result = WrapMul<T>(result, base);
    base = WrapMul<T>(base, base);
  }
  return result;
}

template <typename T>
T Power(Compute<T> base, double exponent) {
  if constexpr (std::is_integral_v<T>) {
    if (std::trunc(exponent) == exponent) return IntegerPower<T>(base, exponent);
    return static_cast<T>(std::pow(static_cast<double>(base), exponent));
  } else {
    return static_cast<T>(std::pow(base, exponent));
  }
}

void PowReference(const ir::ReferenceCall& call) {
  DispatchNumeric("Pow", call.input(0).dtype, [&](auto base_tag) {
    using T = typename decltype(base_tag)::type;
    DispatchNumeric("Pow", call.input(1).dtype, [&](auto exponent_tag) {
      using E = typename decltype(exponent_tag)::type;
      const T* base = call.input(0).as<T>();
      const E* exponent = call.input(1).as<E>();
      T* out = call.output().as<T>();
      auto index = BroadcastIndex<2>(call.output().dims, {call.input(0).dims, call.input(1).dims});
      for (int64_t i = 0; i < call.output().size(); ++i, index.Next()) {
        out[i] = Power<T>(static_cast<Compute<T>>(base[index[0]]),
                          static_cast<double>(exponent[index[1]]));
      }
    });
  });
}

// d(base) = dy * e * base^(e - 1), and 0 where e is 0 (even at base 0).
Value* PowBaseGradient(Builder& b, Value* dy, Value* base, Value* exponent) {
  const Tensor* constant = ConstantValue(exponent);
  if (constant != nullptr && constant->size() == 1) {
    const double e = constant->ToDoubles()[0];
    if (e == 1) return dy;
    if (e == 2) return b.Mul(dy, b.MulScalar(base, 2));
    if (e != 0) {
      Value* power = b.Op("Pow", {base, b.ScalarLike(base, e - 1)});
      return b.Mul(dy, b.MulScalar(power, e));
    }
  }
  const DType dtype = base->type().dtype();
  Value* e = exponent;
  if (e->type().dtype() != dtype) {
    e = b.Op("Cast", {e}, {{"to", ir::Attribute(static_cast<int64_t>(dtype))}});
  }
  Value* zero = b.ScalarLike(base, 0);
  Value* slope = b.Mul(e, b.Op("Pow", {base, b.Sub(e, b.ScalarLike(base, 1))}));
  return b.Mul(dy, b.Op("Where", {b.Op("Equal", {e, zero}), zero, slope}));
}

// d(exponent) = dy * y * log(base), and 0 where base is 0.
Value* PowExponentGradient(Builder& b, Value* dy, Value* base, Value* y, Value* exponent) {
  Value* is_zero = b.Op("Equal", {base, b.ScalarLike(base, 0)});
  Value* safe = b.Op("Where", {is_zero, b.ScalarLike(base, 1), base});
  Value* gradient = b.Mul(dy, b.Mul(y, b.Op("Log", {safe})));
  const DType dtype = exponent->type().dtype();
  if (dtype == base->type().dtype()) return gradient;
  return b.Op("Cast", {gradient}, {{"to", ir::Attribute(static_cast<int64_t>(dtype))}});
}

void RegisterPow(ir::OpRegistry& registry) {
  ir::OpDefinition pow = Binary<Types::kNumeric>(
      "Pow", 15, "Z = X to the power of Y, broadcast; Y may have another type, Z has X's.",
      [](auto a, auto) { return a; });
  pow.inputs = {Required("X"), Required("Y", "T1")};
  pow.outputs = {Required("Z")};
  pow.reference = PowReference;
  pow.gradient = [](GradientContext& context) {
    Builder& b = context.builder();
    Value* dy = context.output_gradient();
    if (context.wants(0)) {
      SetSummed(context, 0, PowBaseGradient(b, dy, context.input(0), context.input(1)));
    }
    if (context.wants(1)) {
      SetSummed(context, 1,
                PowExponentGradient(b, dy, context.input(0), context.output(), context.input(1)));
    }
  };
  pow.cases =
      BinaryCases([](std::span<const double> v) { return std::pow(v[0], v[1]); }, 0.5, 2, -2, 2);
  pow.cases.push_back(ExpectedCase("integer_exponent",
                                   {Floats({4}, {-2, 3, 0.5, 4}), Integers({4}, {3, 2, -2, 0})},
                                   {-8, 9, 4, 1}));
  OpCase::Input two = Floats({}, {2});
  two.constant = true;
  two.differentiable = false;
  pow.cases.push_back(ExpectedCase("square", {Floats({3}, {-3, 0, 5}), two}, {9, 0, 25}));
  pow.cases.push_back(
      ExpectedCase("zero_base", {Floats({2}, {0, 0}), Integers({2}, {0, 2})}, {1, 0}));
  pow.cases.push_back(
      ExpectedOnly("i64", {Integers({5}, {-2, 3, 2, -1, 5}), Integers({5}, {3, 4, -1, -3, 0})},
                   {-8, 81, 0, -1, 1}));
  registry.Add(std::move(pow));
}

// ---- Max and Min of any number of tensors ----

// Folds all inputs, in order, into the output.
template <typename F>
void FoldInputs(const ir::ReferenceCall& call, const F& f) {
  DispatchNumeric(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = call.output().as<T>();
    const int64_t size = call.output().size();
    for (size_t k = 0; k < call.inputs.size(); ++k) {
      const T* in = call.input(k).template as<T>();
      auto index = BroadcastIndex<1>(call.output().dims, {call.input(k).dims});
      for (int64_t i = 0; i < size; ++i, index.Next()) {
        const T value = in[index[0]];
        if (k == 0 || f(static_cast<Compute<T>>(value), static_cast<Compute<T>>(out[i]))) {
          out[i] = value;
        }
      }
    }
  });
}

// Equal inputs share the gradient evenly, so that the result does not depend on their order.
void ExtremumGradient(GradientContext& context) {
  Builder& b = context.builder();
  const size_t count = context.node().inputs().size();
  if (count == 1) {
    context.SetInputGradient(0, context.output_gradient());
    return;
  }
  std::vector<Value*> masks;
  Value* total = nullptr;
  const auto to = static_cast<int64_t>(context.output()->type().dtype());
  for (size_t i = 0; i < count; ++i) {
    Value* equal = b.Op("Equal", {context.input(i), context.output()});
    masks.push_back(b.Op("Cast", {equal}, {{"to", ir::Attribute(to)}}));
    total = i == 0 ? masks[0] : b.Add(total, masks[i]);
  }
  Value* share = b.Div(context.output_gradient(), total);
  for (size_t i = 0; i < count; ++i) {
    if (context.wants(i)) SetSummed(context, i, b.Mul(share, masks[i]));
  }
}

template <typename F>
ir::OpDefinition Extremum(std::string name, std::string summary, F replaces) {
  ir::OpDefinition op =
      Unary<Types::kNumeric>(std::move(name), 13, std::move(summary), [](auto x) { return x; });
  op.inputs = {Variadic("data_0")};
  op.outputs = {Required("extremum")};
  op.reference = [replaces](const ir::ReferenceCall& call) { FoldInputs(call, replaces); };
  op.gradient = ExtremumGradient;
  return op;
}

void RegisterExtrema(ir::OpRegistry& registry) {
  // Inputs well apart, so that finite differences never cross from one to the other.
  const std::vector<double> a = {1, 5, -2, 4, 0.5, -3};
  const std::vector<double> b = {2, 4, -1, -4, 1.5, 3};
  ir::OpDefinition max = Extremum(
      "Max", "The largest of the inputs, broadcast; NaN wins. Equal ones share the gradient.",
      [](auto value, auto best) { return value > best || (value != value && best == best); });
  max.cases = {
      ExpectedCase("two", {Floats({2, 3}, a), Floats({2, 3}, b)}, {2, 5, -1, 4, 1.5, 3}),
      ExpectedCase("three_broadcast",
                   {Floats({2, 3}, a), Floats({3}, {0, 6, -1.5}), Floats({}, {-2.5})},
                   {1, 6, -1.5, 4, 6, -1.5}),
      ExpectedCase("one", {Floats({3}, {3, 1, 2})}, {3, 1, 2}),
      ExpectedCase("empty", {Floats({0, 2}, {}), Floats({2}, {1, 2})}, {}),
      ExpectedOnly("i32", {Integers({3}, {1, 5, -7}, DType::kI32), Integers({1}, {2}, DType::kI32)},
                   {2, 5, 2})};
  registry.Add(std::move(max));

  ir::OpDefinition min = Extremum(
      "Min", "The smallest of the inputs, broadcast; NaN wins. Equal ones share the gradient.",
      [](auto value, auto best) { return value < best || (value != value && best == best); });
  min.cases = {
      ExpectedCase("two", {Floats({2, 3}, a), Floats({2, 3}, b)}, {1, 4, -2, -4, 0.5, -3}),
      ExpectedCase("three_broadcast",
                   {Floats({2, 3}, a), Floats({2, 1}, {0, 3}), Floats({}, {2.5})},
                   {0, 0, -2, 2.5, 0.5, -3}),
      ExpectedCase("one", {Floats({3}, {3, 1, 2})}, {3, 1, 2}),
      ExpectedOnly("u8", {Integers({3}, {1, 5, 200}, DType::kU8), Integers({1}, {100}, DType::kU8)},
                   {1, 5, 100})};
  registry.Add(std::move(min));
}

// ---- Sum and Mean of any number of tensors ----

// The sum of all inputs in their order, in double; divided by their number where `mean`.
void SumInputs(const ir::ReferenceCall& call, bool mean) {
  DispatchFloat(call.node.op_type(), call.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<double> sums(static_cast<size_t>(call.output().size()), 0);
    for (const TensorView& input : call.inputs) {
      auto index = BroadcastIndex<1>(call.output().dims, {input.dims});
      for (double& sum : sums) {
        sum += static_cast<double>(input.as<T>()[index[0]]);
        index.Next();
      }
    }
    const double divisor = mean ? static_cast<double>(call.inputs.size()) : 1;
    for (size_t i = 0; i < sums.size(); ++i) {
      call.output().as<T>()[i] = static_cast<T>(sums[i] / divisor);
    }
  });
}

void RegisterSums(ir::OpRegistry& registry) {
  for (const bool mean : {false, true}) {
    ir::OpDefinition op = Unary<Types::kFloat>(
        mean ? "Mean" : "Sum", 13,
        mean ? "The mean of the inputs, broadcast." : "The sum of the inputs, broadcast.",
        [](auto x) { return x; });
    op.inputs = {Variadic("data_0")};
    op.outputs = {Required("result")};
    op.reference = [mean](const ir::ReferenceCall& call) { SumInputs(call, mean); };
    op.gradient = [mean](GradientContext& context) {
      const size_t count = context.node().inputs().size();
      Value* dy = context.output_gradient();
      if (mean) dy = context.builder().MulScalar(dy, 1 / static_cast<double>(count));
      for (size_t i = 0; i < count; ++i) {
        if (context.wants(i)) SetSummed(context, i, dy);
      }
    };
    const double n = mean ? 2 : 1, m = mean ? 3 : 1;
    op.cases = {
        ExpectedCase("two", {Floats({2}, {1, 2}), Floats({2}, {3, 6})}, {4 / n, 8 / n}),
        ExpectedCase("three", {Floats({2, 1}, {1, 2}), Floats({2}, {3, 6}), Floats({}, {3})},
                     {7 / m, 10 / m, 8 / m, 11 / m}),
        ExpectedCase("one", {Floats({2}, {1, 2})}, {1, 2})};
    registry.Add(std::move(op));
  }
}

}  // namespace

void RegisterArithmetic(ir::OpRegistry& registry) {
  RegisterAddSub(registry);
  RegisterMulDiv(registry);
  RegisterUnaries(registry);
  RegisterPow(registry);
  RegisterExtrema(registry);
  RegisterSums(registry);
}

}  // namespace ingot::ops
