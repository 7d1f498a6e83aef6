// See fuse_byte_ops.h.
#include "ingot/passes/fuse_byte_ops.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "ingot/passes/activation_epilogue.h"
#include "ingot/passes/quantized_values.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

std::optional<Quantized> BytesBehind(const Value* value) {
  auto result = DequantizedFrom(value, 0);
  return result && result->scales.size() == 1 ? result : std::nullopt;
}

// The bytes that results are cut to: as rounding keeps the order, what an activation cuts before it
// may as well be cut behind it.
struct Limits {
  int64_t least = 0, most = 0;
};

std::optional<Limits> LimitsOf(const Quantizer& quantizer,
                               const std::optional<ActivationEpilogue>& activation) {
  const int64_t first = quantizer.type == DType::kU8 ? 0 : -128;
  Limits limits{first, first + 255};
  if (!activation) return limits;
  const auto byte = [&](double value) {
    const double number = std::nearbyint(value / quantizer.scale) + double(quantizer.zero);
    return static_cast<int64_t>(std::clamp(number, double(first), double(first + 255)));
  };
  if (activation->name == "relu") {
    limits.least = byte(0);
  } else if (activation->name == "clip" && activation->alpha <= activation->beta) {
    limits.least = byte(activation->alpha);
    limits.most = byte(activation->beta);
  } else {
    return std::nullopt;
  }
  return limits;
}

bool FuseAdd(Node* add, const ir::OpRegistry& registry) {
  const auto a = BytesBehind(add->input(0)), b = BytesBehind(add->input(1));
  if (!a || !b || !SurelySameShape(a->bytes->type(), b->bytes->type())) return false;
  Node* last = OnlyUser(add->output());
  const auto activation = EpilogueOf(last, add->output());
  const Value* result = activation ? last->output() : add->output();
  if (activation) last = OnlyUser(result);
  const auto quantizer = QuantizerOf(last);
  if (!quantizer || last->input(0) != result || !(quantizer->scale > 0)) return false;
  const auto limits = LimitsOf(*quantizer, activation);
  if (!limits) return false;
  ir::Builder builder = BuilderBefore(last, registry);
  builder.set_layer(add->layer());
  ir::Attributes attributes;
  attributes["a_scale"] = double{a->scales[0] / quantizer->scale};
  attributes["b_scale"] = double{b->scales[0] / quantizer->scale};
  attributes["a_zero"] = a->zero;
  attributes["b_zero"] = b->zero;
  attributes["y_zero"] = quantizer->zero;
  attributes["y_least"] = limits->least;
  attributes["y_most"] = limits->most;
  attributes["y_type"] = static_cast<int64_t>(quantizer->type);
  Value* y = builder.Op("ingot.QuantizedAdd", {a->bytes, b->bytes}, std::move(attributes));
  y->producer()->set_name(add->name());
  ReplaceNode(last, y);
  return true;
}

// How many of its first inputs hold elements that the op takes as they are; 0: another op. The
// largest of elements is among them.
size_t ElementInputs(const Node* node) {
  if (node->outputs().size() != 1) return 0;
  if (Is(node, "Concat")) return node->inputs().size();
  for (const char* name :
       {"MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}) {
    if (Is(node, name)) return 1;
  }
  return 0;
}

bool MoveBytesThrough(Node* node, const ir::OpRegistry& registry) {
  const size_t count = ElementInputs(node);
  if (count == 0) return false;
  Node* last = OnlyUser(node->output());
  const auto quantizer = QuantizerOf(last);
  if (!quantizer || last->input(0) != node->output() || !(quantizer->scale > 0)) return false;
  std::vector<Value*> inputs(node->inputs().begin(), node->inputs().end());
  for (size_t i = 0; i < count; ++i) {
    const auto from = BytesBehind(inputs[i]);
    if (!from || from->scales[0] != quantizer->scale || from->zero != quantizer->zero ||
        from->bytes->type().dtype() != quantizer->type) {
      return false;
    }
    inputs[i] = from->bytes;
  }
  ir::Builder builder = BuilderBefore(last, registry);
  builder.set_layer(node->layer());
  Value* y = builder.Op(node->op().FullName(), std::move(inputs), node->attributes());
  y->producer()->set_name(node->name());
  ReplaceNode(last, y);
  return true;
}

}  // namespace

void FuseByteOps(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    std::vector<Node*> nodes;  // what is replaced besides these is none of them
    for (Node* node : each.nodes()) {
      if (Is(node, "Add") || ElementInputs(node) > 0) nodes.push_back(node);
    }
    for (Node* node : nodes) {
      Is(node, "Add") ? FuseAdd(node, registry) : MoveBytesThrough(node, registry);
    }
  });
}

}  // namespace ingot::passes
