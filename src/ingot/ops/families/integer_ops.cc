// Remainders and bits: Mod, BitShift, BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot, BitCast.
#include <cmath>
#include <cstring>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Builder;
using ir::GradientContext;
using ir::Value;

template <typename F>
void DispatchInteger(std::string_view what, DType dtype, F&& f) {
  DispatchNumeric(what, dtype, [&](auto tag) {
    if constexpr (std::is_integral_v<typename decltype(tag)::type>) {
      f(tag);
    } else {
      ThrowUnsupportedDType(what, dtype);
    }
  });
}

// ---- Mod ----

// The sign of the divisor (Python's %), or of the dividend where `truncated` (C's fmod); x mod 0
// is 0 for integers.
template <typename T>
T Remainder(T a, T b, bool truncated) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    const T rest = static_cast<T>(a % b);
    return !truncated && rest != 0 && ((rest < 0) != (b < 0)) ? static_cast<T>(rest + b) : rest;
  } else {
    const T rest = std::fmod(a, b);
    if (truncated) return rest;
    if (rest == 0) return std::copysign(rest, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
  }
}

void RegisterMod(ir::OpRegistry& registry) {
  ir::OpDefinition op = Binary<Types::kNumeric>(
      "Mod", 13, "The remainder of A / B, with B's sign, or with A's where fmod is 1.",
      [](auto a, auto) { return a; });
  op.attributes = {IntAttribute("fmod", 0)};
  op.reference = [](const ir::ReferenceCall& call) {
    const bool truncated = call.node.GetInt("fmod") != 0;
    Map<Types::kNumeric, 2>(
        call, [truncated](auto a, auto b) { return Remainder<decltype(a)>(a, b, truncated); });
  };
  // a - q b with the whole number q, which has no slope.
  op.gradient = [](GradientContext& context) {
    Builder& b = context.builder();
    Value* dy = context.output_gradient();
    if (context.wants(0)) context.SetInputGradient(0, b.SumToLike(dy, context.input(0)));
    if (!context.wants(1)) return;
    Value* whole =
        b.Op("Round", {b.Div(b.Sub(context.input(0), context.output()), context.input(1))});
    context.SetInputGradient(1, b.SumToLike(b.Neg(b.Mul(dy, whole)), context.input(1)));
  };
  const ir::Attributes fmod = {{"fmod", ir::Attribute(int64_t{1})}};
  const OpCase::Input a = Floats({6}, {-4.25, 7.5, 5.25, 4.25, -7.5, 8.5});
  const OpCase::Input b = Floats({6}, {2, -3, 8, -2, 3, 5});
  op.cases = {
      ExpectedCase("floored", {a, b}, {1.75, -1.5, 5.25, -1.75, 1.5, 3.5}),
      ExpectedCase("truncated", {a, b}, {-0.25, 1.5, 5.25, 0.25, -1.5, 3.5}, fmod),
      ExpectedCase("row", {Floats({2, 2}, {3.5, 4.5, -1, 6}), Floats({2}, {2, 4})},
                   {1.5, 0.5, 1, 2}),
      ExpectedOnly("i32",
                   {Integers({6}, {-4, 7, 5, 4, -7, 8}, DType::kI32),
                    Integers({6}, {2, -3, 8, -2, 3, 5}, DType::kI32)},
                   {0, -2, 5, 0, 2, 3}),
      ExpectedOnly("i64_truncated", {Integers({2}, {-7, 7}), Integers({2}, {3, -3})}, {-1, 1},
                   fmod),
      ExpectedOnly("by_zero", {Integers({1}, {7}), Integers({1}, {0})}, {0}),
      ExpectedOnly("u8", {Integers({2}, {250, 7}, DType::kU8), Integers({}, {9}, DType::kU8)},
                   {7, 7})};
  registry.Add(std::move(op));
}

// ---- bits ----

std::function<void(ir::InferContext&)> IntegerRule() {
  return [](ir::InferContext& context) {
    for (size_t i = 0; i < context.node().inputs().size(); ++i) {
      RequireType(context, i, Types::kNumeric);
      if (IsInteger(context.input(i).dtype())) continue;
      throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(i) + " is " +
                                                context.input(i).ToString() +
                                                ", expected a tensor of an integer type");
    }
    context.SetOutput(0, BroadcastInputs(context));
  };
}

// f on integers, whatever the type.
template <size_t kInputs, typename F>
void MapIntegers(const ir::ReferenceCall& call, const F& f) {
  DispatchInteger(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    internal::MapTyped<T, T>(call, f, std::make_index_sequence<kInputs>{});
  });
}

template <typename F>
ir::OpDefinition Bitwise(std::string name, std::string summary, F f) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = 18;
  op.summary = std::move(summary);
  op.inputs = {Required("A"), Required("B")};
  op.outputs = {Required("C")};
  op.infer = IntegerRule();
  op.reference = [f](const ir::ReferenceCall& call) { MapIntegers<2>(call, f); };
  op.elementwise = true;
  return op;
}

