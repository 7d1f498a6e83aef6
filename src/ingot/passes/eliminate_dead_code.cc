// Dead code elimination.
#include "ingot/passes/eliminate_dead_code.h"

#include <algorithm>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

void EliminateDeadCode(ir::Graph& graph) {
  ForEachGraph(graph, [](ir::Graph& each) {
    // Users stand behind their producers, so one sweep from the end finds everything.
    std::vector<ir::Node*> nodes = each.nodes();
    std::reverse(nodes.begin(), nodes.end());
    for (ir::Node* node : nodes) {
      const auto used = [](const ir::Value* output) { return output->is_used(); };
      if (std::none_of(node->outputs().begin(), node->outputs().end(), used)) {
        each.RemoveNode(node);
      }
    }
  });
}

}  // namespace ingot::passes
