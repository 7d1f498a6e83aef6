// Attributes of recurrent ops: one that had no effect went away (7), another says what is so
// anyway.
#include <cctype>
#include <string>
#include <variant>
#include <vector>

#include "ingot/onnx/node.h"

namespace ingot::onnx {
namespace {

std::optional<std::vector<ir::Value*>> DropOutputSequence(ImportedNode& node, ir::Builder&) {
  node.Drop("output_sequence");
  return std::nullopt;
}

// Names of activations are the same in capitals and small letters.
std::string Small(std::string name) {
  for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
  return name;
}

// What the op does where nothing is said, once for each direction.
bool AreDefaults(const ImportedNode& node, const std::vector<std::string>& activations) {
  std::vector<std::string> of_one = {"tanh"};
  if (node.op == "GRU") of_one = {"sigmoid", "tanh"};
  if (node.op == "LSTM") of_one = {"sigmoid", "tanh", "tanh"};
  const size_t directions = node.String("direction", "forward") == "bidirectional" ? 2 : 1;
  if (activations.size() != directions * of_one.size()) return false;
  for (size_t i = 0; i < activations.size(); ++i) {
    if (Small(activations[i]) != of_one[i % of_one.size()]) return false;
  }
  return true;
}

// Exporters write the defaults: PyTorch the activation of an RNN.
std::optional<std::vector<ir::Value*>> DropDefaults(ImportedNode& node, ir::Builder&) {
  if (node.Int("input_forget", 0) == 0) node.Drop("input_forget");
  const auto found = node.attributes.find("activations");
  if (found == node.attributes.end()) return std::nullopt;
  const auto* activations = std::get_if<std::vector<std::string>>(&found->second);
  if (activations != nullptr && AreDefaults(node, *activations)) node.Drop("activations");
  return std::nullopt;
}

}  // namespace

std::vector<VersionChange> SequenceModelChanges() {
  return {{"LSTM", "", 7, DropOutputSequence},      {"GRU", "", 7, DropOutputSequence},
          {"RNN", "", 7, DropOutputSequence},       {"LSTM", "", kEveryVersion, DropDefaults},
          {"GRU", "", kEveryVersion, DropDefaults}, {"RNN", "", kEveryVersion, DropDefaults}};
}

}  // namespace ingot::onnx
