// What the passes of this room share: recognising nodes and constants, replacing nodes.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "ingot/ir/builder.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// Calls `change` for each subgraph of the graph's nodes, innermost first, and then for the graph.
// Bodies of ingot.FusedElementwise are left out: what they hold is one kernel.
void ForEachGraph(ir::Graph& graph, const std::function<void(ir::Graph&)>& change);

// Whether the node is there and of this op: Is(node, "Gemm"), Is(node, "ingot.SumToLike").
bool Is(const ir::Node* node, std::string_view full_name);

// The one node that uses the value, once; null where others do or the graph gives it out.
ir::Node* OnlyUser(const ir::Value* value);

// The value of a Constant, else null.
const Tensor* ConstantOf(const ir::Value* value);

// Whether the value is a Constant of which every element is `number`.
bool IsFilledWith(const ir::Value* value, double number);

// True only when both are tensors whose shapes are surely the same.
bool SurelySameShape(const ir::Type& a, const ir::Type& b);

// Whether nothing that both types know differs.
bool MayBeEqual(const ir::Type& a, const ir::Type& b);

// A builder that adds before `node`, in its layer.
ir::Builder BuilderBefore(ir::Node* node, const ir::OpRegistry& registry);

// Makes every use of the node's only output a use of `value`, and removes the node. The value takes
// over the output's name where it has none.
void ReplaceNode(ir::Node* node, ir::Value* value);

// Whether the node may be replaced by `value`, which stood in the graph before: an output of the
// graph should stay a value of its own, so that it does not become an input or two outputs one.
bool MayBeReplacedBy(const ir::Node* node, const ir::Value* value);

// The axes' order of a Transpose; reversed where the attribute is absent.
std::vector<int64_t> PermutationOf(const ir::Node& transpose);

}  // namespace ingot::passes
