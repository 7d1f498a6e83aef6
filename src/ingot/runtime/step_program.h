// StepProgram: a compiled step as data. Made by compiler::CompileStep, run by StepEngine.
//
// A step is a list of stages of independent tasks; a stage begins when the one before it is done.
//   shard  the shard's rows go through a list of kernels on one thread. What later stages need of
//          it lies in the shard's slot. A network without sums over the batch in its middle has one
//          such stage; each of those sums cuts it into one more part.
//   tile   a range of rows of one parameter (or a sum): the shards' contributions meet in the fixed
//          tree, and the update follows at once where nothing else is to be waited for.
//   joint  kernels on values that all shards share, such as the norm of a whole gradient.
// A program that several processes share has one more kind, exchange, and shards of this process
// alone. Where they hold different parts of the model, values that meet or pass between them are
// tasks of kind mesh, which room dist makes transfers; where they update different parts of the
// parameters, a task of kind gather brings them together. Immutable; shared by threads and engines.
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
    kSlot,      // offset in the shard's slot of part `part`
    kState,     // index of a state tensor (parameter or optimizer state)
    kConstant,  // offset in the program's constants
    kScalar,    // offset in the step's scalars
    kTile,      // the reduced tile at hand
    kShared,    // offset in what all shards share of this step
  };
  Space space = Space::kNone;
  uint64_t at = 0;
  uint32_t part = 0;
};

// A value in the slots of the shards.
struct SlotValue {
  uint32_t part = 0;
  uint32_t index = 0;  // among the values of the part
};

struct Instruction {
  std::shared_ptr<const Kernel> kernel;
  std::vector<Operand> operands;
  std::string layer;
};

// What one shard of a given number of rows goes through.
struct ShardRoutine {
  int64_t rows = 0;
  std::vector<Operand> data_inputs;  // where BatchSource::Fill writes; of the first part alone
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
  int64_t first = 0;       // of a tensor of which this process holds a part: its first element
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
  Operand skip;                    // kShared or kScalar, f32: where it is not 0 nothing is changed
  uint32_t derived = 0;            // index in the step's derived numbers
  size_t item_size = 4;
};

// One reduced value: a parameter's gradient with the updates that take it, a sum for on_sums, or a
// value that all shards share from then on.
struct ReduceUnit {
  std::shared_ptr<const ReduceKernel> kernel;  // null: the value is `source` already
  std::vector<SlotValue> slot_values;          // the kernel's inputs
  Operand source;                              // kShared
  Operand scale;                               // kShared, one number that `source` is multiplied by
  DType dtype = DType::kF32;
  int64_t first = 0;  // of a part of a parameter: its first element
  int64_t rows = 1;   // of the result
  int64_t row_elements = 1;
  size_t item_size = 4;
  int first_shard = 0;   // what the kernel reduces: a subtree of the shards, or all of them
  int shard_count = -1;  // -1: all
  std::vector<UpdateInstruction> updates;
  int sum = -1;         // index of the sum it is, or -1
  int64_t shared = -1;  // offset in what the shards share, where it is written to; or -1
  std::string name;
};

// What a FiniteCheck looks at must be finite for the step to go on: a scalar partial.
struct FiniteCheck {
  uint32_t slot_value = 0;
  DType dtype = DType::kF32;
};

// What a shard goes through between two sums over the batch.
struct ShardPart {
  std::vector<ShardRoutine> routines;    // by StepProgram::routine_of_shard
  std::vector<uint64_t> slot_row_bytes;  // of each slot value; 0: a partial (not rows)
  uint64_t slot_bytes = 0;
  std::vector<FiniteCheck> finite_checks;
  uint32_t stage = 0;
  // Where a part is cut into several stages, the task of each shard of the batch.
  struct Place {
    uint32_t stage = 0;
    int task = 0;
  };
  std::vector<Place> places;
};

