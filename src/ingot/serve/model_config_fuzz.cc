// config.pbtxt over any bytes: what is read can be written, and reads as the same again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ingot/base/error.h"
#include "ingot/serve/model_config.h"
#include "ingot/serve/proto/model_config.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const inference::ModelConfig config = ingot::serve::ParseConfigText(text);
    const std::string again = ingot::serve::ConfigText(config);
    if (ingot::serve::ConfigText(ingot::serve::ParseConfigText(again)) != again) std::abort();
  } catch (const ingot::Error&) {
  }
  return 0;
}
