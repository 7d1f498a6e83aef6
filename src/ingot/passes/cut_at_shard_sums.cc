// One ShardMap with sums inside -> a chain of ShardMaps.
#include "ingot/passes/cut_at_shard_sums.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/shard_map.h"
#include "ingot/passes/channels_last.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

using ops::kPartialOutput;
using ops::kRowsOutput;

bool IsShardSum(const Value* value) {
  return Is(value->producer(), "ingot.ShardSum");
}

bool IsMeshOp(const Node* node) {
  return Is(node, "ingot.MeshSum") || Is(node, "ingot.MeshPass");
}

bool IsCut(const Node* node) {
  return Is(node, "ingot.ShardSum") || IsMeshOp(node);
}

// Cheaper to make again than to carry from one part to another.
bool IsView(const Node& node) {
  for (const char* name : {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}) {
    if (Is(&node, name)) return true;
  }
  return false;
}

// A value of the body that a part takes or gives.
struct Port {
  const Value* value;  // of the old body
  bool rows;
};

// One ShardMap of the chain.
struct Part {
  std::shared_ptr<ir::Graph> graph = std::make_shared<ir::Graph>("shard");
  std::map<const Value*, Value*> values;  // old -> this part's
  std::vector<const Value*> sharded;      // inputs, as values of the old body
  std::vector<const Value*> sliced;
  std::vector<const Value*> whole;
  std::vector<Port> outputs;
};

class Cutter {
 public:
  Cutter(Node* map, const ir::OpRegistry& registry)
      : map_(map),
        registry_(registry),
        body_(*map->GetGraph("body")),
        sharded_(static_cast<size_t>(map->GetInt("sharded"))) {}

  void Run() {
    FindLevels();
    if (parts_.size() < 2) return;
    INGOT_ASSERT(map_->GetInt("sliced") == 0, "a ShardMap is cut once");
    for (const Node* node : body_.nodes()) {
      if (!IsCut(node)) Copy(*node, level_.at(node->output()));
    }
    for (const Node* node : body_.nodes()) {
      if (IsCut(node)) Give(node->input(0), IsMeshOp(node));
    }
    for (size_t i = 0; i < body_.outputs().size(); ++i) {
      if (IsMeshOp(body_.outputs()[i]->producer())) continue;
      Give(body_.outputs()[i], map_->GetInts("output_kinds")[i] == kRowsOutput);
    }
    Emit();
  }

 private:
  size_t LevelOf(const Value* value) const {
    const auto found = level_.find(value);
    return found == level_.end() ? 0 : found->second;
  }

  void FindLevels() {
    size_t levels = 0;
    for (const Node* node : body_.nodes()) {
      size_t level = 0;
      for (const Value* input : node->inputs()) {
        if (input != nullptr) level = std::max(level, LevelOf(input));
      }
      if (IsCut(node)) ++level;
      for (const Value* output : node->outputs()) level_[output] = level;
      levels = std::max(levels, level);
    }
    parts_.resize(levels + 1);
  }

  bool IsRows(const Value* value) const {
    const ir::Type& type = value->type();
    const std::string& symbol = body_.inputs().at(0)->type().dim(0).symbol();
    return type.is_tensor() && type.has_rank() && type.rank() > 0 &&
           type.dim(0).symbol() == symbol && !symbol.empty();
  }

  // Views, and parameters in another layout, which every shard would carry for itself.
  bool IsMadeAgain(const Node& node) const {
    if (Is(&node, "Constant")) return true;
    if (IsView(node)) {
      // Matrices with a row for each place of a sequence can be carried in one shape alone.
      const Value* x = node.input(0);
      return IsRows(x) || x->type().is_static() || !IsRows(node.output());
    }
    if (!Is(&node, "Transpose") || node.input(0)->producer() != nullptr) return false;
    return node.input(0)->role() == ir::Role::kParameter;
  }

