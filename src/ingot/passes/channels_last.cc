// Flips spatial ops to channels_last and moves the transpositions out of the way.
#include "ingot/passes/channels_last.h"

#include <algorithm>
#include <optional>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

using Order = std::vector<int64_t>;

// [N, C, spatial...] -> [N, spatial..., C].
Order ToLast(int rank) {
  Order order = {0};
  for (int64_t axis = 2; axis < rank; ++axis) order.push_back(axis);
  order.push_back(1);
  return order;
}

// [N, spatial..., C] -> [N, C, spatial...].
Order ToFirst(int rank) {
  Order order = {0, rank - 1};
  for (int64_t axis = 1; axis + 1 < rank; ++axis) order.push_back(axis);
  return order;
}

// [O, C / group, kernel...] -> [kernel..., C / group, O], and back.
Order FilterToLast(int rank) {
  Order order;
  for (int64_t axis = 2; axis < rank; ++axis) order.push_back(axis);
  order.push_back(1);
  order.push_back(0);
  return order;
}
Order FilterToFirst(int rank) {
  Order order = {rank - 1, rank - 2};
  for (int64_t axis = 0; axis + 2 < rank; ++axis) order.push_back(axis);
  return order;
}

bool HasRank(const Value* value, int least = 0) {
  return value->type().is_tensor() && value->type().has_rank() && value->type().rank() >= least;
}

Value* Transposed(ir::Builder& builder, Value* value, Order order) {
  return builder.Op("Transpose", {value}, {{"perm", std::move(order)}});
}

// ---- flipping ----

// Which operand of a convolution is its weights: inputs are counted from 0, -1 is the output.
std::optional<int> FilterOperand(const Node* node) {
  if (Is(node, "Conv") || Is(node, "ConvTranspose") || Is(node, "ingot.ConvInputGradient")) {
    return 1;
  }
  if (Is(node, "ingot.ConvWeightGradient")) return -1;
  return std::nullopt;
}

bool IsFlippable(const Node* node) {
  if (node->op().FindAttribute("channels_last") == nullptr) return false;
  if (node->GetInt("channels_last", 0) != 0 || node->inputs().empty()) return false;
  // Its weights are stored [C, O / group, kernel...]: flipping it is not worth rules of its own.
  if (Is(node, "ConvTranspose")) return false;
  if (node->input(0) == nullptr || !HasRank(node->input(0), 3)) return false;
  const auto known = [](const Value* value) { return value == nullptr || HasRank(value); };
  return std::all_of(node->inputs().begin(), node->inputs().end(), known) &&
         std::all_of(node->outputs().begin(), node->outputs().end(), known);
}

void Flip(Node* node, const ir::OpRegistry& registry) {
  const int rank = node->input(0)->type().rank();
  const std::optional<int> filter = FilterOperand(node);
  // The third operand of the gradients of convolutions is there for its shape.
  const bool like = Is(node, "ingot.ConvWeightGradient");
  // Whose weights stay as they are.
  const bool fused = Is(node, "ingot.FusedConv") || Is(node, "ingot.QuantizedConv");
  ir::Builder builder = BuilderBefore(node, registry);
  std::vector<Value*> inputs(node->inputs().begin(), node->inputs().end());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr || inputs[i]->type().rank() != rank || (fused && i == 1)) continue;
    const bool weights = (filter == 1 && i == 1) || (like && i == 2);
    inputs[i] = Transposed(builder, inputs[i], weights ? FilterToLast(rank) : ToLast(rank));
  }
  ir::Attributes attributes = node->attributes();
  attributes["channels_last"] = int64_t{1};
  const std::string& name = node->op_type();
  const std::string full = node->domain().empty() ? name : node->domain() + "." + name;
  std::vector<Value*> outputs =
      builder.Ops(full, std::move(inputs), node->outputs().size(), std::move(attributes));
  for (size_t i = 0; i < outputs.size(); ++i) {
    Value* old = node->output(i);
    Value* replacement = outputs[i];
    if (HasRank(old) && old->type().rank() == rank) {
      replacement =
          Transposed(builder, outputs[i], filter == -1 ? FilterToFirst(rank) : ToFirst(rank));
    }
    if (replacement->name().empty()) replacement->set_name(old->name());
    node->graph()->ReplaceAllUses(old, replacement);
  }
  outputs[0]->producer()->set_name(node->name());
  node->graph()->RemoveNode(node);
}

// ---- moving ----

// The source where the value is a transposition to [N, C, spatial...], else null.
Value* SourceOf(const Value* value) {
  if (value == nullptr || !HasRank(value, 3) || !Is(value->producer(), "Transpose")) return nullptr;
  const Node& node = *value->producer();
  return PermutationOf(node) == ToFirst(value->type().rank()) ? node.input(0) : nullptr;
}

