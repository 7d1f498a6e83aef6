// Protobuf's wire format by hand, for the messages on the path of every inference: what is read
// points into the bytes, what is written goes where it is sent from.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "ingot/base/error.h"

namespace ingot::serve {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Throws Error(kInvalidInput) where the bytes are no message.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}

  bool done() const { return at_ == end_; }

  // The next field's number and type; false at the end.
  bool Next(uint32_t& field, WireType& type) {
    if (at_ == end_) return false;
    const uint64_t tag = Varint();
    field = static_cast<uint32_t>(tag >> 3);
    type = static_cast<WireType>(tag & 7);
    if (field == 0 || tag >> 32 != 0) Fail("a field has no valid number");
    return true;
  }

  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) Fail("the message ends within a number");
      const auto byte = static_cast<uint8_t>(*at_++);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    Fail("a number is longer than 64 bits");
  }

  std::string_view Bytes() {
    const uint64_t size = Varint();
    if (size > static_cast<uint64_t>(end_ - at_))
      Fail("a field goes beyond the end of its message");
    const std::string_view bytes(at_, static_cast<size_t>(size));
    at_ += size;
    return bytes;
  }

  template <typename T>
  T Fixed() {
    if (static_cast<size_t>(end_ - at_) < sizeof(T)) Fail("the message ends within a number");
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  void Skip(WireType type) {
    switch (type) {
      case WireType::kVarint:
        Varint();
        return;
      case WireType::kFixed64:
        Fixed<uint64_t>();
        return;
      case WireType::kBytes:
        Bytes();
        return;
      case WireType::kFixed32:
        Fixed<uint32_t>();
        return;
    }
    Fail("a field has an unknown type");
  }

  // The wanted type of a field of a known number.
  void Expect(WireType is, WireType wanted) const {
    if (is != wanted) Fail("a field has another type than its number says");
  }

  [[noreturn]] static void Fail(const char* what) {
    throw Error(ErrorCode::kInvalidInput, std::string("the protobuf message is damaged: ") + what);
  }

 private:
  const char* at_;
  const char* end_;
};

static_assert(std::endian::native == std::endian::little, "numbers are copied as they travel");

inline void PutVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
inline void PutTag(uint32_t field, WireType type, std::string& out) {
  PutVarint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(type), out);
}
inline void PutBytes(uint32_t field, std::string_view bytes, std::string& out) {
  PutTag(field, WireType::kBytes, out);
  PutVarint(bytes.size(), out);
  out += bytes;
}
inline void PutNumber(uint32_t field, uint64_t value, std::string& out) {
  PutTag(field, WireType::kVarint, out);
  PutVarint(value, out);
}

}  // namespace ingot::serve
