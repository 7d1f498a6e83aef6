// Element types of tensors: every ONNX element type, and the C++ types that hold them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ingot/tensor/half.h"
#include "ingot/tensor/string_ref.h"

namespace ingot {

// The numbers are ONNX's TensorProto.DataType.
enum class DType : uint8_t {
  kUndefined = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  kString = 8,
  kBool = 9,
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBf16 = 16,
  kF8E4M3FN = 17,
  kF8E4M3FNUZ = 18,
  kF8E5M2 = 19,
  kF8E5M2FNUZ = 20,
  kU4 = 21,
  kI4 = 22,
  kF4E2M1 = 23,
  kF8E8M0 = 24,
  kU2 = 25,
  kI2 = 26,
};

// Bytes of one element in memory; 0 for kUndefined. Types of 4 and 2 bits take a byte an element
// here, however files pack them; an element of a string tensor is a handle (StringRef).
size_t ItemSize(DType type);

// "f32", "bf16", "i64", ...: the names used in job files, printed graphs and messages.
std::string_view Name(DType type);

// The inverse of Name; throws Error(kInvalidInput) with the nearest valid spellings.
DType ParseDType(std::string_view name);

bool IsFloat(DType type);    // f16, bf16, f32, f64
bool IsInteger(DType type);  // signed and unsigned, of 4 and 2 bits too; not bool
// Types that DispatchAll calls its function for: floats, integers of 8 bits or more, bool.
bool IsArithmetic(DType type);
// Bits of one element as files pack it: 4 for i4, 32 for f32; 0 for strings and kUndefined.
int BitWidth(DType type);

// The DType of a C++ type: DTypeOf<float>() == DType::kF32.
template <typename T>
constexpr DType DTypeOf();
template <>
constexpr DType DTypeOf<float>() {
  return DType::kF32;
}
template <>
constexpr DType DTypeOf<double>() {
  return DType::kF64;
}
template <>
constexpr DType DTypeOf<Float16>() {
  return DType::kF16;
}
template <>
constexpr DType DTypeOf<BFloat16>() {
  return DType::kBf16;
}
template <>
constexpr DType DTypeOf<uint8_t>() {
  return DType::kU8;
}
template <>
constexpr DType DTypeOf<int8_t>() {
  return DType::kI8;
}
template <>
constexpr DType DTypeOf<uint16_t>() {
  return DType::kU16;
}
template <>
constexpr DType DTypeOf<int16_t>() {
  return DType::kI16;
}
template <>
constexpr DType DTypeOf<int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType DTypeOf<int64_t>() {
  return DType::kI64;
}
template <>
constexpr DType DTypeOf<uint32_t>() {
  return DType::kU32;
}
template <>
constexpr DType DTypeOf<uint64_t>() {
  return DType::kU64;
}
template <>
constexpr DType DTypeOf<bool>() {
  return DType::kBool;
}
template <>
constexpr DType DTypeOf<StringRef>() {
  return DType::kString;
}

// A type as a value, so that a generic lambda can name it: `using T = typename
// decltype(tag)::type`.
template <typename T>
struct TypeTag {
  using type = T;
};

[[noreturn]] void ThrowUnsupportedDType(std::string_view what, DType type);

// Calls f(TypeTag<T>{}) for f16, bf16, f32 or f64; throws Error(kUnsupported) for other types.
// `what` names the caller in the message.
template <typename F>
decltype(auto) DispatchFloat(std::string_view what, DType type, F&& f) {
  switch (type) {
    case DType::kF32:
      return f(TypeTag<float>{});
    case DType::kF64:
      return f(TypeTag<double>{});
    case DType::kF16:
      return f(TypeTag<Float16>{});
    case DType::kBf16:
      return f(TypeTag<BFloat16>{});
    default:
      ThrowUnsupportedDType(what, type);
  }
}

// The same for every numeric type that is stored one element after another, without bool.
template <typename F>
decltype(auto) DispatchNumeric(std::string_view what, DType type, F&& f) {
  switch (type) {
    case DType::kU8:
      return f(TypeTag<uint8_t>{});
    case DType::kI8:
      return f(TypeTag<int8_t>{});
    case DType::kU16:
      return f(TypeTag<uint16_t>{});
    case DType::kI16:
      return f(TypeTag<int16_t>{});
    case DType::kI32:
      return f(TypeTag<int32_t>{});
    case DType::kI64:
      return f(TypeTag<int64_t>{});
    case DType::kU32:
      return f(TypeTag<uint32_t>{});
    case DType::kU64:
      return f(TypeTag<uint64_t>{});
    default:
      return DispatchFloat(what, type, static_cast<F&&>(f));
  }
}

// The same, bool included.
template <typename F>
decltype(auto) DispatchAll(std::string_view what, DType type, F&& f) {
  if (type == DType::kBool) return f(TypeTag<bool>{});
  return DispatchNumeric(what, type, static_cast<F&&>(f));
}

}  // namespace ingot
