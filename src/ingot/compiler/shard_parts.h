// What is computed for each shard: the ShardMaps of a step graph as parts of the program, each with
// a routine of kernels for every number of rows that a shard of the batch can have.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/compiler/compile.h"
#include "ingot/compiler/shard_body.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/pass.h"
#include "ingot/runtime/step_program.h"

namespace ingot::compiler {

// A program with what it refers to and what is told about it.
struct CompiledStep : runtime::StepProgram {
  StepPlan plan;
  std::vector<std::unique_ptr<ir::Graph>> graphs;  // reference kernels read their nodes
  // Where values of the top level lie that all shards share.
  std::map<const ir::Value*, uint64_t> shared;

  // The offset of a value among them, which it is given at the first call.
  uint64_t SharedOffset(const ir::Value* value);
  // The offset of a tensor in the constants.
  uint64_t ConstantOffset(const Tensor& tensor);
};

class ShardParts {
 public:
  // Throws Error(kInvalidInput) where the graph has no ShardMap, or they disagree about the shards.
  ShardParts(const ir::Graph& step, const ir::OpRegistry& registry, passes::PassRunner& passes,
             int recompute_segments = 0);

  int64_t batch() const { return batch_; }
  int64_t shards() const { return shards_; }
  // Index of the part that a ShardMap becomes; -1 for another node.
  int PartOf(const ir::Node* map) const;

  // The slot value that holds a value of the top level: an output of a ShardMap, or a data input.
  // None where it is neither. Values are numbered as they are asked for.
  std::optional<runtime::SlotValue> SlotValueOf(const ir::Value* value);

  // Fills in everything of the program that belongs to shards. After all SlotValueOf calls.
  void Emit(CompiledStep& program);

 private:
  // A value that a shard leaves in its slot.
  struct Wanted {
    int output = -1;                  // of the body; or
    const ir::Value* data = nullptr;  // a data input of the step, kept where Fill wrote it
    bool rows = false;                // rows of the shard, else a partial
  };
  struct Part {
    const ir::Node* map = nullptr;
    size_t sharded = 0, sliced = 0;
    std::vector<ShardBody> bodies;
    std::vector<Wanted> wanted;
    std::map<const ir::Value*, runtime::Operand> places;  // of the inputs of the body at hand
  };

  const ir::Value* ViewedInput(const Part& part, size_t output) const;
  const ir::Type& TypeOf(const Part& part, const Wanted& wanted, size_t body) const;
  uint64_t BytesOfWanted(const Part& part, const Wanted& wanted, size_t body) const;
  void LayOut(size_t index, CompiledStep& program);
  void EmitRoutine(size_t index, size_t body, CompiledStep& program);
  void PlaceInputs(size_t index, size_t body, CompiledStep& program);
  runtime::Operand PlaceOf(size_t index, size_t input, size_t body, CompiledStep& program) const;
  void PlaceData(size_t body, CompiledStep& program, uint64_t& arena);
  runtime::Operand Locate(size_t index, size_t body, const ir::Value* value, CompiledStep& program);
  // Slot values that stand already.
  std::optional<runtime::SlotValue> Find(const ir::Value* value) const;

  const ir::Graph& step_;
  int64_t batch_ = 0;
  int64_t shards_ = 0;
  std::vector<Part> parts_;
};

// Index of a parameter or state input of the step graph in program.states.
int StateIndex(const runtime::StepProgram& program, const std::string& name);

// Whether an update or a joint routine, which stands already, writes a state.
bool IsUpdated(const runtime::StepProgram& program, int state);

}  // namespace ingot::compiler
