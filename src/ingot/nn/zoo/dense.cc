// Networks of dense layers.
#include <fmt/format.h>

#include "ingot/nn/zoo/model_text.h"
#include "ingot/nn/zoo/zoo.h"

namespace ingot::nn::zoo {

ModelOptions Linear(int64_t outputs) {
  return Model(fmt::format("layers: [{{dense: {}}}]", outputs));
}

ModelOptions Mlp(const MlpOptions& options) {
  std::string layers = "layers:\n  - flatten\n";
  for (const int64_t units : options.hidden) {
    layers += fmt::format(
        "  - dense: {{units: {}, activation: relu, kernel_initializer: he_uniform}}\n", units);
    if (options.dropout > 0) layers += fmt::format("  - dropout: {}\n", options.dropout);
  }
  return Model(layers + fmt::format("  - {{dense: {}, name: head}}\n", options.outputs));
}

ModelOptions Autoencoder(const AutoencoderOptions& options) {
  std::string encoder, decoder;
  for (const int64_t units : options.hidden) {
    const std::string layer = fmt::format("{{dense: {{units: {}, activation: gelu}}}}, ", units);
    encoder += layer;
    decoder.insert(0, layer);
  }
  return Model(
      fmt::format("layers:\n"
                  "  - {{sequence: [{}{{dense: {}}}], name: encoder}}\n"
                  "  - {{sequence: [{}{{dense: {}}}], name: decoder}}\n",
                  encoder, options.code, decoder, options.inputs));
}

ModelOptions MatrixFactorisation(int64_t vocabulary, int64_t width) {
  std::string branches;
  const char* const names[] = {"users", "items"};
  for (int i = 0; i < 2; ++i) {
    branches += fmt::format(
        "          - - select: {}\n"
        "            - {{embedding: {{vocabulary: {}, width: {}, initializer: "
        "{{normal: {{std: 0.3}}}}}}, name: {}}}\n",
        i, vocabulary, width, names[i]);
  }
  return Model("layers:\n    - branch:\n        branches:\n" + branches +
               "        join: multiply\n      name: vectors\n"
               "    - reduce: sum\n    - reshape: [1]\n");
}

}  // namespace ingot::nn::zoo
