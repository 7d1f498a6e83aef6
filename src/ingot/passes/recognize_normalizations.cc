// LayerNormalization and RMSNormalization over the last axis.
#include <optional>

#include "ingot/passes/recognize.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// The value whose mean over the last axis this is, keeping the axis.
Value* MeanOf(const Value* value) {
  const Node* node = value->producer();
  if (!Is(node, "ReduceMean") || node->GetInt("keepdims", 1) != 1 || node->inputs().size() < 2) {
    return nullptr;
  }
  const Tensor* axes = ConstantOf(node->input(1));
  if (axes == nullptr || axes->size() != 1 || !node->input(0)->type().has_rank()) return nullptr;
  const int64_t axis = axes->ToInts()[0];
  const bool last = axis == -1 || axis == node->input(0)->type().rank() - 1;
  return last ? node->input(0) : nullptr;
}

// What is squared here.
Value* SquareOf(const Value* value) {
  const Node* node = value->producer();
  if (Is(node, "Mul") && node->input(0) == node->input(1)) return node->input(0);
  if (Is(node, "Pow") && IsFilledWith(node->input(1), 2)) return node->input(0);
  return nullptr;
}

struct Deviation {
  Value* squared;  // root of the mean of this one's squares
  double epsilon;
};

// sqrt(mean(d * d) + epsilon).
std::optional<Deviation> DeviationOf(const Value* value) {
  const Node* root = value->producer();
  const bool is_root = Is(root, "Sqrt") || (Is(root, "Pow") && IsFilledWith(root->input(1), 0.5));
  if (!is_root) return std::nullopt;
  const Node* sum = root->input(0)->producer();
  if (!Is(sum, "Add")) return std::nullopt;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const Tensor* epsilon = ConstantOf(sum->input(i));
    if (epsilon == nullptr || epsilon->size() != 1) continue;
    const Value* squares = MeanOf(sum->input(1 - i));
    Value* squared = squares == nullptr ? nullptr : SquareOf(squares);
    if (squared != nullptr) return Deviation{squared, epsilon->ToDoubles()[0]};
  }
  return std::nullopt;
}

struct Normalized {
  Value* x;
  double epsilon;
  bool centred;
};

// d / deviation(d), or d * (1 / deviation(d)).
std::optional<Normalized> NormalizedOf(const Node* node) {
  Value* d = nullptr;
  std::optional<Deviation> deviation;
  if (Is(node, "Div")) {
    d = node->input(0);
    deviation = DeviationOf(node->input(1));
  } else if (Is(node, "Mul")) {
    for (const size_t i : {size_t{0}, size_t{1}}) {
      const Node* inverse = node->input(i)->producer();
      const bool reciprocal =
          Is(inverse, "Reciprocal") || (Is(inverse, "Div") && IsFilledWith(inverse->input(0), 1));
      if (!reciprocal) continue;
      d = node->input(1 - i);
      deviation = DeviationOf(inverse->input(Is(inverse, "Div") ? 1 : 0));
    }
  }
  if (d == nullptr || !deviation || deviation->squared != d) return std::nullopt;
  const Node* centre = d->producer();
  if (Is(centre, "Sub") && MeanOf(centre->input(1)) == centre->input(0)) {
    return Normalized{centre->input(0), deviation->epsilon, true};
  }
  return Normalized{d, deviation->epsilon, false};
}

// One number for each place of the last axis, of `x`.
Value* RowOperand(const Node* node, const char* op, const Value* value, const Value* x) {
  if (!Is(node, op)) return nullptr;
  Value* other = node->input(0) == value ? node->input(1) : node->input(0);
  const ir::Type& type = other->type();
  const bool row = type.is_static() && type.rank() == 1 && type.dtype() == x->type().dtype() &&
                   type.dim(0).SurelyEquals(x->type().dim(-1));
  return row ? other : nullptr;
}

void RewriteNormalization(Node* node, const ir::OpRegistry& registry) {
  const std::optional<Normalized> found = NormalizedOf(node);
  if (!found || !IsFloat(found->x->type().dtype())) return;
  Node* last = node;
  Node* next = OnlyUser(node->output());
  Value* scale = RowOperand(next, "Mul", node->output(), found->x);
  if (scale != nullptr) last = next;
  Value* bias = nullptr;
  if (scale != nullptr && found->centred) {
    next = OnlyUser(last->output());
    bias = RowOperand(next, "Add", last->output(), found->x);
    if (bias != nullptr) last = next;
  }
  // An epsilon with more axes than x would give the result those, too.
  if (!SurelySameShape(found->x->type(), last->output()->type())) return;
  ir::Builder builder = BuilderBefore(last, registry);
  if (scale == nullptr) {
    const ir::Dimension& length = found->x->type().dim(-1);
    if (!length.is_static()) return;
    Tensor ones(found->x->type().dtype(), Shape{length.value()});
    if (ones.dtype() != DType::kF32) return;
    for (float& one : ones.data<float>()) one = 1;
    scale = builder.Constant(std::move(ones));
  }
  std::vector<Value*> inputs = {found->x, scale};
  if (bias != nullptr) inputs.push_back(bias);
  ReplaceNode(last,
              builder.Op(found->centred ? "LayerNormalization" : "RMSNormalization",
                         std::move(inputs), {{"axis", int64_t{-1}}, {"epsilon", found->epsilon}}));
}

}  // namespace

void RecognizeNormalizations(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    // Backwards: what a rewrite removes or leaves dead has been looked at.
    std::vector<Node*> nodes = each.nodes();
    std::vector<Node*> candidates;
    for (Node* node : nodes) {
      if (Is(node, "Div") || Is(node, "Mul")) candidates.push_back(node);
    }
    for (size_t i = candidates.size(); i-- > 0;) RewriteNormalization(candidates[i], registry);
  });
}

void Recognize(ir::Graph& graph, const ir::OpRegistry& registry) {
  RecognizeActivations(graph, registry);
  RecognizeNormalizations(graph, registry);
}

}  // namespace ingot::passes
