// What changed in normalisations: BatchNormalization (7, 9, 14) and GroupNormalization (21).
#include "ingot/base/error.h"
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

// Further outputs were for training, where statistics were replaced in place.
Outputs OldBatchNormalization(ImportedNode& node, ir::Builder&) {
  if (node.Int("spatial", 1) == 0) {
    throw Error(ErrorCode::kUnsupported, "statistics of every place (spatial = 0), of opset 8",
                "convert the model to opset 9 or later");
  }
  node.Drop("spatial");
  node.Drop("is_test");
  node.outputs = 1;
  return std::nullopt;
}

// Below 21 there was a scale and a bias for each group; now there is one for each channel.
Outputs OldGroupNormalization(ImportedNode& node, ir::Builder& builder) {
  const int64_t groups = node.Int("num_groups", 1);
  if (node.input(0) == nullptr || node.input(2) == nullptr) return std::nullopt;
  const ir::Type& x = node.inputs[0]->type();
  const int64_t channels = x.has_rank() && x.rank() > 1 ? x.dim(1).value() : -1;
  if (channels < 0 || groups < 1 || channels % groups != 0) {
    throw Error(ErrorCode::kUnsupported, "of opset 18 to 20 on " + x.ToString() +
                                             ", whose channels " + std::to_string(groups) +
                                             " groups do not share");
  }
  for (size_t i = 1; i <= 2; ++i) {
    ir::Value* column = builder.Op("Unsqueeze", {node.inputs[i], builder.Ints({1})});
    ir::Value* wide = builder.Op("Expand", {column, builder.Ints({groups, channels / groups})});
    node.inputs[i] = builder.Op("Reshape", {wide, builder.Ints({channels})});
  }
  return std::nullopt;
}

Outputs DropConsumedInputs(ImportedNode& node, ir::Builder&) {
  node.Drop("consumed_inputs");
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> NormalizationChanges() {
  return {{"BatchNormalization", "", 14, OldBatchNormalization},
          {"GroupNormalization", "", 21, OldGroupNormalization},
          {"InstanceNormalization", "", 7, DropConsumedInputs}};
}

}  // namespace ingot::onnx
