// Local rewrites, repeated until nothing changes.
#include "ingot/passes/canonicalize.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/ir/infer.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// A rewrite returns the value that the node's output becomes, null where it does not apply.

Value* DropNeutral(Node* node) {
  const bool add = Is(node, "Add");
  const bool mul = Is(node, "Mul");
  if (!add && !mul && !Is(node, "Sub") && !Is(node, "Div")) return nullptr;
  const double neutral = add || Is(node, "Sub") ? 0 : 1;
  for (size_t i = 0; i < 2; ++i) {
    if (i == 1 && !add && !mul) break;  // 0 - x and 1 / x are not x
    Value* x = node->input(i);
    if (IsFilledWith(node->input(1 - i), neutral) &&
        SurelySameShape(x->type(), node->output()->type())) {
      return x;
    }
  }
  return nullptr;
}

Value* DropNothing(Node* node) {
  if (Is(node, "Identity")) return node->input(0);
  if (Is(node, "Neg") && Is(node->input(0)->producer(), "Neg")) {
    return node->input(0)->producer()->input(0);
  }
  const ir::Type& output = node->output()->type();
  if (Is(node, "Cast") && node->input(0)->type().dtype() == output.dtype()) return node->input(0);
  for (const char* name : {"Reshape", "Flatten", "Expand"}) {
    if (Is(node, name) && SurelySameShape(node->input(0)->type(), output)) return node->input(0);
  }
  return DropNeutral(node);
}

Value* MergeReshapes(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "Reshape")) return nullptr;
  Node* inner = node->input(0)->producer();
  if (!Is(inner, "Reshape") && !Is(inner, "Flatten")) return nullptr;
  if (!node->output()->type().is_static()) return nullptr;
  const std::vector<int64_t> dims = node->output()->type().shape().dims();
  // Reshape reads an extent of 0 as "as it was".
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return nullptr;
  ir::Builder builder = BuilderBefore(node, registry);
  return builder.Op("Reshape", {inner->input(0), builder.Ints(dims)});
}

Value* MergeTransposes(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "Transpose") || !node->input(0)->type().has_rank()) return nullptr;
  std::vector<int64_t> perm = PermutationOf(*node);
  Value* source = node->input(0);
  const Node* inner = source->producer();
  const bool merge = Is(inner, "Transpose");
  if (merge) {
    const std::vector<int64_t> first = PermutationOf(*inner);
    for (int64_t& axis : perm) axis = first[static_cast<size_t>(axis)];
    source = inner->input(0);
  }
  if (std::is_sorted(perm.begin(), perm.end())) return source;
  if (!merge) return nullptr;
  return BuilderBefore(node, registry).Op("Transpose", {source}, {{"perm", perm}});
}

bool IsMatrixTranspose(const Value* value) {
  const Node* node = value->producer();
  return Is(node, "Transpose") && value->type().has_rank() && value->type().rank() == 2 &&
         PermutationOf(*node) == std::vector<int64_t>{1, 0};
}

bool IsMatrix(const Value* value) {
  return value->type().is_tensor() && value->type().has_rank() && value->type().rank() == 2;
}

Value* MoveTransposesIntoProducts(Node* node, const ir::OpRegistry& registry) {
  const bool gemm = Is(node, "Gemm");
  if (!gemm && !Is(node, "MatMul")) return nullptr;
  std::vector<Value*> inputs(node->inputs().begin(), node->inputs().end());
  if (!IsMatrix(inputs[0]) || !IsMatrix(inputs[1])) return nullptr;
  if (!IsFloat(node->output()->type().dtype())) return nullptr;  // Gemm is for floats
  ir::Attributes attributes = node->attributes();
  bool moved = false;
  for (size_t i = 0; i < 2; ++i) {
    if (!IsMatrixTranspose(inputs[i])) continue;
    const char* name = i == 0 ? "transA" : "transB";
    const int64_t before = gemm ? node->GetInt(name, 0) : 0;
    attributes[name] = int64_t{before == 0 ? 1 : 0};
    inputs[i] = inputs[i]->producer()->input(0);
    moved = true;
  }
  if (!moved) return nullptr;
  return BuilderBefore(node, registry).Op("Gemm", std::move(inputs), std::move(attributes));
}

// An elementwise op broadcasts by itself: an Expand in front of it is skipped where the op takes
// the smaller input and gives the same type. Returns whether the node changed.
bool SkipExpands(Node* node) {
  if (!node->op().elementwise) return false;
  bool changed = false;
  for (size_t i = 0; i < node->inputs().size(); ++i) {
    Value* input = node->input(i);
    if (input == nullptr) continue;
    const Node* producer = input->producer();
    if (!Is(producer, "Expand") && !Is(producer, "ingot.ExpandLike")) continue;
    node->SetInput(i, producer->input(0));
    bool same = false;
    try {
      same = ir::InferTypes(*node)[0] == node->output()->type();
    } catch (const Error&) {
      same = false;  // the op does not broadcast this input
    }
    if (!same) node->SetInput(i, input);
    changed = changed || same;
  }
  return changed;
}

bool Rewrite(Node* node, const ir::OpRegistry& registry) {
  bool changed = SkipExpands(node);
  if (Value* kept = DropNothing(node)) {
    if (!MayBeReplacedBy(node, kept)) return changed;
    ReplaceNode(node, kept);
    return true;
  }
  Value* made = MergeReshapes(node, registry);
  if (made == nullptr) made = MergeTransposes(node, registry);
  if (made == nullptr) made = MoveTransposesIntoProducts(node, registry);
  if (made == nullptr || !MayBeReplacedBy(node, made)) return changed;
  ReplaceNode(node, made);
  return true;
}

}  // namespace

void Canonicalize(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    bool changed = true;
    while (changed) {
      changed = false;
      for (Node* node : each.nodes()) changed = Rewrite(node, registry) || changed;
    }
  });
}

}  // namespace ingot::passes
