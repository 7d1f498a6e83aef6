// Runs the kernels of one shard, or the reduction and update of one tile.
#include "ingot/runtime/task_runner.h"

#include <cmath>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/runtime/stream_copy.h"

namespace ingot::runtime {
namespace {

bool IsFiniteScalar(const std::byte* at, DType dtype) {
  if (dtype == DType::kF64) return std::isfinite(*reinterpret_cast<const double*>(at));
  if (dtype == DType::kF32) return std::isfinite(*reinterpret_cast<const float*>(at));
  float value = 0;
  ConvertElements(at, dtype, &value, DType::kF32, 1);
  return std::isfinite(value);
}

}  // namespace

void* TaskRunner::Resolve(const Operand& operand, const Place& place) const {
  switch (operand.space) {
    case Operand::Space::kNone: return nullptr;
    case Operand::Space::kArena: return place.arena + operand.at;
    case Operand::Space::kSlot: return place.slot + operand.at;
    case Operand::Space::kState:
      return memory_.State(memory_.StateIndex(place.program, operand.at), place.version);
    case Operand::Space::kConstant:
      return const_cast<std::byte*>(place.code->constants.data()) + operand.at;
    case Operand::Space::kScalar: return place.frame->scalars.data() + operand.at;
    case Operand::Space::kTile: return place.tile;
  }
  return nullptr;
}

bool TaskRunner::RunShard(const StepProgram& program, Frame& frame, int version, int shard,
                          std::byte* slot, int thread, const BatchSource* source, uint64_t seed,
                          const std::function<bool()>& abandoned) const {
  ThreadMemory& own = memory_.thread(thread);
  const ShardRoutine& routine =
      program.routines[program.routine_of_shard[static_cast<size_t>(shard)]];
  std::byte* image = shared_ ? own.image : slot;
  const Place place{frame.program, &frame, version, image, own.arena, nullptr, &program};
  const int64_t first = program.shard_begin[static_cast<size_t>(shard)];

  std::span<void*> pointers(own.operands.data(), routine.data_inputs.size());
  for (size_t i = 0; i < pointers.size(); ++i) {
    pointers[i] = Resolve(routine.data_inputs[i], place);
  }
  if (source != nullptr) source->Fill(frame.step, first, routine.rows, pointers);
  if (routine.random_key.space != Operand::Space::kNone) {
    const int64_t key[3] = {static_cast<int64_t>(seed), frame.step, first};
    std::memcpy(Resolve(routine.random_key, place), key, sizeof(key));
  }

  for (const Instruction& instruction : routine.instructions) {
    if (abandoned()) return false;
    std::span<void*> operands(own.operands.data(), instruction.operands.size());
    for (size_t i = 0; i < operands.size(); ++i) {
      operands[i] = Resolve(instruction.operands[i], place);
    }
    instruction.kernel->Run(operands, own.scratch);
  }
  for (const FiniteCheck& check : program.finite_checks) {
    if (!IsFiniteScalar(image + routine.slot_offsets[check.slot_value], check.dtype)) {
      frame.not_finite.store(true, std::memory_order_relaxed);
    }
  }
  if (shared_) StreamCopy(slot, image, program.slot_bytes);
  return true;
}

void TaskRunner::ReduceTile(const StepProgram& program, Frame& frame, const TileTask& task,
                            int thread) const {
  ThreadMemory& own = memory_.thread(thread);
  const ReduceUnit& unit = program.units[task.unit];
  const size_t shards = static_cast<size_t>(program.shards());
  for (size_t v = 0; v < unit.slot_values.size(); ++v) {
    std::span<ShardValue> values(own.shard_values.data() + v * shards, shards);
    for (size_t s = 0; s < shards; ++s) {
      const ShardRoutine& routine = program.routines[program.routine_of_shard[s]];
      const int shard = static_cast<int>(s);
      values[s].data = frame.Slot(shard, frame.shard_board.SlotOf(shard)) +
                       routine.slot_offsets[unit.slot_values[v]];
      values[s].rows = routine.rows;
    }
    own.shard_spans[v] = values;
  }
  unit.kernel->Run({own.shard_spans.data(), unit.slot_values.size()}, task.begin, task.end,
                   own.tile, own.scratch);
}

void TaskRunner::CommitTile(const StepProgram& program, Frame& frame, int version,
                            const TileTask& task, int thread) const {
  ThreadMemory& own = memory_.thread(thread);
  const ReduceUnit& unit = program.units[task.unit];
  if (unit.sum >= 0) {
    const DType dtype = unit.item_size == 8 ? DType::kF64 : DType::kF32;
    ConvertElements(own.tile, dtype, &frame.sums[static_cast<size_t>(unit.sum)], DType::kF32, 1);
  }
  const int64_t first = task.begin * unit.row_elements;
  const int64_t count = (task.end - task.begin) * unit.row_elements;
  for (const UpdateInstruction& update : unit.updates) {
    std::span<void*> operands(own.operands.data(), update.operands.size());
    std::byte* publish = nullptr;  // where the staged parameters go
    for (size_t i = 0; i < operands.size(); ++i) {
      const Operand& operand = update.operands[i];
      const int at = update.is_output[i] != 0 ? frame.next_version : version;
      const Place place{frame.program, &frame, at, nullptr, own.arena, own.tile, &program};
      auto* base = static_cast<std::byte*>(Resolve(operand, place));
      if (update.advances[i] != 0) base += static_cast<size_t>(first) * update.item_size;
      if (shared_ && update.is_output[i] != 0 && publish == nullptr &&
          memory_.IsVersioned(frame.program, operand.at)) {
        publish = base;
        base = own.staged;
      }
      operands[i] = base;
    }
    const double* derived = frame.derived.data() + update.derived;
    if (!update.kernel->Run(operands, derived, count)) {
      frame.not_finite.store(true, std::memory_order_relaxed);
    }
    if (publish != nullptr) {
      StreamCopy(publish, own.staged, static_cast<size_t>(count) * update.item_size);
    }
  }
}

void TaskRunner::Derive(const StepProgram& program, Frame& frame) const {
  uint32_t done = 0;  // instructions that share derived numbers come with equal indices
  for (const ReduceUnit& unit : program.units) {
    for (const UpdateInstruction& update : unit.updates) {
      if (update.kernel->derived_count() == 0 || update.derived < done) continue;
      constexpr size_t kMostOperands = 32;
      void* operands[kMostOperands] = {};
      INGOT_ASSERT(update.operands.size() <= kMostOperands, "too many operands of an update");
      const Place place{frame.program, &frame, 0, nullptr, nullptr, nullptr, &program};
      for (size_t i = 0; i < update.operands.size(); ++i) {
        if (update.operands[i].space == Operand::Space::kScalar) {
          operands[i] = Resolve(update.operands[i], place);
        }
      }
      update.kernel->Derive({operands, update.operands.size()},
                            frame.derived.data() + update.derived);
      done = update.derived + static_cast<uint32_t>(update.kernel->derived_count());
    }
  }
}

}  // namespace ingot::runtime
