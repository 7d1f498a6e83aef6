// Liveness and best-fit placement.
#include "ingot/passes/plan_memory.h"

#include <algorithm>
#include <limits>

#include "ingot/base/error.h"
#include "ingot/ir/op.h"
#include "ingot/passes/rewrite.h"
#include "ingot/tensor/tensor.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

size_t AlignUp(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Ops whose output is the input's bytes under another type.
bool IsViewOp(const Node& node) {
  for (const char* name :
       {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "ingot.ReshapeLike"}) {
    if (Is(&node, name)) return true;
  }
  return false;
}

bool HasKnownSize(const Value* value) {
  return value->type().is_static() && ItemSize(value->type().dtype()) > 0;
}

size_t BytesOf(const Value* value) {
  if (!HasKnownSize(value)) return 0;
  return static_cast<size_t>(value->type().shape().size()) * ItemSize(value->type().dtype());
}

// Bytes that one value owns and others may share, alive from node `begin` to node `end`.
struct Storage {
  const Value* owner = nullptr;  // null: scratch memory of node `begin`
  size_t begin = 0;
  size_t end = 0;
  size_t bytes = 0;
  size_t offset = 0;
};

class Planner {
 public:
  Planner(const ir::Graph& graph, const MemoryPlanOptions& options)
      : graph_(graph), options_(options), nodes_(graph.nodes()) {
    for (size_t i = 0; i < nodes_.size(); ++i) position_[nodes_[i]] = i;
  }

  MemoryPlan Plan() {
    for (const Value* input : graph_.inputs()) plan_.values[input] = Outside(input);
    for (size_t i = 0; i < nodes_.size(); ++i) PlanNode(*nodes_[i], i);
    Place();
    for (auto& entry : plan_.values) {
      const auto found = storages_.find(entry.second.storage);
      if (found != storages_.end()) entry.second.offset = found->second.offset;
    }
    return std::move(plan_);
  }

 private:
  Placement Outside(const Value* value) const { return {value, false, 0, BytesOf(value)}; }

  bool StaysOutside(const Value* value) const {
    return options_.placed_outside.count(value) > 0 || !HasKnownSize(value) ||
           Is(value->producer(), "Constant");
  }

  // The last node that needs the value, or the end for an output of the graph.
  size_t LastUse(const Value* value, size_t defined_at) const {
    if (value->is_graph_output()) return nodes_.size();
    size_t last = defined_at;
    for (const Value::Use& use : value->uses()) last = std::max(last, position_.at(use.node));
    return last;
  }

  void PlanNode(const Node& node, size_t position) {
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      const Value* output = node.output(i);
      if (StaysOutside(output)) {
        plan_.values[output] = Outside(output);
        continue;
      }
      plan_.unshared_bytes += AlignUp(BytesOf(output) + options_.guard_bytes);
      if (i == 0 && ShareAsView(node, position)) continue;
      if (i == 0 && ShareInPlace(node, position)) continue;
      storages_[output] = {output, position, LastUse(output, position), BytesOf(output), 0};
      plan_.values[output] = {output, true, 0, BytesOf(output)};
    }
    if (!options_.scratch_bytes) return;
    if (const size_t bytes = options_.scratch_bytes(node); bytes > 0) {
      scratch_[&node] = {nullptr, position, position, bytes, 0};
    }
  }

  void Join(const Value* output, const Placement& input, size_t position) {
    plan_.values[output] = {input.storage, input.in_arena, 0, BytesOf(output)};
    if (!input.in_arena) return;
    Storage& storage = storages_.at(input.storage);
    storage.end = std::max(storage.end, LastUse(output, position));
  }

  bool ShareAsView(const Node& node, size_t position) {
    if (!options_.views || !IsViewOp(node) || node.input(0) == nullptr) return false;
    const Placement input = plan_.values.at(node.input(0));
    if (input.bytes != BytesOf(node.output())) return false;
    Join(node.output(), input, position);
    return true;
  }

  // The output may be written over input 0 when nothing that shares its bytes is needed later.
  bool ShareInPlace(const Node& node, size_t position) {
    if (!options_.in_place || !node.op().may_run_in_place || node.input(0) == nullptr) return false;
    const Value* input = node.input(0);
    const Value* output = node.output();
    const Placement place = plan_.values.at(input);
    if (!place.in_arena || storages_.at(place.storage).end > position) return false;
    if (input->type().dtype() != output->type().dtype() || place.bytes != BytesOf(output)) {
      return false;
    }
    // Another input in the same bytes would be overwritten while it is read, unless each element
    // is read before it is written.
    for (size_t i = 1; i < node.inputs().size(); ++i) {
      const Value* other = node.input(i);
      if (other == nullptr || node.op().elementwise) continue;
      if (plan_.values.at(other).storage == place.storage) return false;
    }
    Join(output, place, position);
    return true;
  }

  // Largest first, each into the smallest gap between what lives at the same time.
  void Place() {
    std::vector<Storage*> pending;
    for (auto& entry : storages_) pending.push_back(&entry.second);
    for (auto& entry : scratch_) pending.push_back(&entry.second);
    const auto key = [](const Storage* s) {
      return std::make_tuple(-static_cast<int64_t>(s->bytes), s->begin,
                             s->owner != nullptr ? s->owner->id() : -1);
    };
    std::sort(pending.begin(), pending.end(),
              [&](const Storage* a, const Storage* b) { return key(a) < key(b); });
    std::vector<const Storage*> placed;  // by offset
    for (Storage* storage : pending) {
      const size_t size = AlignUp(storage->bytes + options_.guard_bytes);
      if (size == 0) continue;
      storage->offset = BestOffset(placed, *storage, size);
      plan_.arena_bytes = std::max(plan_.arena_bytes, storage->offset + size);
      placed.insert(std::upper_bound(
                        placed.begin(), placed.end(), storage,
                        [](const Storage* a, const Storage* b) { return a->offset < b->offset; }),
                    storage);
    }
    for (const auto& entry : scratch_) {
      plan_.scratch[entry.first] = {nullptr, true, entry.second.offset, entry.second.bytes};
    }
  }

  size_t BestOffset(const std::vector<const Storage*>& placed, const Storage& storage,
                    size_t size) const {
    size_t best = 0;
    size_t best_gap = std::numeric_limits<size_t>::max();
    bool found = false;
    size_t free_from = 0;
    for (const Storage* other : placed) {
      if (other->end < storage.begin || storage.end < other->begin) continue;
      if (other->offset > free_from) {
        const size_t gap = other->offset - free_from;
        if (gap >= size && gap < best_gap) {
          found = true;
          best = free_from;
          best_gap = gap;
        }
      }
      free_from = std::max(free_from, other->offset + AlignUp(other->bytes + options_.guard_bytes));
    }
    return found ? best : free_from;
  }

  const ir::Graph& graph_;
  const MemoryPlanOptions& options_;
  const std::vector<Node*> nodes_;
  std::map<const Node*, size_t> position_;
  std::map<const Value*, Storage> storages_;  // by owner
  std::map<const Node*, Storage> scratch_;
  MemoryPlan plan_;
};

}  // namespace

const Placement& MemoryPlan::at(const ir::Value* value) const {
  const auto found = values.find(value);
  if (found != values.end()) return found->second;
  throw Error(ErrorCode::kInternal, "value %" + std::to_string(value->id()) + " '" + value->name() +
                                        "' is not in the memory plan");
}

bool MemoryPlan::IsView(const ir::Node& node) const {
  if (!IsViewOp(node) || node.input(0) == nullptr) return false;
  return at(node.output()).storage == at(node.input(0)).storage;
}

MemoryPlan PlanMemory(const ir::Graph& graph, const MemoryPlanOptions& options) {
  return Planner(graph, options).Plan();
}

}  // namespace ingot::passes
