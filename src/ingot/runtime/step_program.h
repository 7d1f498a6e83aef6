// StepProgram: a compiled step as data. Made by compiler::CompileStep, run by StepEngine.
//
// Two stages. In the first, one task is one shard: the shard's rows of the batch are filled in and
// a list of kernels takes them through the whole network, forward and backward. What the second
// stage needs of a shard lies in the shard's slot. In the second, one task is one tile of rows of
// one parameter (or one sum): the shards' contributions meet in the fixed tree and the update
// follows at once, while the tile is in cache. Immutable; shared by threads and engines.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/runtime/kernel.h"
#include "ingot/tensor/tensor.h"

namespace ingot::runtime {

// Where an operand of a kernel lies.
struct Operand {
  enum class Space : uint8_t {
    kNone,      // absent optional
    kArena,     // offset in the thread's own arena
    kSlot,      // offset in the shard's slot
    kState,     // index of a state tensor (parameter or optimizer state)
    kConstant,  // offset in the program's constants
    kScalar,    // offset in the step's scalars
    kTile,      // the reduced tile at hand (second stage only)
  };
  Space space = Space::kNone;
  uint64_t at = 0;
};

struct Instruction {
  std::shared_ptr<const Kernel> kernel;
  std::vector<Operand> operands;
  std::string layer;
};

// What one shard of a given number of rows goes through.
struct ShardRoutine {
  int64_t rows = 0;
  std::vector<Operand> data_inputs;  // where BatchSource::Fill writes
  Operand random_key;                // i64[3]; kNone where no op is random
  std::vector<Instruction> instructions;
  std::vector<uint64_t> slot_offsets;  // of each slot value
};

// A parameter or a state tensor, in the layout that kernels see.
struct StateTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  bool versioned = false;  // read by shards while the next step's is written: lies in the versions
  uint64_t offset = 0;     // in a version's block, or in the block that is updated in place
};

struct ScalarInput {
  std::string name;
  DType dtype = DType::kF32;
  uint64_t offset = 0;  // in the step's scalars
  int64_t count = 1;
};

struct UpdateInstruction {
  std::shared_ptr<const UpdateKernel> kernel;
  std::vector<Operand> operands;
  std::vector<uint8_t> advances;   // operand moves with the tile (tensors do, scalars do not)
  std::vector<uint8_t> is_output;  // operand is the op's output: written to the next version
  uint32_t derived = 0;            // index in the step's derived numbers
  size_t item_size = 4;
};

// One reduced value: a parameter's gradient with the updates that take it, or a sum for on_sums.
struct ReduceUnit {
  std::shared_ptr<const ReduceKernel> kernel;
  std::vector<uint32_t> slot_values;  // its inputs
  int64_t rows = 1;                   // of the result
  int64_t row_elements = 1;
  size_t item_size = 4;
  std::vector<UpdateInstruction> updates;
  int sum = -1;  // index of the sum it is, or -1
  std::string name;
};

struct TileTask {
  uint32_t unit = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

// A value of the second kind of output: [batch, ...] rows, gathered from the slots.
struct RowOutput {
  std::string name;
  uint32_t slot_value = 0;
  DType dtype = DType::kF32;
  Shape shape;  // of the whole batch
};

// A scalar partial that must be finite for the step to go on.
struct FiniteCheck {
  uint32_t slot_value = 0;
  DType dtype = DType::kF32;
};

class StepProgram {
 public:
  virtual ~StepProgram() = default;

  int64_t batch = 0;
  std::vector<int64_t> shard_begin;      // shards + 1
  std::vector<uint32_t> routine_of_shard;
  std::vector<ShardRoutine> routines;
  std::vector<uint64_t> slot_row_bytes;  // of each slot value; 0: a partial (not rows)
  uint64_t slot_bytes = 0;
  uint64_t arena_bytes = 0;              // for the first stage
  std::vector<std::byte> constants;
  uint64_t scratch_bytes = 0;            // the largest any kernel asks for
  uint64_t tile_bytes = 0;               // the largest tile of the second stage
  std::vector<StateTensor> states;
  std::vector<ScalarInput> scalars;      // those that StepRequest::scalars writes, f32 each
  uint64_t scalar_bytes = 0;
  uint64_t step_offset = 0;              // i64: the step's number, from 1, in the scalars
  bool has_step = false;
  std::vector<ReduceUnit> units;
  std::vector<TileTask> tiles;
  uint32_t derived_count = 0;
  bool updates = false;                  // makes a new version of the parameters
  std::vector<std::string> data_inputs;
  std::vector<std::string> sums;
  std::vector<RowOutput> rows;
  std::vector<FiniteCheck> finite_checks;

  int shards() const { return static_cast<int>(shard_begin.size()) - 1; }
  int64_t shard_rows(int shard) const {
    return shard_begin[static_cast<size_t>(shard) + 1] - shard_begin[static_cast<size_t>(shard)];
  }
};

}  // namespace ingot::runtime