void RegisterBitwise(ir::OpRegistry& registry) {
  const auto cases = [](std::vector<double> ints, std::vector<double> bytes) {
    return std::vector<OpCase>{
        ExpectedOnly(
            "i32",
            {Integers({2, 2}, {12, -1, 7, 0}, DType::kI32), Integers({2}, {10, 6}, DType::kI32)},
            std::move(ints)),
        ExpectedOnly("u8", {Integers({2}, {240, 15}, DType::kU8), Integers({}, {60}, DType::kU8)},
                     std::move(bytes))};
  };
  ir::OpDefinition both = Bitwise("BitwiseAnd", "The bits that A and B share.",
                                  [](auto a, auto b) { return static_cast<decltype(a)>(a & b); });
  both.cases = cases({8, 6, 2, 0}, {48, 12});
  registry.Add(std::move(both));
  ir::OpDefinition any = Bitwise("BitwiseOr", "The bits of A and of B.",
                                 [](auto a, auto b) { return static_cast<decltype(a)>(a | b); });
  any.cases = cases({14, -1, 15, 6}, {252, 63});
  registry.Add(std::move(any));
  ir::OpDefinition one = Bitwise("BitwiseXor", "The bits in which A and B differ.",
                                 [](auto a, auto b) { return static_cast<decltype(a)>(a ^ b); });
  one.cases = cases({6, -7, 13, 6}, {204, 51});
  registry.Add(std::move(one));

  ir::OpDefinition inverse =
      Bitwise("BitwiseNot", "Every bit turned over.", [](auto a, auto) { return a; });
  inverse.inputs = {Required("X")};
  inverse.reference = [](const ir::ReferenceCall& call) {
    MapIntegers<1>(call, [](auto a) { return static_cast<decltype(a)>(~a); });
  };
  inverse.cases = {ExpectedOnly("i16", {Integers({3}, {0, -1, 5}, DType::kI16)}, {-1, 0, -6}),
                   ExpectedOnly("u8", {Integers({2}, {0, 200}, DType::kU8)}, {255, 55})};
  registry.Add(std::move(inverse));

  ir::OpDefinition shift =
      Bitwise("BitShift", "A with its bits moved by B places.", [](auto a, auto) { return a; });
  shift.since_version = 11;
  shift.attributes = {RequiredAttribute("direction", ir::AttributeKind::kString)};
  shift.reference = [](const ir::ReferenceCall& call) {
    const std::string& direction = call.node.GetString("direction");
    if (direction != "LEFT" && direction != "RIGHT") {
      throw Error(ErrorCode::kInvalidInput,
                  "attribute 'direction' is '" + direction + "', expected LEFT or RIGHT");
    }
    const bool left = direction == "LEFT";
    MapIntegers<2>(call, [left](auto a, auto b) {
      using T = decltype(a);
      const auto places = static_cast<uint64_t>(b);
      // To the right the sign fills what becomes free.
      if (places >= sizeof(T) * 8) return static_cast<T>(!left && a < T(0) ? -1 : 0);
      return static_cast<T>(left ? static_cast<T>(static_cast<uint64_t>(a) << places)
                                 : static_cast<T>(a >> places));
    });
  };
  const auto direction = [](const char* name) {
    return ir::Attributes{{"direction", ir::Attribute(std::string(name))}};
  };
  const OpCase::Input a = Integers({3}, {16, 4, 1}, DType::kU8);
  const OpCase::Input b = Integers({3}, {1, 2, 9}, DType::kU8);
  shift.cases = {ExpectedOnly("right", {a, b}, {8, 1, 0}, direction("RIGHT")),
                 ExpectedOnly("left", {a, b}, {32, 16, 0}, direction("LEFT")),
                 ExpectedOnly("signed",
                              {Integers({3}, {-8, -8, 8}, DType::kI32),
                               Integers({3}, {1, 40, 40}, DType::kI32)},
                              {-4, -1, 0}, direction("RIGHT"))};
  registry.Add(std::move(shift));
}

// ---- BitCast ----

void RegisterBitCast(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "BitCast";
  op.since_version = 26;
  op.summary = "The same bits read as another type of the same width.";
  op.inputs = {Required("input", "T1")};
  op.outputs = {Required("output", "T2")};
  op.attributes = {RequiredAttribute("to", ir::AttributeKind::kInt)};
  op.infer = [](ir::InferContext& context) {
    const ir::Type& x = context.input(0);
    const int64_t number = context.node().GetInt("to");
    const bool known = number > 0 && number <= static_cast<int64_t>(DType::kI2);
    const DType to = known ? static_cast<DType>(number) : DType::kUndefined;
    if (BitWidth(to) == 0 || BitWidth(to) != BitWidth(x.dtype())) {
      throw Error(ErrorCode::kInvalidInput,
                  "the bits of " + x.ToString() + " cannot be read as " +
                      (known ? std::string(Name(to)) : "type " + std::to_string(number)) +
                      ": the widths differ");
    }
    context.SetOutput(0, x.WithDType(to));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    if (call.output().bytes() > 0) {
      std::memcpy(call.output().data, call.input(0).data, call.output().bytes());
    }
  };
  const auto to = [](DType dtype) {
    return ir::Attributes{{"to", ir::Attribute(static_cast<int64_t>(dtype))}};
  };
  op.cases = {
      ExpectedOnly("i32_to_f32", {Integers({2}, {1065353216, -1073741824}, DType::kI32)}, {1, -2},
                   to(DType::kF32)),
      ExpectedOnly("i8_to_u8", {Integers({2}, {-1, 5}, DType::kI8)}, {255, 5}, to(DType::kU8))};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterIntegerOps(ir::OpRegistry& registry) {
  RegisterMod(registry);
  RegisterBitwise(registry);
  RegisterBitCast(registry);
}

}  // namespace ingot::ops
