// Names and sizes of element types.
#include "ingot/tensor/dtype.h"

#include <array>
#include <string>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

struct Entry {
  DType type;
  std::string_view name;
  size_t size;
};

constexpr std::array<Entry, 27> kEntries = {{
    {DType::kUndefined, "undefined", 0},
    {DType::kF32, "f32", 4},
    {DType::kU8, "u8", 1},
    {DType::kI8, "i8", 1},
    {DType::kU16, "u16", 2},
    {DType::kI16, "i16", 2},
    {DType::kI32, "i32", 4},
    {DType::kI64, "i64", 8},
    {DType::kString, "string", sizeof(StringRef)},
    {DType::kBool, "bool", 1},
    {DType::kF16, "f16", 2},
    {DType::kF64, "f64", 8},
    {DType::kU32, "u32", 4},
    {DType::kU64, "u64", 8},
    {DType::kComplex64, "c64", 8},
    {DType::kComplex128, "c128", 16},
    {DType::kBf16, "bf16", 2},
    {DType::kF8E4M3FN, "f8e4m3fn", 1},
    {DType::kF8E4M3FNUZ, "f8e4m3fnuz", 1},
    {DType::kF8E5M2, "f8e5m2", 1},
    {DType::kF8E5M2FNUZ, "f8e5m2fnuz", 1},
    {DType::kU4, "u4", 1},
    {DType::kI4, "i4", 1},
    {DType::kF4E2M1, "f4e2m1", 1},
    {DType::kF8E8M0, "f8e8m0", 1},
    {DType::kU2, "u2", 1},
    {DType::kI2, "i2", 1},
}};

}  // namespace

size_t ItemSize(DType type) {
  return kEntries.at(static_cast<size_t>(type)).size;
}

std::string_view Name(DType type) {
  return kEntries.at(static_cast<size_t>(type)).name;
}

DType ParseDType(std::string_view name) {
  std::vector<std::string> names;
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.type;
    names.emplace_back(entry.name);
  }
  throw Error(ErrorCode::kInvalidInput, "unknown element type '" + std::string(name) + "'",
              DidYouMean(name, names));
}

bool IsFloat(DType type) {
  return type == DType::kF32 || type == DType::kF64 || type == DType::kF16 || type == DType::kBf16;
}

bool IsInteger(DType type) {
  switch (type) {
    case DType::kU8:
    case DType::kI8:
    case DType::kU16:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
    case DType::kU32:
    case DType::kU64:
    case DType::kU4:
    case DType::kI4:
    case DType::kU2:
    case DType::kI2:
      return true;
    default:
      return false;
  }
}

bool IsArithmetic(DType type) {
  return type == DType::kBool || IsFloat(type) || (IsInteger(type) && BitWidth(type) >= 8);
}

int BitWidth(DType type) {
  switch (type) {
    case DType::kString:
      return 0;
    case DType::kU4:
    case DType::kI4:
    case DType::kF4E2M1:
      return 4;
    case DType::kU2:
    case DType::kI2:
      return 2;
    default:
      return static_cast<int>(ItemSize(type)) * 8;
  }
}

void ThrowUnsupportedDType(std::string_view what, DType type) {
  throw Error(ErrorCode::kUnsupported, std::string(what) + ": element type " +
                                           std::string(Name(type)) + " is not supported");
}

}  // namespace ingot
