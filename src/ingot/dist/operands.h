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

// What the shards' parts read and write.
template <typename Visit>
void ForEachShardOperand(const runtime::StepProgram& program, const Visit& visit) {
  for (const runtime::ShardPart& part : program.parts) {
    for (const runtime::ShardRoutine& routine : part.routines) {
      ForEachOperand(routine.instructions, visit);
    }
  }
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

}  // namespace ingot::dist
