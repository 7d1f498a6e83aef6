// How an engine's memory is laid out and allocated.
#include "ingot/runtime/engine_memory.h"

#include <algorithm>
#include <map>
#include <utility>

#include <sys/mman.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::runtime {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
// Frames and versions beyond two cost memory; past this much the others wait instead.
constexpr size_t kMostRingBytes = size_t{256} << 20;
// Frames whose slots take more than this share them.
constexpr size_t kMostOwnSlotBytes = size_t{32} << 20;

size_t RoundUp(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}

// One for each other thread, which may be stopped, and the two that every step uses.
int RingLength(int threads, size_t bytes_each) {
  int length = std::min(threads, 6) + 1;
  while (length > 2 && bytes_each * static_cast<size_t>(length) > kMostRingBytes) --length;
  return std::max(length, 2);
}

template <typename F>
size_t Largest(const std::vector<std::shared_ptr<const StepProgram>>& programs, F&& of) {
  size_t largest = 0;
  for (const auto& program : programs) largest = std::max<size_t>(largest, of(*program));
  return largest;
}

}  // namespace

Block::Block(size_t bytes) : bytes_(RoundUp(std::max<size_t>(bytes, 1), 4096)) {
  // Room to start at a huge page, so that rows far apart share few entries of the TLB.
  const bool huge = bytes_ >= kHugePage / 4;
  const size_t reserve = huge ? RoundUp(bytes_, kHugePage) + kHugePage : bytes_;
  void* memory = mmap(nullptr, reserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorCode::kOutOfMemory, "cannot allocate " + HumanBytes(bytes),
                "use a smaller batch or model, or free memory on this machine");
  }
  data_ = static_cast<std::byte*>(memory);
  if (!huge) return;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const size_t lead = RoundUp(address, kHugePage) - address;
  const size_t used = RoundUp(bytes_, kHugePage);
  if (lead > 0) munmap(data_, lead);
  data_ += lead;
  munmap(data_ + used, reserve - lead - used);
  bytes_ = used;
  madvise(data_, bytes_, MADV_HUGEPAGE);
}

