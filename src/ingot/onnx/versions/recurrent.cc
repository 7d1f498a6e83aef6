// Attributes of recurrent ops: one that had no effect went away (7), another says what is so
// anyway.
#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

std::optional<std::vector<ir::Value*>> DropOutputSequence(ImportedNode& node, ir::Builder&) {
  node.Drop("output_sequence");
  return std::nullopt;
}

// Exporters write the default.
std::optional<std::vector<ir::Value*>> DropDefaults(ImportedNode& node, ir::Builder&) {
  if (node.Int("input_forget", 0) == 0) node.Drop("input_forget");
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> SequenceModelChanges() {
  return {{"LSTM", "", 7, DropOutputSequence},
          {"GRU", "", 7, DropOutputSequence},
          {"RNN", "", 7, DropOutputSequence},
          {"LSTM", "", 1000, DropDefaults}};
}

}  // namespace ingot::onnx
