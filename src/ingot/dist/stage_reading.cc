// Looks into tasks and stages.
#include "ingot/dist/stage_reading.h"

#include <algorithm>

#include "ingot/base/error.h"

namespace ingot::dist {

using runtime::Operand;
using runtime::Stage;
using runtime::Task;

bool IsReduction(const runtime::StepProgram& program, const Task& task) {
  return task.kind == Task::Kind::kTile && program.units[task.index].kernel != nullptr;
}

bool HasReduction(const runtime::StepProgram& program, const Stage& stage) {
  return std::any_of(stage.tasks.begin(), stage.tasks.end(),
                     [&](const Task& task) { return IsReduction(program, task); });
}

bool Updates(const runtime::StepProgram& program, const Task& task) {
  if (task.kind == Task::Kind::kTile) return !program.units[task.index].updates.empty();
  if (task.kind != Task::Kind::kJoint) return false;
  const auto& publications = program.joints[task.index].publications;
  return std::any_of(publications.begin(), publications.end(), [](const auto& publication) {
    return publication.to.space == Operand::Space::kState;
  });
}

const Task* MeshTaskOf(const Stage& stage) {
  const auto found = std::find_if(stage.tasks.begin(), stage.tasks.end(),
                                  [](const Task& task) { return task.kind == Task::Kind::kMesh; });
  return found == stage.tasks.end() ? nullptr : &*found;
}

std::vector<runtime::MeshValue> RowsOf(const std::vector<runtime::MeshValue>& values, bool rows) {
  std::vector<runtime::MeshValue> found;
  for (const runtime::MeshValue& value : values) {
    if (value.is_rows == rows) found.push_back(value);
  }
  return found;
}

bool HasRows(const runtime::StepProgram& program, const Stage& stage) {
  return std::any_of(stage.tasks.begin(), stage.tasks.end(), [&](const Task& task) {
    if (task.kind == Task::Kind::kShard) return true;
    return task.kind == Task::Kind::kMesh && !RowsOf(program.meshes[task.index], true).empty();
  });
}

void CheckNoSumsInTheMiddle(const runtime::StepProgram& program) {
  for (const runtime::ShardPart& part : program.parts) {
    for (const runtime::ShardRoutine& routine : part.routines) {
      for (const runtime::Instruction& instruction : routine.instructions) {
        const bool reads_sums = std::any_of(
            instruction.operands.begin(), instruction.operands.end(),
            [](const Operand& operand) { return operand.space == Operand::Space::kShared; });
        if (!reads_sums) continue;
        throw Error(ErrorCode::kUnsupported,
                    "mesh.pipeline: layer " + instruction.layer +
                        " takes sums over the whole batch, as those of batch_norm, for which all "
                        "micro-batches would wait",
                    "use layer_norm or group_norm, or leave mesh.pipeline out");
      }
    }
  }
}

}  // namespace ingot::dist
