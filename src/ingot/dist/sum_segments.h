// What the exchanges of a step say of the sums of a program, and where they lie in a plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/dist/exchange_plan.h"
#include "ingot/dist/ownership.h"
#include "ingot/runtime/step_program.h"

namespace ingot::dist {

inline uint64_t BytesOfSum(const runtime::ReduceUnit& unit) {
  return static_cast<uint64_t>(unit.rows * unit.row_elements) * unit.item_size;
}

// For messages, and the same in the program of a short batch: of a gradient, its parameter's.
std::string NameOfSum(const runtime::StepProgram& program, size_t unit);

// The state tensor that is updated with a sum (a parameter), or -1.
int StateOfSum(const runtime::StepProgram& program, size_t unit);

// Adds those of the reductions that one group alone needs, behind all others and in the order of
// their groups, so that what a worker owns stands together. `segment_of`: by unit.
void AddOwnedSegments(const runtime::StepProgram& program, const Ownership& ownership,
                      const std::vector<runtime::Task>& reductions, int workers, ExchangePlan& plan,
                      std::vector<int64_t>& segment_of);

// Of what the workers have updated and all hold.
GatherPlan MakeGatherPlan(const runtime::StepProgram& program, const Ownership& ownership,
                          int workers);

}  // namespace ingot::dist
