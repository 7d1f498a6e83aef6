// Runs the kernels of one shard, the reduction and update of one tile, or a joint routine.
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
    case Operand::Space::kNone:
      return nullptr;
    case Operand::Space::kArena:
      return place.arena + operand.at;
    case Operand::Space::kSlot:
      return (operand.part == place.part
                  ? place.slot
                  : place.frame->SlotOf(*place.code, operand.part, place.shard)) +
             operand.at;
    case Operand::Space::kState:
      return memory_.State(memory_.StateIndex(place.frame->program, operand.at), place.version);
    case Operand::Space::kConstant:
      return const_cast<std::byte*>(place.code->constants.data()) + operand.at;
    case Operand::Space::kScalar:
      return place.frame->scalars.data() + operand.at;
    case Operand::Space::kTile:
      return place.tile;
    case Operand::Space::kShared:
      return place.frame->shared.data() + operand.at;
  }
  return nullptr;
}

void TaskRunner::RunInstruction(const Instruction& instruction, const Place& place,
                                int thread) const {
  ThreadMemory& own = memory_.thread(thread);
  std::span<void*> operands(own.operands.data(), instruction.operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    operands[i] = Resolve(instruction.operands[i], place);
  }
  instruction.kernel->Run(operands, own.scratch);
}

bool TaskRunner::RunShard(const StepProgram& program, Frame& frame, int version, uint32_t part,
                          int shard, std::byte* slot, int thread, const BatchSource* source,
                          uint64_t seed, const std::function<bool()>& abandoned) const {
  ThreadMemory& own = memory_.thread(thread);
  const ShardPart& code = program.parts[part];
  const ShardRoutine& routine = program.routine(part, shard);
  const bool has_image = shared_ && code.slot_bytes <= kMostImageBytes;
  std::byte* image = has_image ? own.image : slot;
  const Place place{&frame, version, image, part, shard, own.arena, nullptr, &program};
  const int64_t first = program.shard_begin[static_cast<size_t>(shard)];

  if (!routine.data_inputs.empty()) {
    std::span<void*> pointers(own.operands.data(), routine.data_inputs.size());
    for (size_t i = 0; i < pointers.size(); ++i) {
      pointers[i] = Resolve(routine.data_inputs[i], place);
    }
    if (source != nullptr) source->Fill(frame.step, first, routine.rows, pointers);
  }
  if (routine.random_key.space != Operand::Space::kNone) {
    const int64_t key[3] = {static_cast<int64_t>(seed), frame.step, first};
    std::memcpy(Resolve(routine.random_key, place), key, sizeof(key));
  }
  for (const Instruction& instruction : routine.instructions) {
    if (abandoned()) return false;
    RunInstruction(instruction, place, thread);
  }
  for (const FiniteCheck& check : code.finite_checks) {
    if (!IsFiniteScalar(image + routine.slot_offsets[check.slot_value], check.dtype)) {
      frame.not_finite.store(true, std::memory_order_relaxed);
    }
  }
  if (has_image) StreamCopy(slot, image, code.slot_bytes);
  return true;
}

void TaskRunner::Compute(const StepProgram& program, Frame& frame, int version, const Task& task,
                         int thread) const {
  if (task.kind == Task::Kind::kJoint) {
    std::byte* arena = memory_.thread(thread).arena;
    const Place place{&frame, version, nullptr, 0, -1, arena, nullptr, &program};
    for (const Instruction& instruction : program.joints[task.index].instructions) {
      RunInstruction(instruction, place, thread);
    }
  } else if (program.units[task.index].kernel != nullptr) {
    ReduceTile(program, frame, task, thread);
  } else {
    LoadTile(program, frame, task, thread);
  }
}

void TaskRunner::Commit(const StepProgram& program, Frame& frame, int version, const Task& task,
                        int thread) const {
  if (task.kind == Task::Kind::kTile) return CommitTile(program, frame, version, task, thread);
  std::byte* arena = memory_.thread(thread).arena;
  const Place place{&frame, frame.next_version, nullptr, 0, -1, arena, nullptr, &program};
  for (const JointRoutine::Publication& p : program.joints[task.index].publications) {
    std::memcpy(Resolve(p.to, place), arena + p.arena, p.bytes);
  }
}

void TaskRunner::ReduceTile(const StepProgram& program, Frame& frame, const Task& task,
                            int thread) const {
  ThreadMemory& own = memory_.thread(thread);
  const ReduceUnit& unit = program.units[task.index];
  const auto shards =
      static_cast<size_t>(unit.shard_count < 0 ? program.shards() : unit.shard_count);
  for (size_t v = 0; v < unit.slot_values.size(); ++v) {
    std::span<ShardValue> values(own.shard_values.data() + v * shards, shards);
    const SlotValue value = unit.slot_values[v];
    for (size_t s = 0; s < shards; ++s) {
      const int shard = unit.first_shard + static_cast<int>(s);
      const ShardRoutine& routine = program.routine(value.part, shard);
      values[s].data = frame.SlotOf(program, value.part, shard) + routine.slot_offsets[value.index];
      values[s].rows = routine.rows;
    }
    own.shard_spans[v] = values;
  }
  unit.kernel->Run({own.shard_spans.data(), unit.slot_values.size()}, task.begin, task.end,
                   own.tile, own.scratch);
}