Block::Block(Block&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Block& Block::operator=(Block&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Block::~Block() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

size_t FrameExtents::all_slots_bytes() const {
  size_t total = 0;
  for (const size_t slot : slot_bytes) total += slot * (shards + spare_slots);
  return total;
}

SlotMemory::SlotMemory(const FrameExtents& extents) {
  for (const size_t slot : extents.slot_bytes) {
    parts.push_back({slot, extents.shards, Block(slot * (extents.shards + extents.spare_slots))});
  }
}

size_t SlotMemory::bytes() const {
  size_t total = 0;
  for (const PartSlots& part : parts) total += part.block.bytes();
  return total;
}

Frame::Frame(const FrameExtents& extents, const SlotMemory& slots)
    : scalars(std::max<size_t>(extents.scalar_bytes, 8)),
      derived(extents.derived_count),
      sums(extents.sum_count),
      spare_slots(extents.spare_slots),
      parts(slots.parts),
      shared(extents.shared_bytes) {
  for (const size_t tasks : extents.stage_tasks) {
    stages.push_back(std::make_unique<StageBoard>(tasks));
  }
}

namespace {

FrameExtents ExtentsOf(const std::vector<std::shared_ptr<const StepProgram>>& programs,
                       int threads) {
  FrameExtents extents;
  extents.shards = Largest(programs, [](auto& p) { return p.shards(); });
  extents.spare_slots = static_cast<size_t>(std::min(threads - 1, 4));
  extents.shared_bytes = Largest(programs, [](auto& p) { return p.shared_bytes; });
  extents.scalar_bytes = Largest(programs, [](auto& p) { return p.scalar_bytes; });
  extents.derived_count = Largest(programs, [](auto& p) { return p.derived_count; });
  extents.sum_count = Largest(programs, [](auto& p) { return p.sums.size(); });
  extents.stage_tasks.resize(Largest(programs, [](auto& p) { return p.stages.size(); }));
  extents.slot_bytes.resize(Largest(programs, [](auto& p) { return p.parts.size(); }));
  for (const auto& program : programs) {
    for (size_t i = 0; i < program->stages.size(); ++i) {
      extents.stage_tasks[i] = std::max(extents.stage_tasks[i], program->stages[i].tasks.size());
    }
    for (size_t i = 0; i < program->parts.size(); ++i) {
      extents.slot_bytes[i] =
          std::max(extents.slot_bytes[i], RoundUp(program->parts[i].slot_bytes, 64));
    }
  }
  return extents;
}

// Rows on their way to another process may still be read when the next step begins.
bool SendsFromSlots(const std::vector<std::shared_ptr<const StepProgram>>& programs) {
  const auto sends = [](const Task& task) { return task.kind == Task::Kind::kTransfer; };
  return std::any_of(programs.begin(), programs.end(), [&](const auto& program) {
    return std::any_of(program->stages.begin(), program->stages.end(), [&](const Stage& stage) {
      return std::any_of(stage.tasks.begin(), stage.tasks.end(), sends);
    });
  });
}

}  // namespace

EngineMemory::EngineMemory(const std::vector<std::shared_ptr<const StepProgram>>& programs,
                           int threads) {
  CollectStates(programs);
  uint64_t version_bytes = 0;
  uint64_t in_place_bytes = 0;
  for (StateTensor& state : states_) {
    uint64_t& bytes = state.versioned ? version_bytes : in_place_bytes;
    state.offset = bytes;
    bytes += RoundUp(static_cast<size_t>(state.shape.size()) * ItemSize(state.dtype), 64);
  }
  const int versions = RingLength(threads, version_bytes);
  for (int i = 0; i < versions; ++i) versions_.emplace_back(version_bytes);
  in_place_ = Block(in_place_bytes);
  MakeFrames(programs, threads);
  MakeThreads(programs, threads);
}

void EngineMemory::Replace(const std::vector<std::shared_ptr<const StepProgram>>& programs,
                           int threads) {
  const std::vector<StateTensor> known = std::move(states_);
  states_.clear();
  state_index_.clear();
  CollectStates(programs);
  INGOT_ASSERT(states_.size() == known.size(), "the programs have other states");
  for (size_t i = 0; i < known.size(); ++i) {
    INGOT_ASSERT(states_[i].name == known[i].name && states_[i].shape == known[i].shape &&
                     (known[i].versioned || !states_[i].versioned),
                 "the programs have other states");
  }
  states_ = known;
  frames_.clear();
  slots_.clear();
  threads_.clear();
  MakeFrames(programs, threads);
  MakeThreads(programs, threads);
}

void EngineMemory::MakeFrames(const std::vector<std::shared_ptr<const StepProgram>>& programs,
                              int threads) {
  const FrameExtents extents = ExtentsOf(programs, threads);
  const size_t slot_bytes = extents.all_slots_bytes();
  const bool share = slot_bytes > kMostOwnSlotBytes && !SendsFromSlots(programs);
  const int frames = RingLength(threads, extents.shared_bytes + (share ? 0 : slot_bytes));
  for (int i = 0; i < frames; ++i) {
    if (i == 0 || !share) slots_.push_back(std::make_unique<SlotMemory>(extents));
    frames_.push_back(std::make_unique<Frame>(extents, *slots_.back()));
  }
}

void EngineMemory::CollectStates(const std::vector<std::shared_ptr<const StepProgram>>& programs) {
  std::map<std::string, uint32_t> index_of;
  for (const auto& program : programs) {
    std::vector<uint32_t> indices;
    for (const StateTensor& state : program->states) {
      const auto [entry, added] =
          index_of.emplace(state.name, static_cast<uint32_t>(states_.size()));
      if (added) {
        states_.push_back(state);
      } else {
        StateTensor& known = states_[entry->second];
        INGOT_ASSERT(known.shape == state.shape && known.dtype == state.dtype,
                     "programs disagree about " + state.name);
        known.versioned = known.versioned || state.versioned;
      }
      indices.push_back(entry->second);
    }
    state_index_.push_back(std::move(indices));
  }
}

void EngineMemory::MakeThreads(const std::vector<std::shared_ptr<const StepProgram>>& programs,
                               int threads) {
  const size_t arena = RoundUp(Largest(programs, [](auto& p) { return p.arena_bytes; }), 64);
  const size_t scratch = RoundUp(Largest(programs, [](auto& p) { return p.scratch_bytes; }), 64);
  const size_t tile = RoundUp(Largest(programs, [](auto& p) { return p.tile_bytes; }), 64);
  size_t slot = 0;
  size_t operands = 8;
  size_t inputs = 1;
  for (const auto& program : programs) {
    const auto count = [&operands](const std::vector<Instruction>& instructions) {
      for (const Instruction& i : instructions) operands = std::max(operands, i.operands.size());
    };
    for (const ShardPart& part : program->parts) {
      if (part.slot_bytes <= kMostImageBytes) slot = std::max<size_t>(slot, part.slot_bytes);
      for (const ShardRoutine& routine : part.routines) {
        operands = std::max(operands, routine.data_inputs.size());
        count(routine.instructions);
      }
    }
    for (const JointRoutine& joint : program->joints) count(joint.instructions);
    for (const ReduceUnit& unit : program->units) {
      inputs = std::max(inputs, unit.slot_values.size());
      for (const UpdateInstruction& u : unit.updates) {
        operands = std::max(operands, u.operands.size());
      }
    }
  }
  slot = RoundUp(slot, 64);
  const size_t shards = Largest(programs, [](auto& p) { return p.shards(); });
  for (int i = 0; i < threads; ++i) {
    ThreadMemory memory;
    // A gap between neighbours' blocks, so that they share no line.
    memory.block = Block(slot + arena + scratch + 2 * tile + 256);
    memory.image = memory.block.data();
    memory.arena = memory.image + slot;
    memory.scratch = memory.arena + arena;
    memory.tile = memory.scratch + scratch;
    memory.staged = memory.tile + tile;
    memory.operands.resize(operands);
    memory.shard_values.resize(inputs * std::max<size_t>(shards, 1));
    memory.shard_spans.resize(inputs);
    threads_.push_back(std::move(memory));
  }
}

uint64_t EngineMemory::bytes() const {
  uint64_t total = in_place_.bytes();
  for (const Block& block : versions_) total += block.bytes();
  for (const auto& frame : frames_) total += frame->shared.bytes();
  for (const auto& slots : slots_) total += slots->bytes();
  for (const ThreadMemory& memory : threads_) total += memory.block.bytes();
  return total;
}

}  // namespace ingot::runtime
