// Attributes of nodes: constants known when the graph is built. ONNX's kinds, and no others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ingot/ir/type.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ir {

class Graph;

using Attribute =
    std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                 std::vector<std::string>, Tensor, Type, std::shared_ptr<Graph>>;

// Ordered by name, so that printing and hashing are stable.
using Attributes = std::map<std::string, Attribute>;

enum class AttributeKind {
  kInt,
  kFloat,
  kString,
  kInts,
  kFloats,
  kStrings,
  kTensor,
  kType,
  kGraph,
};

AttributeKind KindOf(const Attribute& attribute);
const char* Name(AttributeKind kind);

// "axis=1" is printed by the printer with this for the right side. Tensors print as type and, when
// small, their values; graphs as their name.
std::string ToString(const Attribute& attribute);

// Equality by value (tensors bit by bit, subgraphs by identity).
bool Equal(const Attribute& a, const Attribute& b);

}  // namespace ingot::ir