// A value that meets, or passes, between processes that hold different parts of the model.
struct MeshValue {
  enum class What : uint8_t {
    kSum,    // over the places along an axis
    kComes,  // from the stage of the pipeline before this one
    kTurns,  // to the stage behind, and then its gradient comes from there
    kGoes,   // to the stage before
  };
  What what = What::kSum;
  bool along_pipeline = false;  // of kSum; else along the axis `tensor`
  bool is_rows = true;
  SlotValue slot_value;  // of rows, where they are changed
  uint64_t from = 0;     // of a shared value, offsets in what is shared
  uint64_t to = 0;
  uint64_t bytes = 0;
  DType dtype = DType::kF32;
  std::string name;
};

// Kernels on values that all shards share. Their outputs are computed in the arena and published.
struct JointRoutine {
  struct Publication {
    uint64_t arena = 0;  // from here
    Operand to;          // kShared, or kState: its next value
    uint64_t bytes = 0;
  };
  std::vector<Instruction> instructions;
  std::vector<Publication> publications;
  // Whether it reads a state tensor that the step changes in place. Only one thread may then
  // compute it: what another would read, its owner writes meanwhile.
  bool reads_what_changes = false;
};

struct Task {
  enum class Kind : uint8_t { kShard, kTile, kJoint, kExchange, kMesh, kTransfer, kGather };
  Kind kind = Kind::kShard;
  uint32_t index = 0;  // of the part, the unit, the joint routine, the exchange, ...
  int64_t begin = 0;   // the shard; the first row of the tile
  int64_t end = 0;     // the row behind the tile
};

struct Stage {
  std::vector<Task> tasks;  // shards first, in their order
  bool updates = false;     // some of them change parameters or state
  // An exchange follows: whether everything is finite is decided there, for all processes alike.
  bool judged_later = false;
  // Other stages use the same slots for other shards: there are no spare ones.
  bool shares_slots = false;
};

// A value of the second kind of output: [batch, ...] rows, gathered from the slots.
struct RowOutput {
  std::string name;
  SlotValue slot_value;
  DType dtype = DType::kF32;
  Shape shape;  // of the whole batch
};

class StepProgram {
 public:
  virtual ~StepProgram() = default;

  int64_t batch = 0;
  std::vector<int64_t> shard_begin;  // shards + 1
  std::vector<uint32_t> routine_of_shard;
  int first_shard = 0;  // of those that the stages compute: task i of a stage is shard first + i
  std::vector<ShardPart> parts;
  std::vector<ReduceUnit> units;
  std::vector<JointRoutine> joints;
  std::vector<std::vector<MeshValue>> meshes;  // of each task of kind mesh
  std::vector<Stage> stages;
  std::vector<uint32_t> exchanges;  // the indices of the tasks of kind kExchange, in their order
  uint64_t shared_bytes = 0;
  uint64_t arena_bytes = 0;
  std::vector<std::byte> constants;
  uint64_t scratch_bytes = 0;  // the largest any kernel asks for
  uint64_t tile_bytes = 0;     // the largest tile
  std::vector<StateTensor> states;
  std::vector<ScalarInput> scalars;  // those that StepRequest::scalars writes, f32 each
  uint64_t scalar_bytes = 0;
  uint64_t step_offset = 0;  // i64: the step's number, from 1, in the scalars
  bool has_step = false;
  uint32_t derived_count = 0;
  bool updates = false;  // makes a new version of the parameters
  std::vector<std::string> data_inputs;
  std::vector<std::string> sums;
  std::vector<RowOutput> rows;

  int shards() const { return static_cast<int>(shard_begin.size()) - 1; }
  int64_t shard_rows(int shard) const {
    return shard_begin[static_cast<size_t>(shard) + 1] - shard_begin[static_cast<size_t>(shard)];
  }
  const ShardRoutine& routine(uint32_t part, int shard) const {
    return parts[part].routines[routine_of_shard[static_cast<size_t>(shard)]];
  }
};

}  // namespace ingot::runtime
