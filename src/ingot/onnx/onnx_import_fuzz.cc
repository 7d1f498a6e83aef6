// Fuzz target: files of any bytes are imported or refused with an Error, and shape inference ends.
#include <cstddef>
#include <cstdint>

#include "ingot/base/error.h"
#include "ingot/onnx/import.h"
#include "ingot/ops/standard_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  static const ir::OpRegistry registry = ops::StandardOps();
  try {
    auto file = formats::OnnxFile::Parse(
        formats::CopyBlob({reinterpret_cast<const std::byte*>(data), size}), "fuzz");
    onnx::ImportModel(file, registry);
  } catch (const Error&) {
  }
  return 0;
}
