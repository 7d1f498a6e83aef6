// Merging of equal computations.
#include "ingot/passes/merge_common_subexpressions.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

bool SameAttributes(const Node& a, const Node& b) {
  if (a.attributes().size() != b.attributes().size()) return false;
  return std::equal(a.attributes().begin(), a.attributes().end(), b.attributes().begin(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && ir::Equal(x.second, y.second);
                    });
}

// Two outputs of the graph stay two values, as one of them may replace an input.
bool BothAreOutputs(const Node& a, const Node& b) {
  for (size_t i = 0; i < a.outputs().size(); ++i) {
    if (a.output(i)->is_graph_output() && b.output(i)->is_graph_output()) return true;
  }
  return false;
}

// Nodes that can only be equal when their keys are: op, ids of the inputs (-1: absent), outputs.
using Key = std::tuple<const ir::OpDefinition*, std::vector<int>, size_t>;

Key KeyOf(const Node& node) {
  std::vector<int> ids;
  for (const Value* input : node.inputs()) ids.push_back(input == nullptr ? -1 : input->id());
  while (!ids.empty() && ids.back() == -1) ids.pop_back();
  return {&node.op(), std::move(ids), node.outputs().size()};
}

void MergeIn(ir::Graph& graph) {
  std::map<Key, std::vector<Node*>> seen;
  for (Node* node : graph.nodes()) {
    if (node->op().never_merged) continue;
    std::vector<Node*>& candidates = seen[KeyOf(*node)];
    const auto first = std::find_if(candidates.begin(), candidates.end(), [&](const Node* other) {
      return SameAttributes(*node, *other) && !BothAreOutputs(*node, *other);
    });
    if (first == candidates.end()) {
      candidates.push_back(node);
      continue;
    }
    for (size_t i = 0; i < node->outputs().size(); ++i) {
      Value* kept = (*first)->output(i);
      if (kept->name().empty()) kept->set_name(node->output(i)->name());
      graph.ReplaceAllUses(node->output(i), kept);
    }
    graph.RemoveNode(node);
  }
}

}  // namespace

void MergeCommonSubexpressions(ir::Graph& graph) {
  ForEachGraph(graph, MergeIn);
}

}  // namespace ingot::passes
