// Any bytes as a JPEG image: an Error or a picture, never more.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/jpeg.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::formats;
  const Blob blob = CopyBlob({reinterpret_cast<const std::byte*>(data), size});
  try {
    ParseJpeg(blob, "fuzz", {.pixels = 1 << 16}, {16, 16});
  } catch (const ingot::Error&) {
    // Expected for almost every input.
  }
  return 0;
}
