// Shape rules of ops whose output shape depends on the values of inputs (Reshape, Slice,
// reductions): one rule serves the building of graphs, where such a value is known if it is a
// Constant, and the reference kernel, where it always is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ingot/ir/op.h"

namespace ingot::ops {

// What a rule sees. Valid during the call only.
struct RuleInputs {
  const ir::Node& node;
  std::vector<ir::Type> types;        // of unknown kind for an absent input
  std::vector<const Tensor*> values;  // null where the value is not known

  bool has(size_t i) const {
    return i < types.size() && types[i].kind() != ir::Type::Kind::kUnknown;
  }
  const ir::Type& type(size_t i) const { return types.at(i); }
  // The value of an integer input, if it is known (absent: nullopt).
  std::optional<std::vector<int64_t>> ints(size_t i) const;
  // Number of elements of a rank 1 input, if that is known.
  std::optional<int64_t> length(size_t i) const;
};

// Returns the types of all outputs; throws Error(kInvalidInput) where inputs do not fit.
using ShapeRule = std::function<std::vector<ir::Type>(const RuleInputs&)>;

// Throws Error(kInvalidInput), as a rule does whose inputs do not fit.
[[noreturn]] void Refuse(const std::string& message, const std::string& hint = "");

// Sets `infer` and `dynamic_reference` from the rule; `reference` must be set already.
void SetShapeRule(ir::OpDefinition& op, ShapeRule rule);

// The elements of an i32 or i64 tensor; throws Error(kInvalidInput) for other types.
std::vector<int64_t> ReadInts(const TensorView& view);
// The same for an optional input of a reference call: empty where it is absent.
std::vector<int64_t> ReadInts(const ir::ReferenceCall& call, size_t input);

// The product of extents: a number, a symbol (where the others are 1), or unknown.
ir::Dimension Product(std::span<const ir::Dimension> dims);

// What is known of an extent that two tensors share; throws Error(kInvalidInput), naming `what` and
// both, where they surely differ.
ir::Dimension Merge(const ir::Dimension& a, const ir::Dimension& b, const char* what);

// n unknown extents.
ir::Dimensions UnknownDimensions(int64_t n);

}  // namespace ingot::ops
