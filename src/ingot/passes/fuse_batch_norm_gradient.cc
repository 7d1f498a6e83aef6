// Finds the sum of both gradients: see fuse_batch_norm_gradient.h.
#include "ingot/passes/fuse_batch_norm_gradient.h"

#include <vector>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {
namespace {

bool FuseAt(ir::Node* add, size_t past, const ir::OpRegistry& registry) {
  ir::Node* apply = add->input(past)->producer();
  ir::Node* sums = add->input(1 - past)->producer();
  if (!Is(apply, "ingot.BatchNormApplyInputGradient") || !Is(sums, "ingot.BatchNormSumsGradient")) {
    return false;
  }
  if (OnlyUser(apply->output()) != add || OnlyUser(sums->output()) != add) return false;
  if (apply->GetInt("channels_last") != sums->GetInt("channels_last")) return false;
  ir::Builder builder = BuilderBefore(add, registry);
  builder.set_layer(sums->layer());
  ir::Value* fused = builder.Op(
      "ingot.BatchNormInputGradient",
      {apply->input(0), sums->input(0), apply->input(1), sums->input(1), apply->input(2)},
      apply->attributes());
  ReplaceNode(add, fused);
  ir::Graph* graph = apply->graph();
  graph->RemoveNode(apply);
  graph->RemoveNode(sums);
  return true;
}

}  // namespace

void FuseBatchNormGradient(ir::Graph& graph, const ir::OpRegistry& registry) {
  std::vector<ir::Node*> adds;
  for (ir::Node* node : graph.nodes()) {
    if (Is(node, "Add")) adds.push_back(node);
  }
  for (ir::Node* add : adds) {
    if (!FuseAt(add, 0, registry)) FuseAt(add, 1, registry);
  }
}

}  // namespace ingot::passes
