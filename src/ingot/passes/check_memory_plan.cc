// The independent check of a memory plan: walks through the graph as an executor would and looks at
// every pair of values that are needed at the same time.
#include <algorithm>

#include "ingot/ir/op.h"
#include "ingot/passes/plan_memory.h"
#include "ingot/passes/rewrite.h"
#include "ingot/tensor/tensor.h"

namespace ingot::passes {

namespace {

using ir::Node;
using ir::Value;

std::string Named(const Value* value) {
  std::string text = "%" + std::to_string(value->id());
  if (value->producer() != nullptr) text += " of " + value->producer()->Describe();
  return text;
}

class PlanChecker {
 public:
  PlanChecker(const ir::Graph& graph, const MemoryPlan& plan, const MemoryPlanOptions& options)
      : plan_(plan), options_(options), nodes_(graph.nodes()) {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      for (const Value* input : nodes_[i]->inputs()) last_use_[input] = i;
    }
    for (const Value* output : graph.outputs()) last_use_[output] = nodes_.size();
  }

  std::vector<std::string> Check() {
    std::vector<const Value*> alive;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = *nodes_[i];
      CheckScratch(node, alive);
      for (const Value* output : node.outputs()) {
        CheckPlace(output);
        for (const Value* other : alive) CheckPair(node, i, output, other);
        alive.push_back(output);
      }
      std::erase_if(alive, [&](const Value* value) { return LastUse(value) <= i; });
    }
    return std::move(problems_);
  }

 private:
  size_t LastUse(const Value* value) const {
    const auto found = last_use_.find(value);
    return found == last_use_.end() ? 0 : found->second;
  }

  static bool Overlap(const Placement& a, const Placement& b) {
    return a.in_arena && b.in_arena && a.bytes > 0 && b.bytes > 0 &&
           a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
  }

  void CheckRange(const std::string& what, const Placement& place) {
    if (!place.in_arena) return;
    if (place.offset % kAlignment != 0) problems_.push_back(what + " is not aligned");
    if (place.bytes > 0 && place.offset + place.bytes + options_.guard_bytes > plan_.arena_bytes) {
      problems_.push_back(what + " ends behind the arena");
    }
  }

  void CheckPlace(const Value* value) {
    const Placement& place = plan_.at(value);
    CheckRange(Named(value), place);
    if (place.storage == nullptr) problems_.push_back(Named(value) + " has no storage");
    if (options_.placed_outside.count(value) > 0 && (place.in_arena || place.storage != value)) {
      problems_.push_back(Named(value) + " should be placed outside");
    }
    const ir::Type& type = value->type();
    const bool known = type.is_static() && ItemSize(type.dtype()) > 0;
    const size_t needed =
        known ? static_cast<size_t>(type.shape().size()) * ItemSize(type.dtype()) : 0;
    if (place.bytes != needed) {
      problems_.push_back(Named(value) + " has " + std::to_string(place.bytes) +
                          " bytes, but needs " + std::to_string(needed));
    }
  }

  void CheckScratch(const Node& node, const std::vector<const Value*>& alive) {
    const auto found = plan_.scratch.find(&node);
    if (found == plan_.scratch.end()) return;
    CheckRange("scratch of " + node.Describe(), found->second);
    std::vector<const Value*> values = alive;
    values.insert(values.end(), node.outputs().begin(), node.outputs().end());
    for (const Value* value : values) {
      if (Overlap(found->second, plan_.at(value))) {
        problems_.push_back("scratch of " + node.Describe() + " overlaps " + Named(value));
      }
    }
  }

  // The value that this one is a view of, through any number of views.
  const Value* Origin(const Value* value) const {
    while (value->producer() != nullptr && plan_.IsView(*value->producer())) {
      value = value->producer()->input(0);
    }
    return value;
  }

  void CheckPair(const Node& node, size_t position, const Value* output, const Value* other) {
    const Placement& a = plan_.at(output);
    const Placement& b = plan_.at(other);
    if (!Overlap(a, b)) return;
    if (a.storage == b.storage && a.offset == b.offset && a.bytes == b.bytes) {
      if (Origin(output) == Origin(other)) return;
      if (InPlaceIsRight(node, position, output, other)) return;
    }
    problems_.push_back(Named(output) + " overlaps " + Named(other) + ", which is still needed");
  }

  bool InPlaceIsRight(const Node& node, size_t position, const Value* output,
                      const Value* other) const {
    if (!node.op().may_run_in_place || output != node.output() || node.input(0) == nullptr) {
      return false;
    }
    if (Origin(other) != Origin(node.input(0)) || LastUse(other) > position) return false;
    for (size_t i = 1; i < node.inputs().size(); ++i) {
      const Value* input = node.input(i);
      if (input == nullptr || node.op().elementwise) continue;
      if (Origin(input) == Origin(node.input(0))) return false;
    }
    return true;
  }

  const MemoryPlan& plan_;
  const MemoryPlanOptions& options_;
  const std::vector<Node*> nodes_;
  std::map<const Value*, size_t> last_use_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> CheckMemoryPlan(const ir::Graph& graph, const MemoryPlan& plan,
                                         const MemoryPlanOptions& options) {
  return PlanChecker(graph, plan, options).Check();
}

}  // namespace ingot::passes
