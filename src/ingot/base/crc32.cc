// CRC-32 and CRC-32C, by table and by the CPU's instruction.
#include "ingot/base/crc32.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace ingot {
namespace {

// tables[k][b]: the CRC of the byte b followed by k zero bytes ("slicing by 8", Kounavis & Berry
// 2005).
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables(uint32_t polynomial) {
  Tables tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    tables[0][b] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t b = 0; b < 256; ++b) {
      const uint32_t shorter = tables[k - 1][b];
      tables[k][b] = (shorter >> 8) ^ tables[0][shorter & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kCrc32 = MakeTables(0xEDB88320);
constexpr Tables kCrc32c = MakeTables(0x82F63B78);

uint32_t BySlices(const Tables& tables, std::span<const std::byte> bytes, uint32_t previous) {
  const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t size = bytes.size();
  uint32_t crc = ~previous;
  for (; size >= 8; size -= 8, data += 8) {
    const uint32_t low = crc ^ (uint32_t{data[0]} | uint32_t{data[1]} << 8 |
                                uint32_t{data[2]} << 16 | uint32_t{data[3]} << 24);
    crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^
          tables[4][low >> 24] ^ tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^
          tables[0][data[7]];
  }
  for (; size > 0; --size, ++data) crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xFF];
  return ~crc;
}

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

}  // namespace

namespace crc32_internal {

uint32_t Crc32cPortable(std::span<const std::byte> bytes, uint32_t previous) {
  return BySlices(kCrc32c, bytes, previous);
}

#if defined(__x86_64__)

bool HasCrcInstructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_2) != 0;
}

__attribute__((target("sse4.2"))) uint32_t Crc32cWithInstructions(std::span<const std::byte> bytes,
                                                                  uint32_t previous) {
  const std::byte* data = bytes.data();
  size_t size = bytes.size();
  uint64_t crc = static_cast<uint32_t>(~previous);
  for (; size >= 8; size -= 8, data += 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  uint32_t last = static_cast<uint32_t>(crc);
  for (; size > 0; --size, ++data) last = _mm_crc32_u8(last, static_cast<uint8_t>(*data));
  return ~last;
}

#else

bool HasCrcInstructions() {
  return false;
}
uint32_t Crc32cWithInstructions(std::span<const std::byte> bytes, uint32_t previous) {
  return Crc32cPortable(bytes, previous);
}

#endif

}  // namespace crc32_internal

uint32_t Crc32(std::span<const std::byte> bytes, uint32_t previous) {
  return BySlices(kCrc32, bytes, previous);
}

uint32_t Crc32(std::string_view bytes, uint32_t previous) {
  return Crc32(AsBytes(bytes), previous);
}

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t previous) {
  static const bool has_instructions = crc32_internal::HasCrcInstructions();
  return has_instructions ? crc32_internal::Crc32cWithInstructions(bytes, previous)
                          : crc32_internal::Crc32cPortable(bytes, previous);
}

uint32_t Crc32c(std::string_view bytes, uint32_t previous) {
  return Crc32c(AsBytes(bytes), previous);
}

uint32_t MaskedCrc32c(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

}  // namespace ingot
