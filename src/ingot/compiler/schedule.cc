// Levels of the nodes of a step graph.
#include "ingot/compiler/schedule.h"

#include <algorithm>

#include "backends/cpu/kernel_table.h"
#include "ingot/ir/op.h"
#include "ingot/ops/node_kinds.h"

namespace ingot::compiler {
namespace {

bool IsOp(const ir::Node* node, const char* name) {
  return node != nullptr && node->op().FullName() == name;
}

class Scheduler {
 public:
  Schedule Run(const ir::Graph& step) {
    for (const ir::Node* node : step.nodes()) {
      const NodeKind kind = KindOf(*node);
      if (kind == NodeKind::kWithin) continue;
      if (kind == NodeKind::kUpdate && JoinsItsReduction(*node)) continue;
      Put(node, Ready(*node));
    }
    return std::move(schedule_);
  }

 private:
  void Put(const ir::Node* node, size_t stage) {
    schedule_.stage[node] = stage;
    schedule_.count = std::max(schedule_.count, stage + 1);
  }

  // The first stage in which a value can be read.
  size_t Known(const ir::Value* value) const {
    if (value == nullptr || value->producer() == nullptr) return 0;
    const auto found = schedule_.stage.find(value->producer());
    return found == schedule_.stage.end() ? Ready(*value->producer()) : found->second + 1;
  }
  size_t Ready(const ir::Node& node) const {
    size_t stage = 0;
    for (const ir::Value* input : node.inputs()) stage = std::max(stage, Known(input));
    return std::max(stage, Known(SkipOf(node)));
  }

  // What says whether an update is skipped; null where none is.
  static const ir::Value* SkipOf(const ir::Node& node) {
    for (const ir::Value* output : node.outputs()) {
      for (const ir::Value::Use& use : output->uses()) {
        if (IsOp(use.node, "ingot.KeepWhenSkipped") && use.input == 2) return use.node->input(0);
      }
    }
    return nullptr;
  }

  bool JoinsItsReduction(const ir::Node& update) {
    const ir::Value* gradient = update.input(1);
    if (gradient == nullptr || !IsOp(gradient->producer(), "ingot.TreeReduce")) return false;
    const size_t reduced = schedule_.stage.at(gradient->producer());
    for (const ir::Value* input : update.inputs()) {
      if (input != gradient && Known(input) > reduced) return false;
    }
    if (Known(SkipOf(update)) > reduced) return false;
    schedule_.fused.insert(&update);
    schedule_.stage[&update] = reduced;
    return true;
  }

  Schedule schedule_;
};

}  // namespace

NodeKind KindOf(const ir::Node& node) {
  if (IsOp(&node, "ingot.ShardMap")) return NodeKind::kShards;
  if (IsOp(&node, "ingot.TreeReduce")) return NodeKind::kReduce;
  if (ops::IsMeshOp(&node)) return NodeKind::kMesh;
  for (const char* name : {"ingot.ShardMatMul", "ingot.ScaleGradient", "Constant"}) {
    if (IsOp(&node, name)) return NodeKind::kWithin;
  }
  // Behind an update it is the update's choice, behind anything else a value of its own.
  if (IsOp(&node, "ingot.KeepWhenSkipped")) {
    const ir::Node* updated = node.input(2)->producer();
    const bool is_update = updated != nullptr && cpu::MakeUpdateKernel(*updated) != nullptr;
    return is_update ? NodeKind::kWithin : NodeKind::kJoint;
  }
  return cpu::MakeUpdateKernel(node) != nullptr ? NodeKind::kUpdate : NodeKind::kJoint;
}

Schedule ScheduleStages(const ir::Graph& step) {
  return Scheduler().Run(step);
}

const ir::Value* GradientOf(const ir::Node& update) {
  const ir::Value* gradient = update.input(1);
  return IsOp(gradient->producer(), "ingot.ScaleGradient") ? gradient->producer()->input(0)
                                                           : gradient;
}

}  // namespace ingot::compiler
