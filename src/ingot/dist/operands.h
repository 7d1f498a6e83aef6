// Walking over what the instructions, joint tasks and units of a program read and write.
#pragma once

#include <vector>

#include "ingot/runtime/step_program.h"

namespace ingot::dist {

// visit(operand) for each operand.
template <typename Visit>
void ForEachOperand(const std::vector<runtime::Instruction>& instructions, const Visit& visit) {
  for (const runtime::Instruction& instruction : instructions) {
    for (const runtime::Operand& operand : instruction.operands) visit(operand);
  }
}

// What a part of the shards reads and writes.
template <typename Visit>
void ForEachOperand(const runtime::ShardPart& part, const Visit& visit) {
  for (const runtime::ShardRoutine& routine : part.routines) {
    ForEachOperand(routine.instructions, visit);
  }
}

// What the shards' parts read and write.
template <typename Visit>
void ForEachShardOperand(const runtime::StepProgram& program, const Visit& visit) {
  for (const runtime::ShardPart& part : program.parts) ForEachOperand(part, visit);
}

// What a unit takes its value from, and what its updates read and write.
template <typename Visit>
void ForEachOperand(const runtime::ReduceUnit& unit, const Visit& visit) {
  visit(unit.source);
  visit(unit.scale);
  for (const runtime::UpdateInstruction& update : unit.updates) {
    visit(update.skip);
    for (const runtime::Operand& operand : update.operands) visit(operand);
  }
}

// What a task of a program reads and writes, but for rows that meet or pass on a mesh and for what
// is exchanged.
template <typename Visit>
void ForEachOperand(const runtime::StepProgram& program, const runtime::Task& task,
                    const Visit& visit) {
  if (task.kind == runtime::Task::Kind::kTile) {
    ForEachOperand(program.units[task.index], visit);
  } else if (task.kind == runtime::Task::Kind::kJoint) {
    ForEachOperand(program.joints[task.index].instructions, visit);
  } else if (task.kind == runtime::Task::Kind::kShard) {
    ForEachOperand(program.parts[task.index], visit);
  } else if (task.kind == runtime::Task::Kind::kMesh) {
    for (const runtime::MeshValue& value : program.meshes[task.index]) {
      if (!value.is_rows) {
        visit(runtime::Operand{runtime::Operand::Space::kShared, value.from});
      }
    }
  }
}

}  // namespace ingot::dist