bool HasSource(const Value* value) {
  return SourceOf(value) != nullptr;
}

Value* Finish(Node* node, Value* made) {
  ReplaceNode(node, made);
  return made;
}

// One number has no axes to move, however many it is given.
bool IsOneNumber(const Value* value) {
  const ir::Type& type = value->type();
  return type.rank() == 0 || (type.is_static() && type.shape().size() == 1);
}

// To or from bytes with one scale for all elements.
bool IsQuantizationOfAll(const Node* node) {
  if (!Is(node, "QuantizeLinear") && !Is(node, "DequantizeLinear")) return false;
  return HasRank(node->input(1)) && IsOneNumber(node->input(1)) &&
         (node->input(2) == nullptr || (HasRank(node->input(2)) && IsOneNumber(node->input(2))));
}

// An elementwise op over transposed values is a transposition of the op.
bool MoveThroughElementwise(Node* node, const ir::OpRegistry& registry) {
  const bool each =
      node->op().elementwise || IsQuantizationOfAll(node) || Is(node, "ingot.QuantizedAdd");
  if (!each || node->outputs().size() != 1) return false;
  if (std::none_of(node->inputs().begin(), node->inputs().end(), HasSource)) return false;
  if (!HasRank(node->output(), 3)) return false;
  const int rank = node->output()->type().rank();
  for (const Value* input : node->inputs()) {
    if (input == nullptr) continue;
    // Fewer axes would be aligned to others.
    if (!HasRank(input) || (!IsOneNumber(input) && input->type().rank() != rank)) return false;
  }
  // Over lines a transposition there is one back: what is moved must leave fewer behind, or it
  // would be moved to and fro for ever.
  const auto sources = std::count_if(node->inputs().begin(), node->inputs().end(), HasSource);
  const auto others = std::count_if(
      node->inputs().begin(), node->inputs().end(),
      [](const Value* v) { return v != nullptr && !IsOneNumber(v) && !HasSource(v); });
  if (ToFirst(rank) == ToLast(rank) && sources <= others) return false;
  ir::Builder builder = BuilderBefore(node, registry);
  std::vector<Value*> inputs;
  for (Value* input : node->inputs()) {
    if (input == nullptr || IsOneNumber(input)) {
      inputs.push_back(input);
    } else if (Value* source = SourceOf(input)) {
      inputs.push_back(source);
    } else {
      inputs.push_back(Transposed(builder, input, ToLast(rank)));
    }
  }
  const std::string full = node->op().FullName();
  Value* value = builder.Op(full, std::move(inputs), node->attributes());
  value->producer()->set_name(node->name());
  Finish(node, Transposed(builder, value, ToFirst(rank)));
  return true;
}

// Axes of a reduction as they are given; nullopt unless they are constant.
std::optional<Order> ConstantAxes(const Node* node, int rank) {
  if (node->inputs().size() < 2 || node->input(1) == nullptr) return std::nullopt;
  const Tensor* tensor = ConstantOf(node->input(1));
  if (tensor == nullptr || tensor->size() == 0) return std::nullopt;
  Order axes;
  for (const double axis : tensor->ToDoubles()) {
    axes.push_back(static_cast<int64_t>(axis) + (axis < 0 ? rank : 0));
  }
  return axes;
}

bool MoveThroughReduction(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "ReduceSum") && !Is(node, "ReduceMean")) return false;
  Value* source = SourceOf(node->input(0));
  if (source == nullptr || !node->output()->type().has_rank()) return false;
  const int rank = source->type().rank();
  const std::optional<Order> axes = ConstantAxes(node, rank);
  if (!axes) return false;
  const Order first = ToFirst(rank);
  Order moved;
  for (const int64_t axis : *axes) moved.push_back(first[static_cast<size_t>(axis)]);
  std::sort(moved.begin(), moved.end());
  const bool keeps = node->GetInt("keepdims", 1) != 0;
  if (!keeps) {
    // What is left must stand in the same order.
    Order left;
    for (const int64_t axis : first) {
      if (!std::binary_search(moved.begin(), moved.end(), axis)) left.push_back(axis);
    }
    if (!std::is_sorted(left.begin(), left.end())) return false;
  }
  ir::Builder builder = BuilderBefore(node, registry);
  Value* value =
      builder.Op(node->op().FullName(), {source, builder.Ints(moved)}, node->attributes());
  value->producer()->set_name(node->name());
  Finish(node, keeps ? Transposed(builder, value, first) : value);
  return true;
}

