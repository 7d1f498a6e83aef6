// Puts the rows of a batch together.
#include "ingot/runtime/frame_values.h"

#include <cstring>

namespace ingot::runtime {

void RowGathering::Prepare(const std::vector<std::shared_ptr<const StepProgram>>& programs) {
  if (!buffers_.empty()) return;
  for (const auto& program : programs) {
    std::vector<Tensor> buffers;
    for (const RowOutput& row : program->rows) buffers.emplace_back(row.dtype, row.shape);
    buffers_.push_back(std::move(buffers));
  }
}

std::span<const TensorView> RowGathering::Gather(const StepProgram& program, const Frame& frame) {
  std::vector<Tensor>& buffers = buffers_[static_cast<size_t>(frame.program)];
  views_.clear();
  for (size_t r = 0; r < program.rows.size(); ++r) {
    const SlotValue value = program.rows[r].slot_value;
    const size_t row_bytes = program.parts[value.part].slot_row_bytes[value.index];
    for (int s = 0; s < program.shards(); ++s) {
      const ShardRoutine& routine = program.routine(value.part, s);
      const std::byte* from =
          frame.SlotOf(program, value.part, s) + routine.slot_offsets[value.index];
      const size_t first = static_cast<size_t>(program.shard_begin[static_cast<size_t>(s)]);
      std::memcpy(buffers[r].raw() + first * row_bytes, from,
                  static_cast<size_t>(routine.rows) * row_bytes);
    }
    views_.push_back(buffers[r].view());
  }
  return views_;
}

}  // namespace ingot::runtime
