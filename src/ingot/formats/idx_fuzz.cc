// Fuzz target: IDX files of any bytes are read or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/idx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::formats;
  try {
    const Blob blob = CopyBlob({reinterpret_cast<const std::byte*>(data), size});
    const ingot::Tensor tensor = ParseIdx(blob, "fuzz");
    // What was read must write back to something that reads the same.
    const ingot::Tensor again = ParseIdx(CopyBlob(EncodeIdx(tensor)), "again");
    if (again.shape() != tensor.shape() || again.dtype() != tensor.dtype()) __builtin_trap();
  } catch (const ingot::Error&) {
  }
  return 0;
}
