// MatMul and Gemm with bias and activation become FusedMatMul.
#include "ingot/passes/fuse_matmul.h"

#include <optional>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// What becomes one FusedMatMul; `last` is the node that it replaces.
struct Fusion {
  Value* a = nullptr;
  Value* b = nullptr;
  Value* bias = nullptr;
  Value* y = nullptr;
  bool trans_a = false;
  bool trans_b = false;
  std::string epilogue = "none";
  std::optional<double> alpha = {};
  Node* last = nullptr;
};

bool IsMatrix(const Value* value) {
  const ir::Type& type = value->type();
  return type.is_tensor() && type.has_rank() && type.rank() == 2;
}

// A bias has one number for each column of the product.
bool IsBiasOf(const Value* bias, const Value* product) {
  const ir::Type& type = bias->type();
  return type.is_tensor() && type.has_rank() && type.rank() == 1 &&
         type.dtype() == product->type().dtype() &&
         type.dim(0).SurelyEquals(product->type().dim(-1));
}

bool HasMatrices(const Value* value) {
  const ir::Type& type = value->type();
  return type.is_tensor() && type.has_rank() && type.rank() >= 2;
}

std::optional<Fusion> StartFrom(Node* node, const FuseMatMulOptions& options) {
  const bool gemm = Is(node, "Gemm");
  if (!gemm && !Is(node, "MatMul")) return std::nullopt;
  Fusion fusion;
  fusion.a = node->input(0);
  fusion.b = node->input(1);
  fusion.last = node;
  const bool stacked = options.stacked && !gemm && HasMatrices(fusion.a);
  if (!IsMatrix(fusion.b) || (!stacked && !IsMatrix(fusion.a))) return std::nullopt;
  if (!HasMatrices(node->output())) return std::nullopt;
  if (!IsFloat(node->output()->type().dtype())) return std::nullopt;
  if (!gemm) return fusion;
  fusion.bias = node->input(2);
  if (node->GetFloat("alpha") != 1) return std::nullopt;
  if (fusion.bias != nullptr &&
      (node->GetFloat("beta") != 1 || !IsBiasOf(fusion.bias, node->output()))) {
    return std::nullopt;
  }
  fusion.trans_a = node->GetInt("transA", 0) != 0;
  fusion.trans_b = node->GetInt("transB", 0) != 0;
  return fusion;
}

void TakeBias(Fusion& fusion) {
  Node* add = OnlyUser(fusion.last->output());
  if (fusion.bias != nullptr || !Is(add, "Add")) return;
  const Value* product = fusion.last->output();
  Value* bias = add->input(0) == product ? add->input(1) : add->input(0);
  if (!IsBiasOf(bias, product) || !SurelySameShape(add->output()->type(), product->type())) return;
  fusion.bias = bias;
  fusion.last = add;
}

void TakeActivation(Fusion& fusion) {
  Node* next = OnlyUser(fusion.last->output());
  if (next == nullptr) return;
  if (Is(next, "Relu")) {
    fusion.epilogue = "relu";
  } else if (Is(next, "Sigmoid")) {
    fusion.epilogue = "sigmoid";
  } else if (Is(next, "Tanh")) {
    fusion.epilogue = "tanh";
  } else if (Is(next, "LeakyRelu") || Is(next, "Elu")) {
    fusion.epilogue = Is(next, "Elu") ? "elu" : "leaky_relu";
    fusion.alpha = next->GetFloat("alpha");
  } else if (Is(next, "Gelu")) {
    fusion.epilogue = next->GetString("approximate") == "tanh" ? "gelu_tanh" : "gelu";
  } else if (Is(next, "ingot.ReluGradient") && fusion.bias == nullptr &&
             next->input(0) == fusion.last->output() && next->input(1) != next->input(0) &&
             SurelySameShape(next->input(1)->type(), next->input(0)->type())) {
    fusion.epilogue = "relu_gradient";
    fusion.y = next->input(1);
  } else {
    return;
  }
  fusion.last = next;
}

void Apply(const Fusion& fusion, Node* product, const ir::OpRegistry& registry) {
  ir::Attributes attributes = {{"epilogue", fusion.epilogue},
                               {"trans_a", int64_t{fusion.trans_a ? 1 : 0}},
                               {"trans_b", int64_t{fusion.trans_b ? 1 : 0}}};
  if (fusion.alpha) attributes["alpha"] = *fusion.alpha;
  std::vector<Value*> inputs = {fusion.a, fusion.b};
  if (fusion.bias != nullptr || fusion.y != nullptr) inputs.push_back(fusion.bias);
  if (fusion.y != nullptr) inputs.push_back(fusion.y);
  // It stands where the last node stood: the bias and y are sure to be there.
  ir::Builder builder = BuilderBefore(fusion.last, registry);
  builder.set_layer(product->layer());
  Value* fused = builder.Op("ingot.FusedMatMul", std::move(inputs), std::move(attributes));
  fused->producer()->set_name(product->name());
  ReplaceNode(fusion.last, fused);
}

void FuseOne(Node* product, const ir::OpRegistry& registry, const FuseMatMulOptions& options) {
  std::optional<Fusion> fusion = StartFrom(product, options);
  if (!fusion) return;
  TakeBias(*fusion);
  Node* after_bias = fusion->last;
  TakeActivation(*fusion);
  Node* last = fusion->last;
  Apply(*fusion, product, registry);  // removes `last`; what stood before it has no user now
  if (after_bias != product && after_bias != last) product->graph()->RemoveNode(after_bias);
  if (product != last) product->graph()->RemoveNode(product);
}

}  // namespace

void FuseMatMul(ir::Graph& graph, const ir::OpRegistry& registry,
                const FuseMatMulOptions& options) {
  ForEachGraph(graph, [&](ir::Graph& each) {
    std::vector<Node*> products;  // fusing removes other nodes, but never these
    for (Node* node : each.nodes()) {
      if (Is(node, "MatMul") || Is(node, "Gemm")) products.push_back(node);
    }
    for (Node* product : products) FuseOne(product, registry, options);
  });
}

}  // namespace ingot::passes
