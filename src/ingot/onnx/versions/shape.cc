// What changed in ops that move elements: attributes that became inputs.
#include "ingot/base/error.h"
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

Outputs OldSqueeze(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "axes", 1);
  return std::nullopt;
}

Outputs OldSlice(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "starts", 1);
  node.IntsToInput(builder, "ends", 2);
  node.IntsToInput(builder, "axes", 3);
  return std::nullopt;
}

// Below 18 equal parts needed no attribute: there were as many as outputs.
Outputs OldSplit(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "split", 1);
  if (node.input(1) == nullptr) {
    node.attributes["num_outputs"] = static_cast<int64_t>(node.outputs);
  }
  return std::nullopt;
}

Outputs OldPad(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "pads", 1);
  if (node.Has("value") && node.input(0) != nullptr) {
    node.SetInput(2, builder.ScalarLike(node.inputs[0], node.Float("value", 0)));
  }
  node.Drop("value");
  return std::nullopt;
}

Outputs OldReshape(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "shape", 1);
  return std::nullopt;
}

Outputs OldConcat(ImportedNode& node, ir::Builder&) {
  if (!node.Has("axis")) node.attributes["axis"] = int64_t{1};
  return std::nullopt;
}

Outputs OldTopK(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "k", 1);
  return std::nullopt;
}

Outputs OldScatter(ImportedNode& node, ir::Builder&) {
  node.op = "ScatterElements";
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> ShapeChanges() {
  return {{"Squeeze", "", 13, OldSqueeze}, {"Unsqueeze", "", 13, OldSqueeze},
          {"Reshape", "", 5, OldReshape},  {"Concat", "", 4, OldConcat},
          {"Slice", "", 10, OldSlice},     {"Split", "", 18, OldSplit},
          {"Pad", "", 11, OldPad},         {"TopK", "", 10, OldTopK},
          {"Scatter", "", 11, OldScatter}};
}

}  // namespace ingot::onnx
