// CRC-32 (zlib, PNG, gzip) and CRC-32C (Castagnoli; TFRecord, checkpoints), both reflected, with
// initial value and final xor 0xFFFFFFFF. `previous` continues the sum of the bytes before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ingot {

// Polynomial 0xEDB88320.
uint32_t Crc32(std::span<const std::byte> bytes, uint32_t previous = 0);
uint32_t Crc32(std::string_view bytes, uint32_t previous = 0);
// Polynomial 0x82F63B78, by the CPU's instruction (SSE 4.2) where it has it.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t previous = 0);
uint32_t Crc32c(std::string_view bytes, uint32_t previous = 0);
// The form in which TFRecord files (TensorBoard's events) hold a CRC-32C.
uint32_t MaskedCrc32c(std::string_view bytes);

// The two ways to do the arithmetic, for the tests that compare them. The second may be called
// only where HasCrcInstructions().
namespace crc32_internal {
uint32_t Crc32cPortable(std::span<const std::byte> bytes, uint32_t previous);
uint32_t Crc32cWithInstructions(std::span<const std::byte> bytes, uint32_t previous);
bool HasCrcInstructions();
}  // namespace crc32_internal

}  // namespace ingot
