// Attention, norms, rotary positions and recurrent layers in terms of simpler ops.
#include "ingot/onnx/lower.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/ir/builder.h"

namespace ingot::onnx {
namespace {

using ir::Attributes;
using ir::Builder;
using ir::Node;
using ir::Value;
using Ints = std::vector<int64_t>;

Value* Transposed(Builder& b, Value* x, Ints permutation) {
  return b.Op("Transpose", {x}, {{"perm", std::move(permutation)}});
}

Value* Joined(Builder& b, std::vector<Value*> parts, int64_t axis) {
  return b.Op("Concat", std::move(parts), {{"axis", axis}});
}

int64_t StaticExtent(const Node& node, const Value* value, int axis) {
  const ir::Dimension& dim = value->type().dim(axis);
  if (dim.is_static()) return dim.value();
  throw Error(ErrorCode::kUnsupported, node.Describe() + ": " + value->type().ToString() +
                                           " has an extent that is not known, which an exported "
                                           "model needs");
}

// ---- attention ----

// [batch, length, heads * size] -> [batch, heads, length, size]; of rank 4 it is that already.
Value* Heads(Builder& b, Value* x, int64_t heads) {
  if (x->type().rank() == 4) return x;
  return Transposed(b, b.Op("Reshape", {x, b.Ints({0, 0, heads, -1})}), {0, 2, 1, 3});
}

// Every head of keys or values `times` times, one after another.
Value* RepeatedHeads(const Node& node, Builder& b, Value* x, int64_t times) {
  if (times == 1) return x;
  const int64_t heads = StaticExtent(node, x, 1);
  const int64_t length = StaticExtent(node, x, 2);
  const int64_t size = StaticExtent(node, x, 3);
  Value* wide = b.Op("Expand", {b.Op("Unsqueeze", {x, b.Ints({2})}), b.Ints({1, 1, times, 1, 1})});
  return b.Op("Reshape", {wide, b.Ints({0, heads * times, length, size})});
}

// Which keys each query may look at: those up to its own place.
Value* CausalMask(const Node& node, Builder& b, Value* scores) {
  const int64_t rows = StaticExtent(node, scores, 2), columns = StaticExtent(node, scores, 3);
  Tensor mask(DType::kBool, {rows, columns});
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j <= i && j < columns; ++j) {
      mask.data<bool>()[static_cast<size_t>(i * columns + j)] = true;
    }
  }
  return b.Constant(std::move(mask));
}

Value* Masked(Builder& b, Value* scores, Value* mask) {
  const double nothing = -std::numeric_limits<double>::infinity();
  return b.Op("Where", {mask, scores, b.ScalarLike(scores, nothing)});
}

std::vector<Value*> LowerAttention(const Node& node, Builder& b) {
  const bool rows = node.input(0)->type().rank() == 3;
  const int64_t query_heads =
      rows ? node.GetInt("q_num_heads") : StaticExtent(node, node.input(0), 1);
  const int64_t key_heads =
      rows ? node.GetInt("kv_num_heads") : StaticExtent(node, node.input(1), 1);
  Value* q = Heads(b, node.input(0), query_heads);
  Value* k = RepeatedHeads(node, b, Heads(b, node.input(1), key_heads), query_heads / key_heads);
  Value* v = RepeatedHeads(node, b, Heads(b, node.input(2), key_heads), query_heads / key_heads);
  const double size = static_cast<double>(StaticExtent(node, q, 3));
  const double scale = node.HasAttribute("scale") ? node.GetFloat("scale") : 1 / std::sqrt(size);
  Value* scores = b.MulScalar(b.Op("MatMul", {q, Transposed(b, k, {0, 1, 3, 2})}), scale);
  const double cap = node.HasAttribute("softcap") ? node.GetFloat("softcap") : 0;
  if (cap > 0) scores = b.MulScalar(b.Op("Tanh", {b.MulScalar(scores, 1 / cap)}), cap);
  if (Value* mask = node.input(3)) {
    scores = mask->type().dtype() == DType::kBool ? Masked(b, scores, mask) : b.Add(scores, mask);
  }
  const bool causal = node.HasAttribute("is_causal") && node.GetInt("is_causal") != 0;
  if (causal) scores = Masked(b, scores, CausalMask(node, b, scores));
  Value* mixed = b.Op("MatMul", {b.Op("Softmax", {scores}, {{"axis", int64_t{-1}}}), v});
  if (rows) mixed = b.Op("Reshape", {Transposed(b, mixed, {0, 2, 1, 3}), b.Ints({0, 0, -1})});
  return {mixed};
}

// ---- norms ----

std::vector<Value*> LowerRmsNormalization(const Node& node, Builder& b) {
  Value* x = node.input(0);
  const int rank = x->type().rank();
  Ints axes;
  for (int axis = NormalizeAxis(node.GetInt("axis"), rank); axis < rank; ++axis)
    axes.push_back(axis);
  Value* mean = b.Op("ReduceMean", {b.Mul(x, x), b.Ints(axes)});
  Value* root = b.Op("Sqrt", {b.Add(mean, b.ScalarLike(mean, node.GetFloat("epsilon")))});
  return {b.Mul(b.Div(x, root), node.input(1))};
}

// ---- rotary positions ----

// The caches as they broadcast to the halves of X.
Value* Angles(const Node& node, Builder& b, Value* cache, bool rows) {
  if (Value* places = node.input(3)) cache = b.Op("Gather", {cache, places});
  if (cache->type().rank() == 3) return b.Op("Unsqueeze", {cache, b.Ints({rows ? 2 : 1})});
  return rows ? b.Op("Unsqueeze", {cache, b.Ints({1})}) : cache;
}

