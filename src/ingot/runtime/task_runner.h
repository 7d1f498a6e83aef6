// TaskRunner: computes one task of a step for one thread. Knows nothing of
// claiming and publishing; StepEngine does that.
#pragma once

#include <cstdint>
#include <functional>

#include "ingot/runtime/engine_memory.h"
#include "ingot/runtime/step_engine.h"
#include "ingot/runtime/step_program.h"

namespace ingot::runtime {

class TaskRunner {
 public:
  // With several threads, what other threads read is written by streaming stores.
  TaskRunner(EngineMemory& memory, int threads) : memory_(memory), shared_(threads > 1) {}

  // Takes shard `shard` through its routine of a part into the slot. `abandoned` is asked between
  // kernels; when it says true the rest is skipped and false is returned. Sets frame.not_finite.
  bool RunShard(const StepProgram& program, Frame& frame, int version, uint32_t part, int shard,
                std::byte* slot, int thread, const BatchSource* source, uint64_t seed,
                const std::function<bool()>& abandoned) const;

  // Reduces a tile, or computes a joint routine, into the thread's own memory.
  void Compute(const StepProgram& program, Frame& frame, int version, const Task& task,
               int thread) const;

  // Publishes what was computed: updates parameters and state, stores sums and shared values.
  void Commit(const StepProgram& program, Frame& frame, int version, const Task& task,
              int thread) const;

  // Works out what update kernels derive from the step's scalars, once a step.
  void Derive(const StepProgram& program, Frame& frame) const;

 private:
  struct Place {
    Frame* frame;
    int version;
    std::byte* slot;  // of the part and shard at hand
    uint32_t part;
    int shard;
    std::byte* arena;
    std::byte* tile;
    const StepProgram* code;
  };
  void* Resolve(const Operand& operand, const Place& place) const;
  void RunInstruction(const Instruction& instruction, const Place& place, int thread) const;
  void ReduceTile(const StepProgram& program, Frame& frame, const Task& task, int thread) const;
  void LoadTile(const StepProgram& program, Frame& frame, const Task& task, int thread) const;
  static size_t Offset(const StepProgram& program, const ReduceUnit& unit, const Operand& operand,
                       int64_t element);
  bool IsSkipped(const UpdateInstruction& update, Frame& frame) const;
  void KeepVersion(const StepProgram& program, Frame& frame, int version,
                   const UpdateInstruction& update, int64_t first, int64_t count) const;
  void CommitTile(const StepProgram& program, Frame& frame, int version, const Task& task,
                  int thread) const;

  EngineMemory& memory_;
  bool shared_;
};

}  // namespace ingot::runtime
