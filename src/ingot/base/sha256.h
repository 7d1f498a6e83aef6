// SHA-256 (FIPS 180-4), with the CPU's SHA instructions where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ingot {

// The digest of a stream of bytes. Not safe for use by several threads at once.
class Sha256 {
 public:
  Sha256();
  void Update(std::string_view bytes);
  void Update(std::span<const std::byte> bytes);
  // The digest; call it once, and nothing after it.
  std::array<uint8_t, 32> Finish();
  // The same as 64 lower-case hexadecimal digits.
  std::string FinishHex();

 private:
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_;
  size_t pending_size_ = 0;
  uint64_t total_ = 0;  // bytes
};

std::string Sha256Hex(std::string_view bytes);
std::string Sha256Hex(std::span<const std::byte> bytes);
// Throws Error(kNotFound) or Error(kIo).
std::string Sha256HexOfFile(const std::string& path);

// The two ways to do the arithmetic, for the tests that compare them. `data` holds `blocks` times
// 64 bytes. The second may be called only where HasShaInstructions().
namespace sha256_internal {
void CompressPortable(uint32_t* state, const uint8_t* data, size_t blocks);
void CompressWithInstructions(uint32_t* state, const uint8_t* data, size_t blocks);
bool HasShaInstructions();
}  // namespace sha256_internal

}  // namespace ingot