Value* EverySecond(Builder& b, Value* x, int64_t first, int64_t end) {
  return b.Op("Slice", {x, b.Ints({first}), b.Ints({end}), b.Ints({-1}), b.Ints({2})});
}

std::vector<Value*> LowerRotaryEmbedding(const Node& node, Builder& b) {
  Value* x = node.input(0);
  const bool rows = x->type().rank() == 3;
  if (rows) x = b.Op("Reshape", {x, b.Ints({0, 0, node.GetInt("num_heads"), -1})});
  const int64_t size = StaticExtent(node, x, 3);
  const int64_t given = node.GetInt("rotary_embedding_dim");
  const int64_t turned = given == 0 ? size : given;
  const bool interleaved = node.GetInt("interleaved") != 0;
  std::vector<Value*> parts = {x};
  if (turned < size) {
    parts = b.Ops("Split", {x, b.Ints({turned, size - turned})}, 2, {{"axis", int64_t{3}}});
  }
  std::vector<Value*> pair;
  if (interleaved) {
    pair = {EverySecond(b, parts[0], 0, turned), EverySecond(b, parts[0], 1, turned)};
  } else {
    pair = b.Ops("Split", {parts[0], b.Ints({turned / 2, turned / 2})}, 2, {{"axis", int64_t{3}}});
  }
  Value* c = Angles(node, b, node.input(1), rows);
  Value* s = Angles(node, b, node.input(2), rows);
  Value* first = b.Sub(b.Mul(c, pair[0]), b.Mul(s, pair[1]));
  Value* second = b.Add(b.Mul(s, pair[0]), b.Mul(c, pair[1]));
  Value* joined = nullptr;
  if (interleaved) {
    Value* stacked = Joined(
        b, {b.Op("Unsqueeze", {first, b.Ints({4})}), b.Op("Unsqueeze", {second, b.Ints({4})})}, 4);
    joined = b.Op("Reshape", {stacked, b.Ints({0, 0, 0, turned})});
  } else {
    joined = Joined(b, {first, second}, 3);
  }
  if (turned < size) joined = Joined(b, {joined, parts[1]}, 3);
  if (rows) joined = b.Op("Reshape", {joined, b.Ints({0, 0, -1})});
  return {joined};
}

// ---- recurrent layers ----

// The batch first (layout = 1) -> time first, which is the layout that every program has.
std::vector<Value*> LowerRecurrent(const Node& node, Builder& b) {
  std::vector<Value*> inputs(node.inputs().begin(), node.inputs().end());
  for (const size_t i : {0, 5, 6}) {
    if (i < inputs.size() && inputs[i] != nullptr) inputs[i] = Transposed(b, inputs[i], {1, 0, 2});
  }
  Attributes attributes = node.attributes();
  attributes.erase("layout");
  size_t wanted = 0;
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    if (node.output(i)->is_used()) wanted = i + 1;
  }
  std::vector<Value*> outputs =
      b.Ops(node.op_type(), inputs, std::max<size_t>(1, wanted), attributes);
  for (size_t i = 0; i < outputs.size(); ++i) {
    outputs[i] =
        i == 0 ? Transposed(b, outputs[0], {2, 0, 1, 3}) : Transposed(b, outputs[i], {1, 0, 2});
  }
  return outputs;
}

using Lowering = std::vector<Value*> (*)(const Node&, Builder&);

Lowering LoweringOf(const Node& node) {
  const bool recurrent =
      node.op_type() == "LSTM" || node.op_type() == "GRU" || node.op_type() == "RNN";
  if (!node.domain().empty()) return nullptr;
  if (node.op_type() == "Attention") return LowerAttention;
  if (node.op_type() == "RMSNormalization") return LowerRmsNormalization;
  if (node.op_type() == "RotaryEmbedding") return LowerRotaryEmbedding;
  if (recurrent && node.GetInt("layout", 0) == 1) return LowerRecurrent;
  return nullptr;
}

void Replace(ir::Graph& graph, Node* node, const std::vector<Value*>& outputs) {
  for (size_t i = 0; i < node->outputs().size(); ++i) {
    if (!node->output(i)->is_used()) continue;
    if (i >= outputs.size()) {
      throw Error(ErrorCode::kUnsupported,
                  node->Describe() + ": its output " + std::to_string(i) + " cannot be exported");
    }
    if (!node->output(i)->name().empty()) outputs[i]->set_name(node->output(i)->name());
    graph.ReplaceAllUses(node->output(i), outputs[i]);
  }
  graph.RemoveNode(node);
}

void RemoveUnused(ir::Graph& graph) {
  const std::vector<Node*> nodes = graph.nodes();
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const auto outputs = (*node)->outputs();
    const bool used = std::any_of(outputs.begin(), outputs.end(),
                                  [](const Value* output) { return output->is_used(); });
    if (!used) graph.RemoveNode(*node);
  }
}

bool IsOnnx(const Node& node) {
  return (node.domain().empty() && node.GetInt("channels_last", 0) == 0) ||
         node.domain() == "com.microsoft";
}

}  // namespace

void LowerForExport(ir::Graph& graph, const ir::OpRegistry& registry) {
  std::set<std::string> others;
  for (Node* node : graph.nodes()) {
    if (!IsOnnx(*node)) others.insert(node->op().FullName());
    const Lowering lower = LoweringOf(*node);
    if (lower == nullptr) continue;
    Builder builder(graph, registry, node);
    builder.set_layer(node->layer());
    Replace(graph, node, lower(*node, builder));
  }
  RemoveUnused(graph);
  if (others.empty()) return;
  throw Error(
      ErrorCode::kUnsupported,
      "ONNX has no ops for: " + Join(std::vector<std::string>(others.begin(), others.end()), ", "));
}

}  // namespace ingot::onnx
