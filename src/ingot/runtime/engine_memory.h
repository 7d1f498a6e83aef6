// The memory of a StepEngine: versions of the parameters, state that is updated in place, the frames
// of steps in flight, and an arena for each thread. All of it is allocated when the engine is made.
//
// A thread that the system has stopped may wake long after others went on: it still reads the
// version and writes the slots of its old step. So versions and frames are reused only when no
// thread pins them (StepEngine keeps the pins), and there is one more of each than threads that
// could be stopped, up to a limit; beyond it the others wait.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "ingot/runtime/step_program.h"
#include "ingot/runtime/task_board.h"

namespace ingot::runtime {

// Zeroed memory aligned to a page, in huge pages where the system gives them.
class Block {
 public:
  Block() = default;
  explicit Block(size_t bytes);  // throws Error(kOutOfMemory)
  Block(Block&& other) noexcept;
  Block& operator=(Block&& other) noexcept;
  ~Block();

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// What the threads share of one step in flight.
struct Frame {
  Frame(size_t shards, size_t tiles, size_t slot_bytes, size_t spare_slots, size_t scalar_bytes,
        size_t derived_count, size_t sum_count);

  // Set by the thread that opens the step, before it is announced.
  int program = 0;
  int64_t step = 0;
  int next_version = 0;

  TaskBoard shard_board;
  TaskBoard tile_board;
  alignas(64) std::atomic<uint32_t> spares_used = 0;
  std::atomic<bool> not_finite = false;
  alignas(64) std::vector<std::byte> scalars;
  std::vector<double> derived;
  std::vector<float> sums;
  size_t slot_bytes = 0;
  size_t spare_slots = 0;
  size_t shard_capacity = 0;
  Block slots;

  // Where shard `shard` left its values: its own slot, or a spare one (slot 1, 2, ...).
  std::byte* Slot(int shard, uint32_t slot) const {
    const size_t index = slot == 0 ? static_cast<size_t>(shard) : shard_capacity + slot - 1;
    return slots.data() + index * slot_bytes;
  }
};

// Buffers of one thread.
struct ThreadMemory {
  Block block;
  std::byte* image = nullptr;  // of a slot: written here first, published whole
  std::byte* arena = nullptr;
  std::byte* scratch = nullptr;
  std::byte* tile = nullptr;
  std::byte* staged = nullptr;  // of a tile's new parameters: likewise
  std::vector<void*> operands;
  std::vector<ShardValue> shard_values;
  std::vector<std::span<const ShardValue>> shard_spans;
};

class EngineMemory {
 public:
  EngineMemory(const std::vector<std::shared_ptr<const StepProgram>>& programs, int threads);

  const std::vector<StateTensor>& states() const { return states_; }
  // The engine's index of state `index` of a program.
  uint32_t StateIndex(int program, uint64_t index) const {
    return state_index_[static_cast<size_t>(program)][index];
  }
  bool IsVersioned(int program, uint64_t index) const {
    return states_[StateIndex(program, index)].versioned;
  }
  std::byte* State(uint32_t index, int version) const {
    const StateTensor& state = states_[index];
    return (state.versioned ? versions_[static_cast<size_t>(version)] : in_place_).data() +
           state.offset;
  }
  int version_count() const { return static_cast<int>(versions_.size()); }
  int frame_count() const { return static_cast<int>(frames_.size()); }
  Frame& frame(int index) { return *frames_[static_cast<size_t>(index)]; }
  ThreadMemory& thread(int index) { return threads_[static_cast<size_t>(index)]; }
  uint64_t bytes() const;

 private:
  void CollectStates(const std::vector<std::shared_ptr<const StepProgram>>& programs);
  void MakeThreads(const std::vector<std::shared_ptr<const StepProgram>>& programs, int threads);

  std::vector<StateTensor> states_;
  std::vector<std::vector<uint32_t>> state_index_;
  std::vector<Block> versions_;
  Block in_place_;
  std::vector<std::unique_ptr<Frame>> frames_;
  std::vector<ThreadMemory> threads_;
};

}  // namespace ingot::runtime
