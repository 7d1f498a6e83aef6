// Fusion of elementwise nodes.
#include "ingot/passes/fuse_elementwise.h"

#include <algorithm>
#include <map>
#include <set>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

bool CanFuse(const Node& node) {
  return node.op().elementwise && !node.op().never_merged && node.outputs().size() == 1 &&
         node.output()->type().is_tensor() && node.output()->type().has_rank() &&
         !Is(&node, "ingot.FusedElementwise");
}

bool IsScalarConstant(const Value* value) {
  const Tensor* constant = ConstantOf(value);
  return constant != nullptr && constant->size() == 1;
}

class Fuser {
 public:
  Fuser(ir::Graph& graph, const ir::OpRegistry& registry)
      : registry_(registry), nodes_(graph.nodes()) {
    for (size_t i = 0; i < nodes_.size(); ++i) position_[nodes_[i]] = i;
  }

  void Run() {
    for (size_t i = nodes_.size(); i-- > 0;) {
      if (taken_.count(nodes_[i]) > 0 || !CanFuse(*nodes_[i])) continue;
      const std::vector<Node*> group = GroupEndingIn(nodes_[i]);
      taken_.insert(group.begin(), group.end());
      if (group.size() > 1) groups_.push_back(group);
    }
    for (const std::vector<Node*>& group : groups_) Fuse(group);
  }

 private:
  // The maximal set of which only `last` is needed outside, in node order. Candidates are looked at
  // from the last to the first, so that all users of a candidate have been decided on.
  std::vector<Node*> GroupEndingIn(Node* last) {
    std::set<size_t> group = {position_.at(last)};
    std::set<size_t> candidates;
    const auto add_producers = [&](const Node* node) {
      for (const Value* input : node->inputs()) {
        if (input != nullptr && input->producer() != nullptr) {
          candidates.insert(position_.at(input->producer()));
        }
      }
    };
    add_producers(last);
    while (!candidates.empty()) {
      const size_t at = *candidates.rbegin();
      candidates.erase(at);
      Node* node = nodes_[at];
      if (group.count(at) > 0 || !MayJoin(*node, *last, group)) continue;
      group.insert(at);
      add_producers(node);
    }
    std::vector<Node*> in_order;
    for (const size_t at : group) in_order.push_back(nodes_[at]);
    return in_order;
  }

  bool MayJoin(const Node& node, const Node& last, const std::set<size_t>& group) const {
    if (!CanFuse(node) || taken_.count(&node) > 0) return false;
    const Value* output = node.output();
    if (output->is_graph_output() || !SurelySameShape(output->type(), last.output()->type())) {
      return false;
    }
    return std::all_of(output->uses().begin(), output->uses().end(), [&](const Value::Use& use) {
      return group.count(position_.at(use.node)) > 0;
    });
  }

  void Fuse(const std::vector<Node*>& group) {
    Node* last = group.back();
    auto body = std::make_shared<ir::Graph>("fused");
    std::map<const Value*, Value*> inside;  // value of the graph -> value of the body
    std::vector<Value*> inputs;
    std::vector<Node*> copies;
    for (const Node* node : group) {
      std::vector<Value*> arguments;
      for (Value* input : node->inputs()) {
        arguments.push_back(input == nullptr ? nullptr : Inside(input, *body, inside, inputs));
      }
      Node* copy = body->AddNode(node->op(), std::move(arguments), node->attributes(), 1);
      copy->set_name(node->name());
      copy->set_layer(node->layer());
      ir::InferNode(*copy);
      inside[node->output()] = copy->output();
    }
    body->AddOutput(inside.at(last->output()), "y");
    ir::Builder builder = BuilderBefore(last, registry_);
    Value* fused = builder.Op("ingot.FusedElementwise", std::move(inputs), {{"body", body}});
    fused->producer()->set_name(last->name());
    ReplaceNode(last, fused);
    for (size_t i = group.size() - 1; i-- > 0;) group[i]->graph()->RemoveNode(group[i]);
  }

  // The body's value for one of the graph: a copy of a small constant, or an input of the body.
  static Value* Inside(Value* value, ir::Graph& body, std::map<const Value*, Value*>& inside,
                       std::vector<Value*>& inputs) {
    Value*& mapped = inside[value];
    if (mapped != nullptr) return mapped;
    if (IsScalarConstant(value)) {
      const Node& constant = *value->producer();
      Node* copy = body.AddNode(constant.op(), {}, constant.attributes(), 1);
      ir::InferNode(*copy);
      mapped = copy->output();
    } else {
      mapped = body.AddInput("x" + std::to_string(inputs.size()), value->type());
      inputs.push_back(value);
    }
    return mapped;
  }

  const ir::OpRegistry& registry_;
  const std::vector<Node*> nodes_;
  std::map<const Node*, size_t> position_;
  std::set<const Node*> taken_;
  std::vector<std::vector<Node*>> groups_;
};

}  // namespace

void FuseElementwise(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) { Fuser(each, registry).Run(); });
}

}  // namespace ingot::passes
