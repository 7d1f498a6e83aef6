// Names of element types, BYTES elements and shapes of the inference protocol.
#include "ingot/serve/data_type.h"

#include <cstring>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::serve {
namespace {

constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"FP32", DType::kF32},   {"INT64", DType::kI64},    {"INT32", DType::kI32},
    {"UINT8", DType::kU8},   {"BYTES", DType::kString}, {"BOOL", DType::kBool},
    {"FP16", DType::kF16},   {"BF16", DType::kBf16},    {"FP64", DType::kF64},
    {"INT8", DType::kI8},    {"INT16", DType::kI16},    {"UINT16", DType::kU16},
    {"UINT32", DType::kU32}, {"UINT64", DType::kU64},
};

}  // namespace

DType ParseWireType(std::string_view name) {
  for (const auto& [text, type] : kTypes) {
    if (text == name) return type;
  }
  return DType::kUndefined;
}

std::string_view WireName(DType type) {
  for (const auto& [text, of] : kTypes) {
    if (of == type) return text;
  }
  return "";
}

std::string ConfigName(DType type) {
  if (type == DType::kString) return "TYPE_STRING";
  const std::string_view name = WireName(type);
  return name.empty() ? "TYPE_INVALID" : "TYPE_" + std::string(name);
}

void AppendBytesElement(std::string_view element, std::string& out) {
  const uint32_t length = static_cast<uint32_t>(element.size());
  const char prefix[4] = {static_cast<char>(length), static_cast<char>(length >> 8),
                          static_cast<char>(length >> 16), static_cast<char>(length >> 24)};
  out.append(prefix, 4);
  out.append(element);
}

std::vector<std::string_view> SplitBytesElements(std::span<const std::byte> bytes, int64_t count) {
  std::vector<std::string_view> elements;
  size_t at = 0;
  while (at < bytes.size()) {
    if (bytes.size() - at < 4) {
      throw Error(ErrorCode::kInvalidInput, "BYTES: the data end within the length of element " +
                                                std::to_string(elements.size()));
    }
    uint32_t length = 0;
    for (int i = 3; i >= 0; --i) {
      length = length << 8 | static_cast<uint32_t>(bytes[at + static_cast<size_t>(i)]);
    }
    at += 4;
    if (bytes.size() - at < length) {
      throw Error(ErrorCode::kInvalidInput, "BYTES: element " + std::to_string(elements.size()) +
                                                " has a length of " + std::to_string(length) +
                                                " bytes and " + std::to_string(bytes.size() - at) +
                                                " are left");
    }
    elements.emplace_back(reinterpret_cast<const char*>(bytes.data() + at), length);
    at += length;
  }
  if (count >= 0 && static_cast<int64_t>(elements.size()) != count) {
    throw Error(ErrorCode::kInvalidInput, "BYTES: expected " + std::to_string(count) +
                                              " elements, got " + std::to_string(elements.size()));
  }
  return elements;
}

int64_t Dims::size() const {
  int64_t product = 1;
  for (const int64_t d : span()) {
    if (d < 0 || __builtin_mul_overflow(product, d, &product)) return -1;
  }
  return product;
}

std::string Dims::ToString() const {
  return ShapeText(span());
}

Dims MakeDims(std::span<const int64_t> extents) {
  if (extents.size() > kMaxRank) {
    throw Error(ErrorCode::kInvalidInput, "a shape has " + std::to_string(extents.size()) +
                                              " axes; at most " + std::to_string(kMaxRank) +
                                              " can be served");
  }
  Dims dims;
  dims.rank = static_cast<int>(extents.size());
  for (size_t i = 0; i < extents.size(); ++i) dims.extent[i] = extents[i];
  return dims;
}

std::string ShapeText(std::span<const int64_t> dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(dims[i]);
  }
  return text + "]";
}

}  // namespace ingot::serve
