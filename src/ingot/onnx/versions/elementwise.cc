// What changed in elementwise ops: broadcasting (opset 7), limits of Clip (11), Dropout (7, 10,
// 12).
#include "ingot/base/error.h"
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

// Input `i` with `count` axes of extent 1 behind its own.
void AddTrailingAxes(ImportedNode& node, ir::Builder& builder, size_t i, int64_t count) {
  if (count <= 0) return;
  std::vector<int64_t> axes;
  const int rank = node.inputs[i]->type().rank();
  for (int64_t a = 0; a < count; ++a) axes.push_back(rank + a);
  node.inputs[i] = builder.Op("Unsqueeze", {node.inputs[i], builder.Ints(axes)});
}

// Below 7 the second operand was broadcast only where asked for, and laid along `axis`.
Outputs OldBroadcast(ImportedNode& node, ir::Builder& builder) {
  const int64_t axis = node.Int("axis", -1);
  if (node.Int("broadcast", 0) != 0 && node.Has("axis") && axis >= 0) {
    if (node.input(0) == nullptr || node.input(1) == nullptr) return std::nullopt;
    const int64_t ranks = node.inputs[0]->type().rank() - node.inputs[1]->type().rank();
    AddTrailingAxes(node, builder, 1, ranks - axis);
  }
  node.Drop("axis");
  node.Drop("broadcast");
  return std::nullopt;
}

// Below 7 a slope for each channel had one axis; now it broadcasts from the last axis.
Outputs OldPRelu(ImportedNode& node, ir::Builder& builder) {
  if (node.input(0) == nullptr || node.input(1) == nullptr) return std::nullopt;
  const ir::Type& slope = node.inputs[1]->type();
  if (slope.rank() == 1 && slope.dim(0).value() != 1) {
    AddTrailingAxes(node, builder, 1, node.inputs[0]->type().rank() - 2);
  }
  return std::nullopt;
}

Outputs OldClip(ImportedNode& node, ir::Builder& builder) {
  const char* const names[] = {"min", "max"};
  for (size_t i = 0; i < 2; ++i) {
    if (node.Has(names[i]) && node.input(0) != nullptr) {
      node.SetInput(i + 1, builder.ScalarLike(node.inputs[0], node.Float(names[i], 0)));
    }
    node.Drop(names[i]);
  }
  return std::nullopt;
}

// Where models are run, not trained, nothing is dropped: the ratio was an attribute and had no
// effect.
Outputs OldDropout(ImportedNode& node, ir::Builder& builder) {
  if (node.input(0) == nullptr) return std::nullopt;
  ir::Value* x = node.inputs[0];
  std::vector<ir::Value*> outputs = {builder.Op("Identity", {x})};
  if (node.outputs > 1) {
    ir::Value* mask = builder.Ops("Dropout", {x}, 2)[1];
    if (node.version < 10) {
      mask = builder.Op("Cast", {mask}, {{"to", static_cast<int64_t>(x->type().dtype())}});
    }
    outputs.push_back(mask);
  }
  return outputs;
}

// Below 6 it told an executor where it might write in place.
Outputs DropConsumedInputs(ImportedNode& node, ir::Builder&) {
  node.Drop("consumed_inputs");
  return std::nullopt;
}

Outputs OldGemm(ImportedNode& node, ir::Builder&) {
  node.Drop("broadcast");
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> ElementwiseChanges() {
  std::vector<VersionChange> changes;
  for (const char* op : {"Abs",         "Add",       "Ceil",
                         "Clip",        "Div",       "Dropout",
                         "Elu",         "Exp",       "Floor",
                         "HardSigmoid", "LeakyRelu", "Log",
                         "Max",         "Mean",      "Min",
                         "Mul",         "Neg",       "PRelu",
                         "Reciprocal",  "Relu",      "Selu",
                         "Sigmoid",     "Sqrt",      "Sub",
                         "Sum",         "Tanh",      "BatchNormalization"}) {
    changes.push_back({op, "", 6, DropConsumedInputs});
  }
  for (const char* op :
       {"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"}) {
    changes.push_back({op, "", 7, OldBroadcast});
  }
  changes.push_back({"PRelu", "", 7, OldPRelu});
  changes.push_back({"Gemm", "", 7, OldGemm});
  changes.push_back({"Clip", "", 11, OldClip});
  changes.push_back({"Dropout", "", 12, OldDropout});
  return changes;
}

}  // namespace ingot::onnx
