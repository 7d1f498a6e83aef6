// Swish, HardSwish and Gelu.
#include <cmath>

#include "ingot/passes/recognize.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// Whether the node is a product (or sum) of `x` with something; that something.
Value* OtherInput(const Node* node, const Value* x) {
  if (node->inputs().size() != 2 || node->input(0) == node->input(1)) return nullptr;
  if (node->input(0) == x) return node->input(1);
  return node->input(1) == x ? node->input(0) : nullptr;
}

bool IsNumber(const Value* value, double number) {
  const Tensor* constant = ConstantOf(value);
  return constant != nullptr && constant->size() == 1 &&
         std::abs(constant->ToDoubles()[0] - number) <= 1e-4 * std::abs(number);
}

// The other factor or summand where one is the number.
Value* WithoutNumber(const Node* node, const char* op, double number) {
  if (!Is(node, op)) return nullptr;
  if (IsNumber(node->input(1), number)) return node->input(0);
  return IsNumber(node->input(0), number) ? node->input(1) : nullptr;
}

// x where the value is 1 + erf(x / sqrt 2).
Value* GeluGateOf(const Value* gate) {
  Value* erf = WithoutNumber(gate->producer(), "Add", 1);
  if (erf == nullptr || !Is(erf->producer(), "Erf")) return nullptr;
  const Node* scaled = erf->producer()->input(0)->producer();
  if (Is(scaled, "Div") && IsNumber(scaled->input(1), std::sqrt(2.0))) return scaled->input(0);
  return WithoutNumber(scaled, "Mul", std::sqrt(0.5));
}

// Any product of x, 1/2 and the gate.
Value* GeluOf(const Node* node) {
  if (!Is(node, "Mul")) return nullptr;
  std::vector<Value*> factors = {node->input(0), node->input(1)};
  for (size_t i = 0; i < factors.size() && factors.size() < 4; ++i) {
    const Node* inner = factors[i]->producer();
    const bool open =
        Is(inner, "Mul") && factors[i]->uses().size() == 1 && !factors[i]->is_graph_output();
    if (!open) continue;
    factors[i] = inner->input(0);
    factors.push_back(inner->input(1));
    i = static_cast<size_t>(-1);
  }
  if (factors.size() != 3) return nullptr;
  for (size_t gate = 0; gate < 3; ++gate) {
    Value* x = GeluGateOf(factors[gate]);
    if (x == nullptr) continue;
    Value* a = factors[(gate + 1) % 3];
    Value* b = factors[(gate + 2) % 3];
    if ((a == x && IsNumber(b, 0.5)) || (b == x && IsNumber(a, 0.5))) return x;
  }
  return nullptr;
}

bool Rewrite(Node* node, const ir::OpRegistry& registry) {
  if (!Is(node, "Mul")) return false;
  ir::Builder builder = BuilderBefore(node, registry);
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const Node* gate = node->input(i)->producer();
    if (gate == nullptr || gate->inputs().empty() ||
        OtherInput(node, node->input(i)) != gate->input(0)) {
      continue;
    }
    Value* x = gate->input(0);
    if (Is(gate, "Sigmoid")) {
      ReplaceNode(node, builder.Op("Swish", {x}));
      return true;
    }
    const bool hard = Is(gate, "HardSigmoid") &&
                      std::abs(gate->GetFloat("alpha") - 1.0 / 6) < 1e-6 &&
                      gate->GetFloat("beta") == 0.5;
    if (hard) {
      ReplaceNode(node, builder.Op("HardSwish", {x}));
      return true;
    }
  }
  if (Value* x = GeluOf(node)) {
    if (!SurelySameShape(x->type(), node->output()->type())) return false;
    ReplaceNode(node, builder.Op("Gelu", {x}));
    return true;
  }
  return false;
}

}  // namespace

void RecognizeActivations(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    for (Node* node : each.nodes()) Rewrite(node, registry);
  });
}

}  // namespace ingot::passes
