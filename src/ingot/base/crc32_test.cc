// Checksums against published values, and both ways of computing them against each other.
#include "ingot/base/crc32.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ingot {
namespace {

// One bit at a time, as the polynomial defines it.
uint32_t Reference(uint32_t polynomial, std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
  }
  return ~crc;
}

std::string SomeBytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * i * 7 + i / 3);
  return bytes;
}

TEST(Crc32Test, GivesTheKnownCheckValues) {
  EXPECT_EQ(Crc32("123456789"), 0xCBF43926u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32(""), 0u);
  EXPECT_EQ(Crc32c(""), 0u);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
}

TEST(Crc32Test, EveryWayAgreesWithTheDefinition) {
  const std::string bytes = SomeBytes(300);
  for (size_t size = 0; size <= 70; ++size) {
    for (size_t from = 0; from < 9; ++from) {
      const std::string_view part = std::string_view(bytes).substr(from, size);
      const auto as_bytes = std::as_bytes(std::span<const char>(part.data(), part.size()));
      EXPECT_EQ(Crc32(part), Reference(0xEDB88320, part));
      EXPECT_EQ(crc32_internal::Crc32cPortable(as_bytes, 0), Reference(0x82F63B78, part));
      if (crc32_internal::HasCrcInstructions()) {
        EXPECT_EQ(crc32_internal::Crc32cWithInstructions(as_bytes, 0), Reference(0x82F63B78, part));
      }
    }
  }
}

TEST(Crc32Test, ContinuesWhereItStopped) {
  const std::string bytes = SomeBytes(100);
  for (const size_t cut : {0, 1, 7, 8, 50, 100}) {
    const std::string_view all = bytes;
    EXPECT_EQ(Crc32(all.substr(cut), Crc32(all.substr(0, cut))), Crc32(all));
    EXPECT_EQ(Crc32c(all.substr(cut), Crc32c(all.substr(0, cut))), Crc32c(all));
  }
}

TEST(Crc32Test, MaskRotatesAndAdds) {
  const uint32_t crc = 0xE3069283u;  // of "123456789"
  EXPECT_EQ(MaskedCrc32c("123456789"), ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
  // The length field of a record of 24 bytes, as TensorFlow writes it.
  EXPECT_EQ(MaskedCrc32c(std::string("\x18\0\0\0\0\0\0\0", 8)), 0x224b7fa3u);
}

}  // namespace
}  // namespace ingot
