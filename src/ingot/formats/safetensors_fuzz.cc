// Fuzz target: safetensors files of any bytes are read or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::formats;
  try {
    const Blob blob = CopyBlob({reinterpret_cast<const std::byte*>(data), size});
    const SafetensorsFile file = SafetensorsFile::Parse(blob, "fuzz");
    uint64_t sum = 0;
    for (const SafetensorsEntry& entry : file.entries()) {
      const ingot::Tensor tensor = file.Get(entry.name);
      for (size_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<uint8_t>(tensor.raw()[i]);
    }
    if (sum > size * 255) __builtin_trap();  // more bytes than the file has: tensors overlap
  } catch (const ingot::Error&) {
  }
  return 0;
}
