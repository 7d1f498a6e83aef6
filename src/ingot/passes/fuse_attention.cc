// See fuse_attention.h.
#include "ingot/passes/fuse_attention.h"

#include <optional>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;
using Order = std::vector<int64_t>;

const Order kHeadsFirst = {0, 2, 1, 3};  // [B, T, H, D] -> [B, H, T, D], and back

bool IsUsedOnce(const Value* value) {
  return value->uses().size() == 1 && !value->is_graph_output();
}

bool IsFourAxes(const Value* value) {
  return value->type().is_static() && value->type().rank() == 4 &&
         value->type().dtype() == DType::kF32;
}

std::optional<double> NumberOf(const Value* value) {
  const Tensor* constant = ConstantOf(value);
  if (constant == nullptr || constant->size() != 1) return std::nullopt;
  return constant->ToDoubles()[0];
}

// Goes below factors and divisors that are one number, which `scale` is multiplied by.
Value* WithoutScale(Value* value, double& scale) {
  while (true) {
    const Node* node = value->producer();
    Value* inner = nullptr;
    std::optional<double> number;
    if (Is(node, "Mul")) {
      for (const size_t i : {size_t{0}, size_t{1}}) {
        if (!number && (number = NumberOf(node->input(i)))) inner = node->input(1 - i);
      }
    } else if (Is(node, "Div") && (number = NumberOf(node->input(1)))) {
      inner = node->input(0);
      number = 1 / *number;
    }
    if (inner == nullptr || !SurelySameShape(inner->type(), value->type())) return value;
    scale *= *number;
    value = inner;
  }
}

struct Match {
  Value *q = nullptr, *k = nullptr, *v = nullptr, *mask = nullptr;
  double scale = 1;
};

// K [B, H, T, D] where the value is [B, H, D, T]; made by another transposition if need be.
Value* KeysOf(Value* value, double& scale, ir::Builder& builder) {
  value = WithoutScale(value, scale);
  const Node* transpose = value->producer();
  if (!Is(transpose, "Transpose")) return nullptr;
  const Order order = PermutationOf(*transpose);
  if (order == Order{0, 1, 3, 2}) return WithoutScale(transpose->input(0), scale);
  if (order == Order{0, 2, 3, 1}) {
    Value* source = WithoutScale(transpose->input(0), scale);
    return builder.Op("Transpose", {source}, {{"perm", kHeadsFirst}});
  }
  return nullptr;
}

std::optional<Match> MatchAt(Node* product, ir::Builder& builder) {
  if (!Is(product, "MatMul") || !IsFourAxes(product->output())) return std::nullopt;
  const Node* softmax = product->input(0)->producer();
  if (!Is(softmax, "Softmax") || !IsUsedOnce(softmax->output())) return std::nullopt;
  const int64_t axis = softmax->GetInt("axis");
  if (axis != -1 && axis != 3) return std::nullopt;
  Match match;
  match.v = product->input(1);
  Value* scores = softmax->input(0);
  if (!IsUsedOnce(scores)) return std::nullopt;
  if (Is(scores->producer(), "Add")) {
    const Node* add = scores->producer();
    // The side that is a product, below its scale; the other is the mask.
    for (const size_t i : {size_t{0}, size_t{1}}) {
      double unused = 1;
      if (match.mask == nullptr && IsUsedOnce(add->input(i)) &&
          Is(WithoutScale(add->input(i), unused)->producer(), "MatMul") &&
          SurelySameShape(add->input(i)->type(), scores->type())) {
        scores = add->input(i);
        match.mask = add->input(1 - i);
      }
    }
    if (match.mask == nullptr) return std::nullopt;
  }
  scores = WithoutScale(scores, match.scale);
  const Node* qk = scores->producer();
  if (!Is(qk, "MatMul") || !IsUsedOnce(scores)) return std::nullopt;
  match.q = WithoutScale(qk->input(0), match.scale);
  match.k = KeysOf(qk->input(1), match.scale, builder);
  return match;
}

// Whether the op takes them: one batch, one number of heads, a mask of f32.
bool Fits(const Match& m) {
  if (m.k == nullptr) return false;
  for (const Value* value : {m.q, m.k, m.v}) {
    if (!IsFourAxes(value)) return false;
  }
  const Shape q = m.q->type().shape(), k = m.k->type().shape(), v = m.v->type().shape();
  if (q[0] != k[0] || q[1] != k[1] || k[0] != v[0] || k[1] != v[1]) return false;
  if (q[3] != k[3] || k[2] != v[2] || q.size() == 0 || v.size() == 0) return false;
  if (m.mask == nullptr) return true;
  const ir::Type& mask = m.mask->type();
  return mask.is_static() && mask.rank() <= 4 && mask.dtype() == DType::kF32;
}

// [B, T, H, D] where the value is that with heads first.
Value* HeadsLast(const Value* value) {
  const Node* node = value->producer();
  return Is(node, "Transpose") && PermutationOf(*node) == kHeadsFirst ? node->input(0) : nullptr;
}

Value* JoinHeads(ir::Builder& builder, Value* value) {  // [B, T, H, D] -> [B, T, H * D]
  const Shape shape = value->type().shape();
  return builder.Op("Reshape", {value, builder.Ints({shape[0], shape[1], shape[2] * shape[3]})});
}

void Fuse(Node* product, const Match& match, ir::Builder& builder) {
  const Shape q = match.q->type().shape(), v = match.v->type().shape();
  ir::Attributes attributes = {{"scale", match.scale}};
  std::vector<Value*> inputs = {match.q, match.k, match.v};
  const bool in_place = HeadsLast(match.q) != nullptr && HeadsLast(match.k) != nullptr &&
                        HeadsLast(match.v) != nullptr;
  if (in_place) {
    for (Value*& input : inputs) input = JoinHeads(builder, HeadsLast(input));
    attributes["q_num_heads"] = q[1];
    attributes["kv_num_heads"] = q[1];
  }
  if (match.mask != nullptr) inputs.push_back(match.mask);
  Value* y = builder.Op("Attention", std::move(inputs), std::move(attributes));
  if (in_place) {
    y = builder.Op("Reshape", {y, builder.Ints({q[0], q[2], q[1], v[3]})});
    Value* result = product->output();
    Node* user = IsUsedOnce(result) ? result->uses()[0].node : nullptr;
    if (Is(user, "Transpose") && PermutationOf(*user) == kHeadsFirst) {
      ReplaceNode(user, y);
      product->graph()->RemoveNode(product);
      return;
    }
    y = builder.Op("Transpose", {y}, {{"perm", kHeadsFirst}});
  }
  ReplaceNode(product, y);
}

}  // namespace

void FuseAttention(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    std::vector<Node*> products;  // fusing removes these and transpositions alone
    for (Node* node : each.nodes()) {
      if (Is(node, "MatMul")) products.push_back(node);
    }
    for (Node* product : products) {
      ir::Builder builder = BuilderBefore(product, registry);
      const std::optional<Match> match = MatchAt(product, builder);
      if (match && Fits(*match)) Fuse(product, *match, builder);
    }
  });
}

}  // namespace ingot::passes
