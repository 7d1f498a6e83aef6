// SumToLike, ExpandLike and ReshapeLike with shapes that are known.
#include "ingot/passes/resolve_like.h"

#include <optional>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Type;
using ir::Value;

// What Reshape's `shape` input must hold for a type: at most one extent that is not known, and no
// extent of 0, which Reshape reads as "as it was".
std::optional<std::vector<int64_t>> ReshapeTarget(const Type& type) {
  std::vector<int64_t> target;
  int unknown = 0;
  for (const ir::Dimension& dim : type.dims()) {
    if (dim.value() == 0) return std::nullopt;
    unknown += dim.is_static() ? 0 : 1;
    target.push_back(dim.value());  // -1 unless static: Reshape works that one out
  }
  if (unknown > 1) return std::nullopt;
  return target;
}

// The axes of x that SumToLike sums, and whether some of them stay with extent 1; none where that
// is not sure.
struct SummedAxes {
  std::vector<int64_t> axes;
  bool some_stay = false;
};

std::optional<SummedAxes> AxesToSum(const Type& x, const Type& like) {
  if (!x.has_rank() || !like.has_rank() || x.rank() < like.rank()) return std::nullopt;
  SummedAxes summed;
  const int leading = x.rank() - like.rank();
  for (int axis = 0; axis < leading; ++axis) summed.axes.push_back(axis);
  for (int i = 0; i < like.rank(); ++i) {
    if (x.dim(leading + i).SurelyEquals(like.dim(i))) continue;
    if (like.dim(i).value() != 1) return std::nullopt;
    summed.axes.push_back(leading + i);
    summed.some_stay = true;
  }
  return summed;
}

Value* ResolveSum(Node* node, const ir::OpRegistry& registry) {
  Value* x = node->input(0);
  const Type& like = node->input(1)->type();
  const std::optional<SummedAxes> summed = AxesToSum(x->type(), like);
  if (!summed) return nullptr;
  ir::Builder builder = BuilderBefore(node, registry);
  const bool leading = x->type().rank() > like.rank();
  if (!(leading && summed->some_stay)) {
    Value* axes = builder.Ints(summed->axes);
    return builder.Op("ReduceSum", {x, axes}, {{"keepdims", int64_t{leading ? 0 : 1}}});
  }
  const auto target = ReshapeTarget(like);
  if (!target) return nullptr;
  Value* axes = builder.Ints(summed->axes);
  Value* sum = builder.Op("ReduceSum", {x, axes}, {{"keepdims", int64_t{0}}});
  return builder.Op("Reshape", {sum, builder.Ints(*target)});
}

Value* ResolveExpand(Node* node, const ir::OpRegistry& registry) {
  const Type& like = node->input(1)->type();
  if (!like.is_static()) return nullptr;
  ir::Builder builder = BuilderBefore(node, registry);
  return builder.Op("Expand", {node->input(0), builder.Ints(like.shape().dims())});
}

Value* ResolveReshape(Node* node, const ir::OpRegistry& registry) {
  const Type& like = node->input(1)->type();
  if (!like.is_static()) return nullptr;
  const auto target = ReshapeTarget(like);
  if (!target) return nullptr;
  ir::Builder builder = BuilderBefore(node, registry);
  return builder.Op("Reshape", {node->input(0), builder.Ints(*target)});
}

// The value that the node can be replaced by; null where it is of another op or not known enough.
Value* Resolve(Node* node, const ir::OpRegistry& registry) {
  const bool sum = Is(node, "ingot.SumToLike");
  const bool expand = Is(node, "ingot.ExpandLike");
  const bool reshape = Is(node, "ingot.ReshapeLike");
  if (!sum && !expand && !reshape) return nullptr;
  Value* x = node->input(0);
  if (SurelySameShape(x->type(), node->input(1)->type())) {
    if (MayBeReplacedBy(node, x)) return x;
    return BuilderBefore(node, registry).Op("Identity", {x});
  }
  if (sum) return ResolveSum(node, registry);
  return expand ? ResolveExpand(node, registry) : ResolveReshape(node, registry);
}

}  // namespace

void ResolveLike(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    for (Node* node : each.nodes()) {
      if (Value* value = Resolve(node, registry)) ReplaceNode(node, value);
    }
  });
}

}  // namespace ingot::passes
