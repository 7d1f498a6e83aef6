// The memory of a StepEngine: versions of the parameters, state that is updated in place, the
// frames of steps in flight, and an arena for each thread. All of it is allocated when the engine
// is made.
//
// A thread that the system has stopped may wake long after others went on: it still reads the
// version and writes the slots of its old step. So versions and frames are reused only when no
// thread pins them (StepEngine keeps the pins), and there is one more of each than threads that
// could be stopped, up to a limit; beyond it the others wait. Where slots are large, as with batch
// norm, all frames have the same ones, and a step waits until nobody is busy with an earlier one.
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

// The slots of one part: one for each shard, and spare ones for shards that are computed again.
struct PartSlots {
  size_t slot_bytes = 0;
  size_t shards = 0;
  Block block;

  // Where shard `shard` left its values: its own slot, or a spare one (slot 1, 2, ...).
  std::byte* Slot(int shard, uint32_t slot) const {
    const size_t index = slot == 0 ? static_cast<size_t>(shard) : shards + slot - 1;
    return block.data() + index * slot_bytes;
  }
};

// The extents of a frame that serves several programs.
struct FrameExtents {
  size_t shards = 0;
  std::vector<size_t> stage_tasks;  // the most tasks of each stage
  std::vector<size_t> slot_bytes;   // of each part
  size_t spare_slots = 0;
  size_t shared_bytes = 0, scalar_bytes = 0, derived_count = 0, sum_count = 0;

  size_t all_slots_bytes() const;
};

// The slots of every part, for one frame or for all of them.
struct SlotMemory {
  explicit SlotMemory(const FrameExtents& extents);

  std::vector<PartSlots> parts;
  size_t bytes() const;
};

// What the threads share of one step in flight.
struct Frame {
  Frame(const FrameExtents& extents, const SlotMemory& slots);

  // Set by the thread that opens the step, before it is announced.
  int program = 0;
  int64_t step = 0;
  int next_version = 0;

  // The tasks of one stage, with the spare slots that were given away in it.
  struct alignas(64) StageBoard {
    explicit StageBoard(size_t tasks) : board(tasks) {}
    TaskBoard board;
    std::atomic<uint32_t> spares_used = 0;
  };
  std::vector<std::unique_ptr<StageBoard>> stages;
  alignas(64) std::atomic<bool> not_finite = false;
  alignas(64) std::vector<std::byte> scalars;
  std::vector<double> derived;
  std::vector<float> sums;
  size_t spare_slots = 0;
  const std::vector<PartSlots>& parts;
  Block shared;

  // What shard `shard` left behind in a part that is done.
  std::byte* SlotOf(const StepProgram& code, uint32_t part, int shard) const {
    const ShardPart& cut = code.parts[part];
    ShardPart::Place place{cut.stage, shard - code.first_shard};
    if (!cut.places.empty()) place = cut.places[static_cast<size_t>(shard)];
    return parts[part].Slot(shard, stages[place.stage]->board.SlotOf(place.task));
  }
};

// A slot of up to so many bytes is computed in the thread's own memory and published whole; a
// larger one does not stay in cache anyway.
inline constexpr size_t kMostImageBytes = size_t{256} << 10;

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
  // For other programs over the same states, which keep their values; not during a step.
  void Replace(const std::vector<std::shared_ptr<const StepProgram>>& programs, int threads);

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
  // Whether the slots of one frame are those of all others.
  bool frames_share_slots() const { return slots_.size() < frames_.size(); }
  ThreadMemory& thread(int index) { return threads_[static_cast<size_t>(index)]; }
  uint64_t bytes() const;

 private:
  void CollectStates(const std::vector<std::shared_ptr<const StepProgram>>& programs);
  void MakeFrames(const std::vector<std::shared_ptr<const StepProgram>>& programs, int threads);
  void MakeThreads(const std::vector<std::shared_ptr<const StepProgram>>& programs, int threads);

  std::vector<StateTensor> states_;
  std::vector<std::vector<uint32_t>> state_index_;
  std::vector<Block> versions_;
  Block in_place_;
  std::vector<std::unique_ptr<SlotMemory>> slots_;
  std::vector<std::unique_ptr<Frame>> frames_;
  std::vector<ThreadMemory> threads_;
};

}  // namespace ingot::runtime