  void Copy(const Node& node, size_t level) {
    Part& part = parts_[level];
    std::vector<Value*> inputs;
    for (const Value* input : node.inputs()) {
      inputs.push_back(input == nullptr ? nullptr : Import(input, level));
    }
    Node* copy =
        part.graph->AddNode(node.op(), std::move(inputs), node.attributes(), node.outputs().size());
    copy->set_name(node.name());
    copy->set_layer(node.layer());
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      copy->output(i)->set_type(node.output(i)->type());
      copy->output(i)->set_name(node.output(i)->name());
      part.values[node.output(i)] = copy->output(i);
    }
  }

  // The value in part `level`: made there, made again, or an input.
  Value* Import(const Value* value, size_t level) {
    const auto found = parts_[level].values.find(value);
    if (found != parts_[level].values.end()) return found->second;
    const Node* producer = value->producer();
    if (producer != nullptr && !IsCut(producer) && IsMadeAgain(*producer)) {
      Copy(*producer, level);
      return parts_[level].values.at(value);
    }
    Part& part = parts_[level];
    std::string name = value->name();
    ir::Role role = ir::Role::kData;
    if (producer == nullptr) {
      const auto& inputs = body_.inputs();
      const auto index =
          static_cast<size_t>(std::find(inputs.begin(), inputs.end(), value) - inputs.begin());
      (index < sharded_ ? part.sharded : part.whole).push_back(value);
      role = value->role();
    } else {
      name = "value_" + std::to_string(value->id());
      if (IsShardSum(value)) {
        part.whole.push_back(value);
        role = ir::Role::kScalar;
      } else if (IsMeshOp(producer)) {
        part.sharded.push_back(value);
      } else {
        const bool rows = IsRows(value);
        Give(value, rows);
        (rows ? part.sharded : part.sliced).push_back(value);
      }
    }
    Value* input = part.graph->AddInput(name, value->type(), role);
    part.values[value] = input;
    return input;
  }

  // Makes a value an output of the part that computes it.
  void Give(const Value* value, bool rows) {
    const size_t level = LevelOf(value);
    Part& part = parts_[level];
    for (const Port& port : part.outputs) {
      if (port.value == value && port.rows == rows) return;
    }
    if (!rows && !value->type().is_static()) {
      throw Error(ErrorCode::kUnsupported,
                  "a " + value->type().ToString() +
                      " is needed on both sides of a sum over the batch, but is neither rows of "
                      "the shard nor of a size known beforehand");
    }
    part.outputs.push_back({value, rows});
    part.graph->AddOutput(Import(value, level), "value_" + std::to_string(value->id()));
  }

  // Inputs of a ShardMap stand in order: sharded, sliced, whole.
  void OrderInputs(Part& part) {
    if (part.sharded.empty()) Import(body_.inputs().at(0), Index(part));
    auto ordered = std::make_shared<ir::Graph>(body_.name());
    std::map<const Value*, Value*> moved;
    for (const auto* group : {&part.sharded, &part.sliced, &part.whole}) {
      for (const Value* value : *group) {
        const Value* old = part.values.at(value);
        moved[old] = ordered->AddInput(old->name(), old->type(), old->role());
      }
    }
    for (const Node* node : part.graph->nodes()) {
      std::vector<Value*> inputs;
      for (const Value* input : node->inputs()) {
        inputs.push_back(input == nullptr ? nullptr : moved.at(input));
      }
      Node* copy = ordered->AddNode(node->op(), std::move(inputs), node->attributes(),
                                    node->outputs().size());
      copy->set_name(node->name());
      copy->set_layer(node->layer());
      for (size_t i = 0; i < node->outputs().size(); ++i) {
        copy->output(i)->set_type(node->output(i)->type());
        copy->output(i)->set_name(node->output(i)->name());
        moved[node->output(i)] = copy->output(i);
      }
    }
    for (size_t i = 0; i < part.graph->outputs().size(); ++i) {
      ordered->AddOutput(moved.at(part.graph->outputs()[i]), part.graph->output_names()[i]);
    }
    part.graph = std::move(ordered);
  }

  size_t Index(const Part& part) const { return static_cast<size_t>(&part - parts_.data()); }

  void Emit() {
    // Later parts first: what they lack an earlier one gives.
    for (size_t p = parts_.size(); p-- > 0;) OrderInputs(parts_[p]);
    ir::Builder builder = BuilderBefore(map_, registry_);
    for (Part& part : parts_) EmitPart(part, builder);
    for (size_t i = 0; i < body_.outputs().size(); ++i) {
      const bool rows = map_->GetInts("output_kinds")[i] == kRowsOutput;
      const Value* inside = body_.outputs()[i];
      Value* value = IsMeshOp(inside->producer()) ? sums_.at(inside) : given_.at({inside, rows});
      if (value->name().empty()) value->set_name(map_->output(i)->name());
      map_->graph()->ReplaceAllUses(map_->output(i), value);
    }
    map_->graph()->RemoveNode(map_);
  }

  void EmitPart(Part& part, ir::Builder& builder) {
    if (part.outputs.empty()) return;
    std::vector<Value*> inputs;
    for (const Value* value : part.sharded) inputs.push_back(Outside(value, true));
    for (const Value* value : part.sliced) inputs.push_back(Outside(value, false));
    for (const Value* value : part.whole) inputs.push_back(Outside(value, false));
    std::vector<int64_t> kinds;
    for (const Port& port : part.outputs) kinds.push_back(port.rows ? kRowsOutput : kPartialOutput);
    const std::vector<Value*> outputs =
        builder.Ops("ingot.ShardMap", std::move(inputs), kinds.size(),
                    {{"body", part.graph},
                     {"shards", map_->GetInt("shards")},
                     {"sharded", static_cast<int64_t>(part.sharded.size())},
                     {"sliced", static_cast<int64_t>(part.sliced.size())},
                     {"output_kinds", kinds}});
    for (size_t i = 0; i < outputs.size(); ++i) {
      given_[{part.outputs[i].value, part.outputs[i].rows}] = outputs[i];
    }
    for (const Node* node : body_.nodes()) {
      if (!IsCut(node) || LevelOf(node->input(0)) != Index(part)) continue;
      builder.set_layer(node->layer());
      const bool rows = IsMeshOp(node);
      Value* given = given_.at({node->input(0), rows});
      sums_[node->output()] = rows ? builder.Op(node->op().FullName(), {given}, node->attributes())
                                   : builder.Op("ingot.TreeReduce", {given});
    }
    builder.set_layer(map_->layer());
  }

  // A value of the body outside of it: an input of the map, a sum, or what an earlier part gave.
  Value* Outside(const Value* value, bool rows) const {
    const auto& inputs = body_.inputs();
    if (IsCut(value->producer())) return sums_.at(value);
    const auto input = std::find(inputs.begin(), inputs.end(), value);
    if (input != inputs.end()) return map_->input(static_cast<size_t>(input - inputs.begin()));
    return given_.at({value, rows});
  }

  Node* map_;
  const ir::OpRegistry& registry_;
  const ir::Graph& body_;
  size_t sharded_;
  std::map<const Value*, size_t> level_;
  std::vector<Part> parts_;
  std::map<std::pair<const Value*, bool>, Value*> given_;  // outside: what the parts give
  std::map<const Value*, Value*> sums_;  // outside: what the ShardSums and mesh ops give
};

