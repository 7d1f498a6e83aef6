// Fuzz target of the manifest reader: the bytes as they are, and the bytes with a right checksum
// behind them, so that the JSON behind the checksum is reached too. Whatever is read must be
// written and read again as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ingot/base/error.h"
#include "ingot/base/sha256.h"
#include "ingot/train/manifest.h"

namespace {

void Try(const std::string& text) {
  ingot::train::Manifest manifest;
  try {
    manifest = ingot::train::ReadManifest(text, "manifest.json");
  } catch (const ingot::Error&) {
    return;
  }
  const std::string again = ingot::train::WriteManifest(manifest);
  if (!(ingot::train::ReadManifest(again, "again") == manifest)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Try(text);
  Try(text + ",\n  \"checksum\": \"" + ingot::Sha256Hex(text) + "\"\n}\n");
  return 0;
}