// Resize goes axis by axis: it names those of the other order.
bool MoveThroughResize(Node* node, const ir::OpRegistry& registry) {
  const bool gradient = Is(node, "ingot.ResizeGradient");
  if (!gradient && !Is(node, "Resize")) return false;
  Value* source = SourceOf(node->input(0));
  if (source == nullptr) return false;
  const int rank = source->type().rank();
  const Order first = ToFirst(rank);
  Order axes;
  if (const Order* given = node->FindInts("axes")) {
    for (const int64_t axis : *given)
      axes.push_back(first[static_cast<size_t>(axis < 0 ? axis + rank : axis)]);
  } else {
    axes = first;
  }
  ir::Builder builder = BuilderBefore(node, registry);
  std::vector<Value*> inputs(node->inputs().begin(), node->inputs().end());
  inputs[0] = source;
  // `like` is there for its shape.
  if (gradient) {
    Value* like = SourceOf(inputs[1]);
    inputs[1] = like != nullptr ? like : Transposed(builder, inputs[1], ToLast(rank));
  }
  ir::Attributes attributes = node->attributes();
  attributes["axes"] = std::move(axes);
  Value* value = builder.Op(node->op().FullName(), std::move(inputs), std::move(attributes));
  value->producer()->set_name(node->name());
  Finish(node, Transposed(builder, value, first));
  return true;
}

bool MoveThroughConcat(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "Concat")) return false;
  if (!std::all_of(node->inputs().begin(), node->inputs().end(), HasSource)) return false;
  const int rank = node->input(0)->type().rank();
  int64_t axis = node->GetInt("axis");
  if (axis < 0) axis += rank;
  const Order first = ToFirst(rank);
  std::vector<Value*> inputs;
  for (const Value* input : node->inputs()) inputs.push_back(SourceOf(input));
  ir::Attributes attributes = node->attributes();
  attributes["axis"] = first[static_cast<size_t>(axis)];
  ir::Builder builder = BuilderBefore(node, registry);
  Value* value = builder.Op("Concat", std::move(inputs), std::move(attributes));
  value->producer()->set_name(node->name());
  Finish(node, Transposed(builder, value, first));
  return true;
}

// ---- cancelling ----

// Two transpositions in a row are one, and one that changes no order is none.
bool Cancel(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "Transpose") || !HasRank(node->input(0))) return false;
  Order order = PermutationOf(*node);
  Value* source = node->input(0);
  const Node* inner = source->producer();
  const bool merge = Is(inner, "Transpose");
  if (merge) {
    const Order before = PermutationOf(*inner);
    for (int64_t& axis : order) axis = before[static_cast<size_t>(axis)];
    source = inner->input(0);
  }
  if (std::is_sorted(order.begin(), order.end())) {
    if (!MayBeReplacedBy(node, source)) return false;
    ReplaceNode(node, source);
    return true;
  }
  if (!merge) return false;
  ir::Builder builder = BuilderBefore(node, registry);
  Finish(node, Transposed(builder, source, std::move(order)));
  return true;
}

// A transposition that leaves the order of all longer axes copies bytes as they stand.
bool MakeReshape(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "Transpose") || !node->output()->type().is_static()) return false;
  const Shape shape = node->input(0)->type().shape();
  Order longer;
  for (const int64_t axis : PermutationOf(*node)) {
    if (shape[static_cast<int>(axis)] != 1) longer.push_back(axis);
  }
  if (!std::is_sorted(longer.begin(), longer.end())) return false;
  const std::vector<int64_t> dims = node->output()->type().shape().dims();
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return false;
  ir::Builder builder = BuilderBefore(node, registry);
  Finish(node, builder.Op("Reshape", {node->input(0), builder.Ints(dims)}));
  return true;
}

bool Move(Node* node, const ir::OpRegistry& registry) {
  return Cancel(node, registry) || MoveThroughElementwise(node, registry) ||
         MoveThroughReduction(node, registry) || MoveThroughConcat(node, registry) ||
         MoveThroughResize(node, registry);
}

void Run(ir::Graph& graph, const ir::OpRegistry& registry) {
  bool flipped = false;
  for (Node* node : graph.nodes()) {
    if (!IsFlippable(node)) continue;
    Flip(node, registry);
    flipped = true;
  }
  if (!flipped) return;  // other transpositions are none of this pass's business
  bool changed = true;
  while (changed) {
    changed = false;
    for (Node* node : graph.nodes()) changed = Move(node, registry) || changed;
  }
  for (Node* node : graph.nodes()) MakeReshape(node, registry);
}

}  // namespace

void ChannelsLast(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) { Run(each, registry); });
}

}  // namespace ingot::passes
