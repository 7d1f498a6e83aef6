// Elementwise ops from a formula: schema, shape rule (broadcasting as ONNX defines it) and typed
// reference kernel at once.
//
// A formula is a generic lambda. For every float type (f16, bf16, f32, f64) it is called with
// double and its result rounded once; for integers and bool it is called with the element type
// itself. Integer arithmetic wraps around (see WrapAdd and its like), as two's complement hardware
// does.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "ingot/ir/op.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/definition.h"

namespace ingot::ops {

// Which element types an op takes.
enum class Types {
  kFloat,    // f16, bf16, f32, f64
  kSigned,   // and the signed integers
  kNumeric,  // and the unsigned ones
  kAll,      // and bool
  kBool,     // bool alone
};

bool Holds(Types types, DType dtype);
// "a float type", "a number", ...
std::string_view Describe(Types types);

// Throws Error(kInvalidInput), naming the input, unless it is a tensor of one of these types.
void RequireType(const ir::InferContext& context, size_t input, Types types);

// All present inputs, from `first`, broadcast together.
ir::Type BroadcastInputs(const ir::InferContext& context, size_t first = 0);

// The shape rule of most elementwise ops: all inputs have one of `types` (the same one where their
// ports share a type variable); output 0 has their broadcast shape and the type of input 0, or
// `output` where it is given.
std::function<void(ir::InferContext&)> ElementwiseRule(Types types,
                                                       DType output = DType::kUndefined);

template <Types kTypes, typename F>
void DispatchTypes(std::string_view what, DType dtype, F&& f) {
  if constexpr (kTypes == Types::kFloat) {
    DispatchFloat(what, dtype, f);
  } else if constexpr (kTypes == Types::kSigned) {
    switch (dtype) {
      case DType::kI8:
        return f(TypeTag<int8_t>{});
      case DType::kI16:
        return f(TypeTag<int16_t>{});
      case DType::kI32:
        return f(TypeTag<int32_t>{});
      case DType::kI64:
        return f(TypeTag<int64_t>{});
      default:
        DispatchFloat(what, dtype, f);
    }
  } else if constexpr (kTypes == Types::kNumeric) {
    DispatchNumeric(what, dtype, f);
  } else if constexpr (kTypes == Types::kAll) {
    DispatchAll(what, dtype, f);
  } else {
    if (dtype != DType::kBool) ThrowUnsupportedDType(what, dtype);
    f(TypeTag<bool>{});
  }
}

// What a formula computes in: double for every float type.
template <typename T>
using Compute = std::conditional_t<std::is_integral_v<T>, T, double>;

namespace internal {

template <typename In, typename Out, typename F, size_t... I>
void MapTyped(const ir::ReferenceCall& call, const F& f, std::index_sequence<I...>) {
  constexpr size_t kInputs = sizeof...(I);
  const std::array<const In*, kInputs> in = {static_cast<const In*>(call.input(I).data)...};
  Out* out = static_cast<Out*>(call.output().data);
  const int64_t size = call.output().size();
  // Without broadcasting, which is usual, there is nothing to walk: no allocation either.
  if (((call.input(I).size() == size) && ...)) {
    for (int64_t i = 0; i < size; ++i) {
      out[i] = static_cast<Out>(f(static_cast<Compute<In>>(in[I][i])...));
    }
    return;
  }
  StridedIndex<kInputs> index =
      BroadcastIndex<kInputs>(call.output().dims, {call.input(I).dims...});
  for (int64_t i = 0; i < size; ++i, index.Next()) {
    out[i] = static_cast<Out>(f(static_cast<Compute<In>>(in[I][index[I]])...));
  }
}

}  // namespace internal

// output[i] = f(input 0 [i], ..., input kInputs-1 [i]), all of input 0's type.
template <Types kTypes, size_t kInputs, typename F>
void Map(const ir::ReferenceCall& call, const F& f) {
  DispatchTypes<kTypes>(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    internal::MapTyped<T, T>(call, f, std::make_index_sequence<kInputs>{});
  });
}

// The same with an output of bool.
template <Types kTypes, size_t kInputs, typename F>
void MapToBool(const ir::ReferenceCall& call, const F& f) {
  DispatchTypes<kTypes>(call.node.op_type(), call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    internal::MapTyped<T, bool>(call, f, std::make_index_sequence<kInputs>{});
  });
}

// y = f(x).
template <Types kTypes, typename F>
ir::OpDefinition Unary(std::string name, int since_version, std::string summary, F f) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since_version;
  op.summary = std::move(summary);
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = ElementwiseRule(kTypes);
  op.reference = [f](const ir::ReferenceCall& call) { Map<kTypes, 1>(call, f); };
  op.elementwise = true;
  op.may_run_in_place = true;
  return op;
}

// c = f(a, b), with broadcasting.
template <Types kTypes, typename F>
ir::OpDefinition Binary(std::string name, int since_version, std::string summary, F f) {
  ir::OpDefinition op =
      Unary<kTypes>(std::move(name), since_version, std::move(summary), [](auto x) { return x; });
  op.inputs = {Required("A"), Required("B")};
  op.outputs = {Required("C")};
  op.reference = [f](const ir::ReferenceCall& call) { Map<kTypes, 2>(call, f); };
  return op;
}

// c = f(a, b) as bool, with broadcasting.
template <Types kTypes, typename F>
ir::OpDefinition Comparison(std::string name, int since_version, std::string summary, F f) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since_version;
  op.summary = std::move(summary);
  op.inputs = {Required("A"), Required("B")};
  op.outputs = {Required("C", "B")};
  op.infer = ElementwiseRule(kTypes, DType::kBool);
  op.reference = [f](const ir::ReferenceCall& call) { MapToBool<kTypes, 2>(call, f); };
  op.elementwise = true;
  return op;
}

// A helper of a gradient in the `ingot` domain: dx = f(dy, x or y).
template <typename F>
ir::OpDefinition GradientHelper(std::string name, std::string summary, std::string second, F f) {
  ir::OpDefinition op = Binary<Types::kFloat>(std::move(name), 1, std::move(summary), f);
  op.domain = "ingot";
  op.inputs = {Required("dY"), Required(std::move(second))};
  op.outputs = {Required("dX")};
  return op;
}

// ---- integer arithmetic that wraps around; floats are computed as they are ----
template <typename T>
T WrapAdd(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  } else {
    return a + b;
  }
}

template <typename T>
T WrapSub(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  } else {
    return a - b;
  }
}

template <typename T>
T WrapMul(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  } else {
    return a * b;
  }
}

}  // namespace ingot::ops
