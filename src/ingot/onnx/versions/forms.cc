// Forms of ops that have an op of their own here, whatever the version: Attention with past keys, a
// window or its scores as an output; MaxPool with indices; BatchNormalization in training mode.
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

Outputs AttentionForms(ImportedNode& node, ir::Builder& builder) {
  bool cached = node.outputs > 1;
  for (size_t i = 4; i < node.inputs.size(); ++i) cached = cached || node.inputs[i] != nullptr;
  for (const char* window : {"left_window_size", "right_window_size"}) {
    if (node.Int(window, -1) >= 0) {
      cached = true;
    } else {
      node.Drop(window);
    }
  }
  if (cached) {
    return builder.Ops("ingot.CachedAttention", node.inputs, node.outputs, node.attributes);
  }
  node.Drop("qk_matmul_output_mode");
  node.Drop("softmax_precision");
  return std::nullopt;
}

Outputs MaxPoolForms(ImportedNode& node, ir::Builder& builder) {
  if (node.outputs < 2) return std::nullopt;
  return builder.Ops("ingot.MaxPoolWithIndices", node.inputs, 2, node.attributes);
}

Outputs BatchNormalizationForms(ImportedNode& node, ir::Builder& builder) {
  const bool training = node.Int("training_mode", 0) != 0;
  node.Drop("training_mode");
  if (!training) {
    node.outputs = 1;
    node.Drop("momentum");
    return std::nullopt;
  }
  return builder.Ops("ingot.BatchNormalizationOfBatch", node.inputs, node.outputs, node.attributes);
}

}  // namespace

std::vector<VersionChange> FormChanges() {
  return {{"Attention", "", kEveryVersion, AttentionForms},
          {"MaxPool", "", kEveryVersion, MaxPoolForms},
          {"BatchNormalization", "", kEveryVersion, BatchNormalizationForms}};
}

}  // namespace ingot::onnx
