// The steps of a job compiled such that they fit into its `memory_limit`: with all activations kept
// where that fits, else with ever more of them computed again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingot/compiler/compile.h"
#include "ingot/runtime/step_program.h"

namespace ingot::train {

struct MemoryPlanChoice {
  std::vector<std::shared_ptr<const runtime::StepProgram>> programs;
  int recompute_segments = 0;  // 0: nothing is computed again
  uint64_t bytes = 0;          // of parameters, optimizer state and activations
};

// Compiles all steps of a job with the options given.
using CompilePrograms = std::function<std::vector<std::shared_ptr<const runtime::StepProgram>>(
    const compiler::CompileOptions& options)>;

// What a process holds that runs the programs.
using CountBytes = std::function<uint64_t(
    const std::vector<std::shared_ptr<const runtime::StepProgram>>& programs)>;

// Of a process alone: for so many threads as there are shards, up to 8. More than do work at the
// same time would not need it, and the choice is a function of the job alone.
CountBytes BytesOfProcess(int64_t shards);
// The most that one of several workers holds that exchange gradients in every step, for as many
// threads as it has shards, up to 8; `shards_optimizer`: each has its part of what updates alone
// read.
CountBytes BytesOfWorker(int workers, bool shards_optimizer);

// The first way that fits. Limit 0: none. Throws Error(kOutOfMemory) saying how much is needed;
// `smaller` gives the bytes for a smaller batch of the job (0: unknown), for the advice what would
// fit.
MemoryPlanChoice PlanWithin(uint64_t limit, compiler::CompileOptions options,
                            const CountBytes& count, const CompilePrograms& compile, int64_t batch,
                            const std::function<uint64_t(int64_t batch)>& smaller);

}  // namespace ingot::train