// A tile of what all shards share already, scaled on the way.
void TaskRunner::LoadTile(const StepProgram& program, Frame& frame, const Task& task,
                          int thread) const {
  ThreadMemory& own = memory_.thread(thread);
  const ReduceUnit& unit = program.units[task.index];
  const auto count = static_cast<size_t>((task.end - task.begin) * unit.row_elements);
  const std::byte* from = frame.shared.data() + unit.source.at +
                          static_cast<size_t>(task.begin * unit.row_elements) * unit.item_size;
  if (unit.scale.space == Operand::Space::kNone) {
    std::memcpy(own.tile, from, count * unit.item_size);
    return;
  }
  const std::byte* scale = frame.shared.data() + unit.scale.at;
  const auto multiply = [&]<typename T>(T factor) {
    for (size_t i = 0; i < count; ++i) {
      reinterpret_cast<T*>(own.tile)[i] = reinterpret_cast<const T*>(from)[i] * factor;
    }
  };
  if (unit.dtype == DType::kF64) {
    multiply(*reinterpret_cast<const double*>(scale));
  } else {
    multiply(*reinterpret_cast<const float*>(scale));
  }
}

void TaskRunner::CommitTile(const StepProgram& program, Frame& frame, int version, const Task& task,
                            int thread) const {
  ThreadMemory& own = memory_.thread(thread);
  const ReduceUnit& unit = program.units[task.index];
  if (unit.sum >= 0) {
    ConvertElements(own.tile, unit.dtype, &frame.sums[static_cast<size_t>(unit.sum)], DType::kF32,
                    1);
  }
  const int64_t first = task.begin * unit.row_elements;
  const int64_t count = (task.end - task.begin) * unit.row_elements;
  const size_t offset = static_cast<size_t>(first) * unit.item_size;
  if (unit.shared >= 0) {
    std::memcpy(frame.shared.data() + unit.shared + offset, own.tile,
                static_cast<size_t>(count) * unit.item_size);
  }
  for (const UpdateInstruction& update : unit.updates) {
    if (IsSkipped(update, frame)) {
      KeepVersion(program, frame, version, update, unit.first + first, count);
      continue;
    }
    std::span<void*> operands(own.operands.data(), update.operands.size());
    std::byte* publish = nullptr;  // where the staged parameters go
    for (size_t i = 0; i < operands.size(); ++i) {
      const Operand& operand = update.operands[i];
      const int at = update.is_output[i] != 0 ? frame.next_version : version;
      const Place place{&frame, at, nullptr, 0, -1, own.arena, own.tile, &program};
      auto* base = static_cast<std::byte*>(Resolve(operand, place));
      if (update.advances[i] != 0) base += Offset(program, unit, operand, first) * update.item_size;
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

// The place of a unit's element in an operand, either of which may begin within the parameter.
size_t TaskRunner::Offset(const StepProgram& program, const ReduceUnit& unit,
                          const Operand& operand, int64_t element) {
  if (operand.space == Operand::Space::kState) {
    return static_cast<size_t>(unit.first + element - program.states[operand.at].first);
  }
  if (operand.space == Operand::Space::kShared) return static_cast<size_t>(unit.first + element);
  return static_cast<size_t>(element);
}

bool TaskRunner::IsSkipped(const UpdateInstruction& update, Frame& frame) const {
  if (update.skip.space == Operand::Space::kNone) return false;
  const Place place{&frame, 0, nullptr, 0, -1, nullptr, nullptr, nullptr};
  return *static_cast<const float*>(Resolve(update.skip, place)) != 0;
}

// What is changed in place stays as it is.
void TaskRunner::KeepVersion(const StepProgram& program, Frame& frame, int version,
                             const UpdateInstruction& update, int64_t first, int64_t count) const {
  const size_t offset = static_cast<size_t>(first) * update.item_size;
  for (size_t i = 0; i < update.operands.size(); ++i) {
    const Operand& operand = update.operands[i];
    if (update.is_output[i] == 0 || !memory_.IsVersioned(frame.program, operand.at)) continue;
    const Place before{&frame, version, nullptr, 0, -1, nullptr, nullptr, &program};
    const Place after{&frame, frame.next_version, nullptr, 0, -1, nullptr, nullptr, &program};
    StreamCopy(static_cast<std::byte*>(Resolve(operand, after)) + offset,
               static_cast<const std::byte*>(Resolve(operand, before)) + offset,
               static_cast<size_t>(count) * update.item_size);
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
      const Place place{&frame, 0, nullptr, 0, -1, nullptr, nullptr, &program};
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
