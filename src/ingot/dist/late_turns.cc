// See late_turns.h.
#include "ingot/dist/late_turns.h"

#include <algorithm>
#include <utility>

#include "ingot/dist/operands.h"

namespace ingot::dist {

using runtime::Operand;
using runtime::Task;

size_t LateTurns::TurnOf(const Task& task) const {
  size_t turn = 0;
  if (turn_of_value_.empty()) return turn;
  ForEachOperand(base_, task, [&](const Operand& operand) {
    if (operand.space != Operand::Space::kShared) return;
    const auto found = turn_of_value_.find(operand.at);
    if (found != turn_of_value_.end()) turn = std::max(turn, found->second + 1);
  });
  return turn;
}

bool LateTurns::IsHeldUp(const Task& task) const {
  const bool may_be_late =
      task.kind == Task::Kind::kJoint ||
      (task.kind == Task::Kind::kTile && !base_.units[task.index].updates.empty());
  return !may_be_late && TurnOf(task) > 0;
}

void LateTurns::NoteLate(const Task& task, size_t turn) {
  if (task.kind != Task::Kind::kJoint) return;
  for (const auto& publication : base_.joints[task.index].publications) {
    if (publication.to.space == Operand::Space::kShared) turn_of_value_[publication.to.at] = turn;
  }
}

std::vector<Task>& LateTurns::At(size_t turn) {
  if (turns_.size() <= turn) turns_.resize(turn + 1);
  return turns_[turn];
}

std::vector<std::vector<Task>> LateTurns::Take() {
  return std::exchange(turns_, {});
}

}  // namespace ingot::dist
