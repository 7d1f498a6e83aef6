// What others see of a frame of a StepEngine: the values that go over a wire, and the rows of the
// whole batch, put together from the shards' slots.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ingot/runtime/engine_memory.h"
#include "ingot/runtime/exchange.h"
#include "ingot/tensor/tensor.h"

namespace ingot::runtime {

// What transfers see of a frame.
class FrameValues : public StepValues {
 public:
  FrameValues(const StepProgram& program, Frame& frame, const EngineMemory& memory)
      : program_(program), frame_(frame), memory_(memory) {}

  std::span<std::byte> Rows(const SlotValue& value, int shard) const override {
    const ShardRoutine& routine = program_.routine(value.part, shard);
    const uint64_t row = program_.parts[value.part].slot_row_bytes[value.index];
    return {frame_.SlotOf(program_, value.part, shard) + routine.slot_offsets[value.index],
            row * static_cast<uint64_t>(routine.rows)};
  }
  std::byte* shared() const override { return frame_.shared.data(); }
  std::byte* State(uint32_t index) const override {
    return memory_.State(memory_.StateIndex(frame_.program, index), frame_.next_version);
  }

 private:
  const StepProgram& program_;
  Frame& frame_;
  const EngineMemory& memory_;
};

// The row outputs (predictions) of a batch. Allocates in Prepare alone.
class RowGathering {
 public:
  // Once for each list of programs; later calls do nothing.
  void Prepare(const std::vector<std::shared_ptr<const StepProgram>>& programs);
  // Copies the rows of all shards of a finished step; valid until the next call.
  std::span<const TensorView> Gather(const StepProgram& program, const Frame& frame);

 private:
  std::vector<std::vector<Tensor>> buffers_;  // of each program, one for each row output
  std::vector<TensorView> views_;
};

}  // namespace ingot::runtime
