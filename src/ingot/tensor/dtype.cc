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

constexpr std::array<Entry, 23> kEntries = {{
    {DType::kUndefined, "undefined", 0}, {DType::kF32, "f32", 4},
    {DType::kU8, "u8", 1},               {DType::kI8, "i8", 1},
    {DType::kU16, "u16", 2},             {DType::kI16, "i16", 2},
    {DType::kI32, "i32", 4},             {DType::kI64, "i64", 8},
    {DType::kString, "string", 0},       {DType::kBool, "bool", 1},
    {DType::kF16, "f16", 2},             {DType::kF64, "f64", 8},
    {DType::kU32, "u32", 4},             {DType::kU64, "u64", 8},
    {DType::kComplex64, "c64", 8},       {DType::kComplex128, "c128", 16},
    {DType::kBf16, "bf16", 2},           {DType::kF8E4M3FN, "f8e4m3fn", 1},
    {DType::kF8E4M3FNUZ, "f8e4m3fnuz", 1}, {DType::kF8E5M2, "f8e5m2", 1},
    {DType::kF8E5M2FNUZ, "f8e5m2fnuz", 1}, {DType::kU4, "u4", 0},
    {DType::kI4, "i4", 0},
}};

}  // namespace

size_t ItemSize(DType type) { return kEntries.at(static_cast<size_t>(type)).size; }

std::string_view Name(DType type) { return kEntries.at(static_cast<size_t>(type)).name; }

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
    case DType::kI4: return true;
    default: return false;
  }
}

void ThrowUnsupportedDType(std::string_view what, DType type) {
  throw Error(ErrorCode::kUnsupported,
              std::string(what) + ": element type " + std::string(Name(type)) + " is not supported");
}

}  // namespace ingot