void RemoveMeshShares(ir::Graph& body) {
  for (Node* node : body.nodes()) {
    if (!Is(node, "ingot.MeshShare")) continue;
    body.ReplaceAllUses(node->output(), node->input(0));
    body.RemoveNode(node);
  }
}

// What needs the shape of a value alone should not make that be carried.
void ResolveReshapes(ir::Graph& body, const ir::OpRegistry& registry) {
  for (Node* node : body.nodes()) {
    if (!Is(node, "ingot.ReshapeLike")) continue;
    const ir::Type& like = node->input(1)->type();
    if (!like.has_rank() || like.rank() == 0) continue;
    std::vector<int64_t> target = {-1};
    for (int i = 1; i < like.rank() && like.dim(i).is_static(); ++i) {
      target.push_back(like.dim(i).value());
    }
    if (static_cast<int>(target.size()) != like.rank()) continue;
    ir::Builder builder = BuilderBefore(node, registry);
    Value* reshaped = builder.Op("Reshape", {node->input(0), builder.Ints(target)});
    body.ReplaceAllUses(node->output(), reshaped);
    body.RemoveNode(node);
  }
}

// What comes from other places is written over what went there, which must not be needed then.
void SeparateMeshInputs(ir::Graph& body, const ir::OpRegistry& registry) {
  for (Node* node : body.nodes()) {
    if (!IsMeshOp(node)) continue;
    const Value* x = node->input(0);
    if (OnlyUser(x) != nullptr && x->producer() != nullptr && !IsCut(x->producer())) continue;
    node->SetInput(0, BuilderBefore(node, registry).Op("Identity", {node->input(0)}));
  }
}

}  // namespace

void CutAtShardSums(ir::Graph& graph, const ir::OpRegistry& registry) {
  for (Node* node : graph.nodes()) {
    if (!Is(node, "ingot.ShardMap")) continue;
    ir::Graph& body = *node->GetGraph("body");
    RemoveMeshShares(body);
    const std::vector<Node*> nodes = body.nodes();
    if (std::none_of(nodes.begin(), nodes.end(), IsCut)) continue;
    // What is carried from part to part should have the layout that the kernels want.
    if (std::any_of(nodes.begin(), nodes.end(), IsMeshOp)) ResolveReshapes(body, registry);
    ChannelsLast(body, registry);
    MergeCommonSubexpressions(body);
    EliminateDeadCode(body);
    SeparateMeshInputs(body, registry);
    Cutter(node, registry).Run();
  }
}

}  // namespace ingot::passes
