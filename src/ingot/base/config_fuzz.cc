// Fuzz target of the YAML reader: any bytes give a tree or an Error, and a tree survives writing
// and reading again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ingot/base/config.h"
#include "ingot/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string yaml;
  try {
    yaml = ingot::ParseConfig(text, "fuzz.yaml").ToYaml();
  } catch (const ingot::Error&) {
    return 0;
  }
  // Indentation can make it longer than the reader takes; then there is nothing to compare.
  if (yaml.size() > (size_t{1} << 20)) return 0;
  if (ingot::ParseConfig(yaml, "again.yaml").ToYaml() != yaml) std::abort();

  const size_t cut = text.find('=');
  if (cut != std::string_view::npos) {
    ingot::ConfigNode node = ingot::ParseConfig(yaml, "again.yaml");
    try {
      node.SetPath(text.substr(0, cut), text.substr(cut + 1));
    } catch (const ingot::Error&) {
    }
  }
  return 0;
}
