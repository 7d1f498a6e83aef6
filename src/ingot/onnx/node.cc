// Attributes of nodes as rewrites read them, and the list of all version changes.
#include "ingot/onnx/node.h"

#include "ingot/base/error.h"

namespace ingot::onnx {
namespace {

template <typename T>
const T* Get(const ImportedNode& node, const std::string& attribute) {
  const auto found = node.attributes.find(attribute);
  if (found == node.attributes.end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw Error(ErrorCode::kInvalidInput, "attribute '" + attribute + "' is of kind " +
                                              ir::Name(ir::KindOf(found->second)) +
                                              ", which it cannot be");
  }
  return value;
}

}  // namespace

int64_t ImportedNode::Int(const std::string& attribute, int64_t otherwise) const {
  const auto* value = Get<int64_t>(*this, attribute);
  return value == nullptr ? otherwise : *value;
}

double ImportedNode::Float(const std::string& attribute, double otherwise) const {
  const auto* value = Get<double>(*this, attribute);
  return value == nullptr ? otherwise : *value;
}

std::string ImportedNode::String(const std::string& attribute, const std::string& otherwise) const {
  const auto* value = Get<std::string>(*this, attribute);
  return value == nullptr ? otherwise : *value;
}

std::vector<int64_t> ImportedNode::Ints(const std::string& attribute) const {
  const auto* value = Get<std::vector<int64_t>>(*this, attribute);
  return value == nullptr ? std::vector<int64_t>() : *value;
}

void ImportedNode::SetInput(size_t i, ir::Value* value) {
  if (inputs.size() <= i) inputs.resize(i + 1, nullptr);
  inputs[i] = value;
}

void ImportedNode::IntsToInput(ir::Builder& builder, const std::string& attribute, size_t i) {
  const auto found = attributes.find(attribute);
  if (found == attributes.end()) return;
  const auto* one = std::get_if<int64_t>(&found->second);
  const std::vector<int64_t> values = one == nullptr ? Ints(attribute) : std::vector<int64_t>{*one};
  SetInput(i, builder.Ints(values));
  Drop(attribute);
}

const std::vector<VersionChange>& VersionChanges() {
  static const std::vector<VersionChange> changes = [] {
    std::vector<VersionChange> all;
    for (const auto& family : {ElementwiseChanges(), ShapeChanges(), ReductionChanges(),
                               NormalizationChanges(), ImageChanges(), SequenceModelChanges(),
                               SequenceLengthChanges(), QuantizationChanges(), FormChanges()}) {
      all.insert(all.end(), family.begin(), family.end());
    }
    return all;
  }();
  return changes;
}

}  // namespace ingot::onnx
