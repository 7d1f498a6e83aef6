// See fuse_convolution.h.
#include "ingot/passes/fuse_convolution.h"

#include <optional>

#include "ingot/passes/activation_epilogue.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

// What is added to the convolution's result, where that is all its only user does.
Value* ResidualOf(const Node* add, const Value* result) {
  if (!Is(add, "Add") || add->input(0) == add->input(1)) return nullptr;
  Value* other = add->input(0) == result ? add->input(1) : add->input(0);
  return SurelySameShape(other->type(), result->type()) && ConstantOf(other) == nullptr ? other
                                                                                        : nullptr;
}

void Fuse(Node* conv, const ir::OpRegistry& registry) {
  const bool fits = conv->GetInt("channels_last", 0) == 0 &&
                    conv->output()->type().dtype() == DType::kF32 &&
                    ConstantOf(conv->input(1)) != nullptr;
  if (!fits) return;
  std::vector<Node*> taken = {conv};
  Value* result = conv->output();
  Value* residual = ResidualOf(OnlyUser(result), result);
  if (residual != nullptr) {
    taken.push_back(OnlyUser(result));
    result = taken.back()->output();
  }
  const auto activation = EpilogueOf(OnlyUser(result), result);
  if (activation) {
    taken.push_back(OnlyUser(result));
    result = taken.back()->output();
  }
  ir::Attributes attributes = conv->attributes();
  if (activation) {
    attributes["epilogue"] = activation->name;
    attributes["alpha"] = activation->alpha;
    attributes["beta"] = activation->beta;
  }
  std::vector<Value*> inputs = {conv->input(0), conv->input(1)};
  if (conv->input(2) != nullptr || residual != nullptr) inputs.push_back(conv->input(2));
  if (residual != nullptr) inputs.push_back(residual);
  // Where the last node stood: the residual is sure to be there.
  ir::Builder builder = BuilderBefore(taken.back(), registry);
  builder.set_layer(conv->layer());
  Value* fused = builder.Op("ingot.FusedConv", std::move(inputs), std::move(attributes));
  fused->producer()->set_name(conv->name());
  ReplaceNode(taken.back(), fused);
  for (size_t i = taken.size() - 1; i-- > 0;) conv->graph()->RemoveNode(taken[i]);
}

}  // namespace

void FuseConvolution(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    // Of two convolutions that are added, the later one takes the other as its residual.
    std::vector<Node*> nodes = each.nodes();
    for (size_t i = nodes.size(); i-- > 0;) {
      if (Is(nodes[i], "Conv")) Fuse(nodes[i], registry);
    }
  });
}

}  // namespace ingot::passes
