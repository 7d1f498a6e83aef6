// Fuzz target: npy and npz files of any bytes are read or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::formats;
  try {
    const Blob blob = CopyBlob({reinterpret_cast<const std::byte*>(data), size});
    if (IsNpy(blob.bytes())) {
      const ingot::Tensor tensor = ParseNpy(blob, "fuzz");
      if (ParseNpy(CopyBlob(EncodeNpy(tensor)), "again").shape() != tensor.shape())
        __builtin_trap();
    } else {
      const NpzFile file = NpzFile::Parse(blob, "fuzz");
      for (const std::string& name : file.names()) {
        try {
          file.Get(name);
        } catch (const ingot::Error&) {
        }
      }
    }
  } catch (const ingot::Error&) {
  }
  return 0;
}
