// Convolutional networks.
#include <map>

#include <fmt/format.h>

#include "ingot/nn/zoo/model_text.h"
#include "ingot/nn/zoo/zoo.h"

namespace ingot::nn::zoo {
namespace {

std::string Convolution(int64_t filters, int64_t kernel, int64_t stride) {
  return fmt::format(
      "conv: {{filters: {}, kernel: {}, stride: {}, padding: {}, bias: false, "
      "kernel_initializer: he_normal}}",
      filters, kernel, stride, kernel / 2);
}

// A residual of basic blocks (18 and 34 layers) or bottlenecks; `projects`: the shortcut too is a
// convolution, since extents or channels differ.
std::string Residual(bool bottleneck, int64_t filters, int64_t stride, bool projects) {
  std::vector<std::string> convolutions;
  const int64_t out = bottleneck ? 4 * filters : filters;
  if (bottleneck) {
    convolutions = {Convolution(filters, 1, 1), Convolution(filters, 3, stride),
                    Convolution(out, 1, 1)};
  } else {
    convolutions = {Convolution(filters, 3, stride), Convolution(filters, 3, 1)};
  }
  std::string text = "  - residual:\n      layers:\n";
  for (size_t i = 0; i < convolutions.size(); ++i) {
    text += "        - " + convolutions[i] + "\n        - batch_norm\n";
    if (i + 1 < convolutions.size()) text += "        - relu\n";
  }
  if (projects) {
    text +=
        "      shortcut:\n        - " + Convolution(out, 1, stride) + "\n        - batch_norm\n";
  }
  return text + "      activation: relu\n";
}

// A bottleneck turned inside out: wide in its middle, without activation at its end.
std::string Inverted(int64_t in, int64_t factor, int64_t filters, int64_t stride) {
  std::vector<std::string> layers;
  if (factor > 1) {
    layers.insert(layers.end(), {Convolution(in * factor, 1, 1), "batch_norm", "relu6"});
  }
  layers.push_back(
      fmt::format("conv: {{filters: 0, kernel: 3, stride: {}, padding: 1, groups: "
                  "depthwise, bias: false, kernel_initializer: he_normal}}",
                  stride));
  layers.insert(layers.end(), {"batch_norm", "relu6", Convolution(filters, 1, 1), "batch_norm"});
  const bool around = stride == 1 && in == filters;
  std::string text = around ? "  - residual:\n" : "";
  for (const std::string& layer : layers) {
    text += (around ? "      - " : "  - ") + layer + "\n";
  }
  return text;
}

}  // namespace

ModelOptions LeNet(int64_t classes) {
  return Model(
      fmt::format("layers:\n"
                  "  - conv: {{filters: 6, kernel: 5, padding: 2, activation: tanh}}\n"
                  "  - average_pool: 2\n"
                  "  - conv: {{filters: 16, kernel: 5, padding: valid, activation: tanh}}\n"
                  "  - average_pool: 2\n"
                  "  - flatten\n"
                  "  - dense: {{units: 120, activation: tanh}}\n"
                  "  - dense: {{units: 84, activation: tanh}}\n"
                  "  - {{dense: {}, name: head}}\n",
                  classes));
}

ModelOptions Vgg(const std::vector<int64_t>& filters, int64_t classes) {
  std::string text = "layers:\n";
  for (const int64_t count : filters) {
    for (int i = 0; i < 2; ++i) {
      text += fmt::format(
          "  - conv: {{filters: {}, kernel: 3, padding: 1, activation: relu, "
          "kernel_initializer: he_normal}}\n",
          count);
    }
    text += "  - max_pool: 2\n";
  }
  return Model(text + fmt::format("  - flatten\n"
                                  "  - dense: {{units: 256, activation: relu, kernel_initializer: "
                                  "he_normal}}\n  - dropout: 0.5\n  - {{dense: {}, name: head}}\n",
                                  classes));
}

ModelOptions ResNet(const ResNetOptions& options) {
  static const std::map<int64_t, std::vector<int>> kStages = {
      {18, {2, 2, 2, 2}}, {34, {3, 4, 6, 3}}, {50, {3, 4, 6, 3}}};
  const auto stages = kStages.find(options.depth);
  Require(stages != kStages.end(),
          fmt::format("there is no ResNet-{}, expected 18, 34 or 50", options.depth));
  const bool bottleneck = options.depth >= 50;
  std::string text = "layers:\n  - " +
                     (options.large_pictures ? Convolution(64, 7, 2) : Convolution(64, 3, 1)) +
                     "\n  - batch_norm\n  - relu\n";
  if (options.large_pictures) text += "  - max_pool: {size: 3, stride: 2, padding: [1, 1]}\n";
  int64_t filters = 64;
  for (size_t stage = 0; stage < stages->second.size(); ++stage, filters *= 2) {
    for (int i = 0; i < stages->second[stage]; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      const bool projects = i == 0 && (stage > 0 || bottleneck);
      text += Residual(bottleneck, filters, stride, projects);
    }
  }
  return Model(text + fmt::format("  - global_average_pool\n  - flatten\n"
                                  "  - {{dense: {}, name: head}}\n",
                                  options.classes));
}

ModelOptions MobileNetV2(int64_t classes) {
  // Factor of the middle, filters, blocks, stride of the first: the table of the paper, with the
  // first strides 1.
  static constexpr int64_t kStages[][4] = {{1, 16, 1, 1}, {6, 24, 2, 1}, {6, 32, 3, 2},
                                           {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2},
                                           {6, 320, 1, 1}};
  std::string text = "layers:\n  - " + Convolution(32, 3, 1) + "\n  - batch_norm\n  - relu6\n";
  int64_t in = 32;
  for (const auto& stage : kStages) {
    for (int64_t i = 0; i < stage[2]; ++i) {
      text += Inverted(in, stage[0], stage[1], i == 0 ? stage[3] : 1);
      in = stage[1];
    }
  }
  text += "  - " + Convolution(1280, 1, 1) + "\n  - batch_norm\n  - relu6\n";
  return Model(text + fmt::format("  - global_average_pool\n  - flatten\n"
                                  "  - {{dense: {}, name: head}}\n",
                                  classes));
}

}  // namespace ingot::nn::zoo
