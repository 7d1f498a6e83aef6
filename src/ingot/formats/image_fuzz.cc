// Fuzz target: PNG images of any bytes are read or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::formats;
  try {
    const Blob blob = CopyBlob({reinterpret_cast<const std::byte*>(data), size});
    const ingot::Tensor image = ParsePng(blob, "fuzz", {.pixels = 1 << 20});
    ConvertImage(image, 1);
    ConvertImage(image, 3);
  } catch (const ingot::Error&) {
  }
  return 0;
}
