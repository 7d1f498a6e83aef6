// What changed in reductions and softmax: axes became an input (13 and 18), and softmax no longer
// sees its input as a matrix (13).
#include "ingot/base/error.h"
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

Outputs OldReduction(ImportedNode& node, ir::Builder& builder) {
  node.IntsToInput(builder, "axes", 1);
  return std::nullopt;
}

// Over all axes from `axis` on together.
Outputs OldSoftmax(ImportedNode& node, ir::Builder& builder) {
  const int64_t axis = node.Int("axis", 1);
  if (node.input(0) == nullptr) return std::nullopt;
  ir::Value* x = node.inputs[0];
  const int64_t rank = x->type().rank();
  node.attributes["axis"] = int64_t{-1};
  if (axis == rank - 1 || axis == -1) return std::nullopt;
  ir::Value* matrix = builder.Op("Flatten", {x}, {{"axis", axis}});
  ir::Value* result = builder.Op(node.op, {matrix}, node.attributes);
  return std::vector<ir::Value*>{builder.Op("Reshape", {result, builder.Op("Shape", {x})})};
}

}  // namespace

std::vector<VersionChange> ReductionChanges() {
  std::vector<VersionChange> changes;
  for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                         "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"}) {
    changes.push_back({op, "", 18, OldReduction});
  }
  changes.push_back({"ReduceSum", "", 13, OldReduction});
  for (const char* op : {"Softmax", "LogSoftmax", "Hardmax"}) {
    changes.push_back({op, "", 13, OldSoftmax});
  }
  return changes;
}

}  // namespace ingot::onnx
