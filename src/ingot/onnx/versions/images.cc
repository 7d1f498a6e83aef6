// What changed in ops on pictures: Upsample became Resize (10, 11), GridSample's names of modes
// (20).
#include "ingot/base/error.h"
#include "ingot/onnx/node.h"
#include "ingot/ops/definition.h"

namespace ingot::onnx {
namespace {

// Before 11 the places of X's elements were counted from its corner, and rounded down.
void SetOldPlaces(ImportedNode& node) {
  node.attributes["coordinate_transformation_mode"] = std::string("asymmetric");
  node.attributes["nearest_mode"] = std::string("floor");
}

Outputs OldUpsample(ImportedNode& node, ir::Builder& builder) {
  const auto scales = node.attributes.find("scales");
  if (scales != node.attributes.end()) {
    const auto* values = std::get_if<std::vector<double>>(&scales->second);
    if (values == nullptr) {
      throw Error(ErrorCode::kInvalidInput, "attribute 'scales' is no list of numbers");
    }
    const std::vector<float> floats(values->begin(), values->end());
    node.SetInput(1, builder.Constant(Tensor::Of<float>({static_cast<int64_t>(floats.size())},
                                                        std::span<const float>(floats))));
    node.Drop("scales");
  }
  if (node.String("mode", "nearest") == "bilinear") node.attributes["mode"] = std::string("linear");
  node.op = "Resize";
  node.SetInput(2, node.input(1));
  node.inputs[1] = nullptr;
  SetOldPlaces(node);
  return std::nullopt;
}

Outputs OldResize(ImportedNode& node, ir::Builder&) {
  if (node.version > 10 || node.Has("coordinate_transformation_mode")) return std::nullopt;
  node.SetInput(2, node.input(1));
  node.inputs[1] = nullptr;
  SetOldPlaces(node);
  return std::nullopt;
}

// Exporters give empty tensors where an input is not wanted.
Outputs DropEmptyInputs(ImportedNode& node, ir::Builder&) {
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const Tensor* constant = ops::ConstantValue(node.inputs[i]);
    if (constant != nullptr && constant->size() == 0) node.inputs[i] = nullptr;
  }
  return std::nullopt;
}

// Places in column-major order concern the second output alone.
Outputs SimplerMaxPool(ImportedNode& node, ir::Builder&) {
  if (node.outputs <= 1) node.Drop("storage_order");
  return std::nullopt;
}

Outputs OldGridSample(ImportedNode& node, ir::Builder&) {
  const std::string mode = node.String("mode", "bilinear");
  if (mode == "bilinear") node.attributes["mode"] = std::string("linear");
  if (mode == "bicubic") node.attributes["mode"] = std::string("cubic");
  return std::nullopt;
}

// The half of a pixel that boxes are moved by became the default.
Outputs OldRoiAlign(ImportedNode& node, ir::Builder&) {
  node.attributes.try_emplace("coordinate_transformation_mode", std::string("output_half_pixel"));
  return std::nullopt;
}

Outputs OldDft(ImportedNode& node, ir::Builder& builder) {
  node.SetInput(2, builder.Constant(Tensor::Scalar<int64_t>(node.Int("axis", 1))));
  node.Drop("axis");
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> ImageChanges() {
  return {{"Upsample", "", 1000, OldUpsample},   {"Resize", "", 11, OldResize},
          {"Resize", "", 1000, DropEmptyInputs}, {"MaxPool", "", 1000, SimplerMaxPool},
          {"GridSample", "", 20, OldGridSample}, {"DFT", "", 20, OldDft},
          {"RoiAlign", "", 16, OldRoiAlign}};
}

}  // namespace ingot::onnx
