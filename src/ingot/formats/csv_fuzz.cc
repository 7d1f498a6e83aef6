// Fuzz target: CSV files of any bytes are read or throw Error.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/formats/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::formats;
  try {
    const Blob blob = CopyBlob({reinterpret_cast<const std::byte*>(data), size});
    CsvReader csv(blob, "fuzz", {.separator = size % 2 == 0 ? ',' : ';', .header = size % 3 != 0});
    size_t sum = 0;
    while (csv.Next()) {
      if (csv.fields().size() != csv.header().size()) __builtin_trap();
      for (const std::string_view field : csv.fields()) {
        for (const char c : field) sum += static_cast<unsigned char>(c);
        ParseNumber(field);
      }
    }
    if (sum > size * 255) __builtin_trap();  // more bytes than the file has: fields overlap
  } catch (const ingot::Error&) {
  }
  return 0;
}
