// A node while it is imported, and how old versions of ops are brought to the newest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/ir/attribute.h"
#include "ingot/ir/builder.h"

namespace ingot::onnx {

// A node of the file with its values found. What a rewrite changes it to is then added to the
// graph.
struct ImportedNode {
  std::string op;
  std::string domain;
  std::string name;
  int64_t version = 0;             // of its domain, as the model (or function) imports it
  std::vector<ir::Value*> inputs;  // null: left out
  ir::Attributes attributes;
  size_t outputs = 1;

  ir::Value* input(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  bool Has(const std::string& attribute) const { return attributes.count(attribute) > 0; }
  int64_t Int(const std::string& attribute, int64_t otherwise) const;
  double Float(const std::string& attribute, double otherwise) const;
  std::string String(const std::string& attribute, const std::string& otherwise) const;
  std::vector<int64_t> Ints(const std::string& attribute) const;  // empty where absent
  // Input i becomes `value`; those between are left out.
  void SetInput(size_t i, ir::Value* value);
  void Drop(const std::string& attribute) { attributes.erase(attribute); }
  // Moves an attribute of integers (or one of them) to input i, as later versions have it.
  void IntsToInput(ir::Builder& builder, const std::string& attribute, size_t i);
};

// Either changes the node (returns nullopt), or adds what it stands for and returns its outputs.
using Outputs = std::optional<std::vector<ir::Value*>>;
using Rewrite = Outputs (*)(ImportedNode&, ir::Builder&);

constexpr int64_t kEveryVersion = 1'000'000;

struct VersionChange {
  std::string_view op;
  std::string_view domain;
  int64_t before;  // the rewrite is for nodes of a version below this one
  Rewrite rewrite;
};

// Every change of every family, in the order in which they apply. One node may meet several.
const std::vector<VersionChange>& VersionChanges();

// Each family's, in versions/.
std::vector<VersionChange> ElementwiseChanges();
std::vector<VersionChange> ShapeChanges();
std::vector<VersionChange> ReductionChanges();
std::vector<VersionChange> NormalizationChanges();
std::vector<VersionChange> ImageChanges();
std::vector<VersionChange> SequenceModelChanges();
std::vector<VersionChange> SequenceLengthChanges();
std::vector<VersionChange> QuantizationChanges();
std::vector<VersionChange> FormChanges();

}  // namespace ingot::onnx
