// Copies of forward nodes in front of the backward nodes that need them.
#include "ingot/passes/recompute_activations.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "ingot/ir/op.h"

namespace ingot::passes {
namespace {

using ir::Node;
using ir::Value;

double Bytes(const Node& node) {
  double bytes = 0;
  for (const Value* output : node.outputs()) {
    bytes += static_cast<double>(output->type().shape().size()) *
             static_cast<double>(ItemSize(output->type().dtype()));
  }
  return bytes;
}

class Recomputer {
 public:
  Recomputer(ir::Graph& body, int segments) : body_(body), segments_(segments) {}

  void Run(const Value* loss) {
    FindForward(loss);
    Cut();
    for (Node* node : body_.nodes()) {
      if (segment_.count(node) > 0 || node->op_type() == "Constant") continue;
      for (size_t i = 0; i < node->inputs().size(); ++i) {
        Value* value = node->input(i);
        if (IsComputedAgain(value)) node->SetInput(i, Again(value, node));
      }
    }
  }

 private:
  // The ancestors of the loss; constants belong to nobody.
  void FindForward(const Value* loss) {
    std::vector<const Value*> open = {loss};
    while (!open.empty()) {
      const Value* value = open.back();
      open.pop_back();
      Node* node = value == nullptr ? nullptr : value->producer();
      if (node == nullptr || node->op_type() == "Constant") continue;
      if (!segment_.emplace(node, 0).second) continue;
      for (const Value* input : node->inputs()) open.push_back(input);
    }
  }

  // Equal shares of the bytes, in the order of the graph.
  void Cut() {
    double total = 0;
    for (const auto& [node, segment] : segment_) total += Bytes(*node);
    double done = 0;
    for (Node* node : body_.nodes()) {
      const auto found = segment_.find(node);
      if (found == segment_.end()) continue;
      found->second = std::min(segments_ - 1, static_cast<int>(done / total * segments_));
      done += Bytes(*node);
    }
  }

  // Whether the value is dropped after its segment: it is neither an output nor needed by a later
  // segment. The last segment is followed by the backward pass at once.
  bool IsComputedAgain(const Value* value) const {
    if (value == nullptr || value->producer() == nullptr || value->is_graph_output()) return false;
    const auto producer = segment_.find(value->producer());
    if (producer == segment_.end() || producer->second == segments_ - 1) return false;
    return std::none_of(value->uses().begin(), value->uses().end(), [&](const Value::Use& use) {
      const auto user = segment_.find(use.node);
      return user != segment_.end() && user->second > producer->second;
    });
  }

  // The value's copy, made with all that it needs of its segment before `user`: users come in the
  // order of the graph.
  Value* Again(Value* value, Node* user) {
    const auto known = again_.find(value);
    if (known != again_.end()) return known->second;
    const Node& node = *value->producer();
    std::vector<Value*> inputs;
    for (Value* input : node.inputs()) {
      inputs.push_back(IsComputedAgain(input) ? Again(input, user) : input);
    }
    Node* copy =
        body_.AddNode(node.op(), std::move(inputs), node.attributes(), node.outputs().size(), user);
    copy->set_name(node.name());
    copy->set_layer(node.layer());
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      copy->output(i)->set_type(node.output(i)->type());
      again_[node.output(i)] = copy->output(i);
    }
    return again_.at(value);
  }

  ir::Graph& body_;
  int segments_;
  std::map<const Node*, int> segment_;  // of the forward nodes
  std::map<const Value*, Value*> again_;
};

}  // namespace

void RecomputeActivations(ir::Graph& body, const std::string& loss, int segments) {
  if (segments < 2) return;
  for (size_t i = 0; i < body.outputs().size(); ++i) {
    if (body.output_names()[i] != loss) continue;
    Recomputer(body, segments).Run(body.outputs()[i]);
    return;
  }
}

}  // namespace ingot::passes
