// TaskRunner: computes one task of a step, a shard or a tile, for one thread. Knows nothing of
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

  // Takes shard `shard` through its routine into the slot. `abandoned` is asked between kernels;
  // when it says true the rest is skipped and false is returned. Sets frame.not_finite.
  bool RunShard(const StepProgram& program, Frame& frame, int version, int shard, std::byte* slot,
                int thread, const BatchSource* source, uint64_t seed,
                const std::function<bool()>& abandoned) const;

  // Reduces a tile into the thread's own memory.
  void ReduceTile(const StepProgram& program, Frame& frame, const TileTask& task,
                  int thread) const;

  // Updates parameters and state (or stores the sum) from the reduced tile: the commit.
  void CommitTile(const StepProgram& program, Frame& frame, int version, const TileTask& task,
                  int thread) const;

  // Works out what update kernels derive from the step's scalars, once a step.
  void Derive(const StepProgram& program, Frame& frame) const;

 private:
  struct Place {
    int program;
    Frame* frame;
    int version;
    std::byte* slot;
    std::byte* arena;
    std::byte* tile;
    const StepProgram* code;
  };
  void* Resolve(const Operand& operand, const Place& place) const;

  EngineMemory& memory_;
  bool shared_;
};

}  // namespace ingot::runtime
