// What the tasks and stages of a program do, as far as it matters to several workers.
#pragma once

#include <vector>

#include "ingot/runtime/step_program.h"

namespace ingot::dist {

// Whether a task sums what the shards of the whole batch leave.
bool IsReduction(const runtime::StepProgram& program, const runtime::Task& task);
bool HasReduction(const runtime::StepProgram& program, const runtime::Stage& stage);

// Whether a task changes parameters or state.
bool Updates(const runtime::StepProgram& program, const runtime::Task& task);

// The first task of kind mesh; null where there is none.
const runtime::Task* MeshTaskOf(const runtime::Stage& stage);

// Those of the values that are (or are not) rows of the batch.
std::vector<runtime::MeshValue> RowsOf(const std::vector<runtime::MeshValue>& values, bool rows);

// Whether a stage has shards, or rows that meet or pass.
bool HasRows(const runtime::StepProgram& program, const runtime::Stage& stage);

// Throws Error(kUnsupported) where shards read sums over the whole batch, for which all
// micro-batches of a pipeline would wait.
void CheckNoSumsInTheMiddle(const runtime::StepProgram& program);

}  // namespace ingot::dist
