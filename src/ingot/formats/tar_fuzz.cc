// Fuzz target: tar archives of any bytes are read or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/tar.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    size_t bytes = 0;
    for (const auto& entry :
         ingot::formats::ParseTar({reinterpret_cast<const std::byte*>(data), size}, "fuzz")) {
      bytes += entry.bytes.size();
    }
    if (bytes > size) __builtin_trap();  // more bytes than the archive has: entries overlap
  } catch (const ingot::Error&) {
  }
  return 0;
}
