// Transformers and recurrent networks.
#include <fmt/format.h>

#include "ingot/nn/zoo/model_text.h"
#include "ingot/nn/zoo/zoo.h"

namespace ingot::nn::zoo {
namespace {

std::string Blocks(const TransformerOptions& options, const std::string& more) {
  return fmt::format(
      "  - repeat:\n"
      "      times: {}\n"
      "      layers:\n"
      "        - {{transformer_block: {{heads: {}, dropout: {}{}}}, name: block}}\n"
      "    name: blocks\n",
      options.blocks, options.heads, options.dropout, more);
}

std::string Tokens(int64_t vocabulary, const TransformerOptions& options) {
  return fmt::format(
      "layers:\n"
      "  - {{embedding: {{vocabulary: {}, width: {}}}, name: tokens}}\n"
      "  - {{position_embedding: {{}}, name: positions}}\n",
      vocabulary, options.width);
}

void Check(const TransformerOptions& options) {
  Require(options.heads > 0 && options.width % options.heads == 0,
          fmt::format("a width of {} does not divide into {} heads", options.width, options.heads));
}

}  // namespace

ModelOptions Gpt(int64_t vocabulary, const TransformerOptions& options, bool tied) {
  Check(options);
  const std::string head =
      tied ? "  - {tied_dense: tokens, name: head}\n"
           : fmt::format("  - {{dense: {{units: {}, bias: false}}, name: head}}\n", vocabulary);
  return Model(
      Tokens(vocabulary, options) +
      Blocks(options, ", causal: true, activation: gelu_tanh, initializer: {normal: {std: 0.02}}") +
      "  - {layer_norm: {}, name: norm}\n" + head);
}

ModelOptions Bert(int64_t vocabulary, int64_t classes, const TransformerOptions& options) {
  Check(options);
  return Model(Tokens(vocabulary, options) + "  - {layer_norm: {}, name: norm}\n" +
               fmt::format("  - dropout: {}\n", options.dropout) +
               Blocks(options, ", norm_place: after") +
               fmt::format("  - select: 0\n"
                           "  - {{dense: {{units: {}, activation: tanh}}, name: pool}}\n"
                           "  - {{dense: {}, name: head}}\n",
                           options.width, classes));
}

ModelOptions VisionTransformer(int64_t patch, int64_t classes, const TransformerOptions& options) {
  Check(options);
  return Model(fmt::format("layers:\n"
                           "  - patchify: {}\n"
                           "  - {{dense: {}, name: patches}}\n"
                           "  - {{position_embedding: {{}}, name: positions}}\n",
                           patch, options.width) +
               Blocks(options, "") +
               fmt::format("  - {{layer_norm: {{}}, name: norm}}\n"
                           "  - reduce: {{by: mean, axis: 1}}\n"
                           "  - {{dense: {}, name: head}}\n",
                           classes));
}

ModelOptions LstmClassifier(int64_t units, int64_t classes) {
  return Model(
      fmt::format("layers:\n"
                  "  - lstm: {{units: {}, return: sequence, bidirectional: true}}\n"
                  "  - lstm: {}\n"
                  "  - {{dense: {}, name: head}}\n",
                  units, 2 * units, classes));
}

}  // namespace ingot::nn::zoo
