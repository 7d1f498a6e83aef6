// Fuzz target: gzip streams of any bytes inflate or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/gzip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    constexpr size_t kLimit = 16 << 20;
    const auto blob =
        ingot::formats::Gunzip({reinterpret_cast<const std::byte*>(data), size}, "fuzz", kLimit);
    if (blob.size > kLimit) __builtin_trap();
  } catch (const ingot::Error&) {
  }
  return 0;
}
