// The first stage of a step: the body of its ShardMap as routines of kernels, one for each number
// of rows that a shard of the batch can have.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/compiler/compile.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/pass.h"
#include "ingot/passes/plan_memory.h"
#include "ingot/runtime/step_program.h"

namespace ingot::compiler {

// A program with what it refers to and what is told about it.
struct CompiledStep : runtime::StepProgram {
  StepPlan plan;
  std::vector<std::unique_ptr<ir::Graph>> graphs;  // reference kernels read their nodes
};

// A value that a shard leaves for the second stage.
struct SlotValue {
  int output = -1;      // of the body; or
  int data_input = -1;  // a data input, kept where Fill wrote it
  bool rows = false;    // rows of the shard, else a partial
};

// The top level of a step graph: its one ShardMap and how values flow out of it.
class ShardStage {
 public:
  // Throws Error(kInvalidInput) where the graph has no ShardMap, or more than one.
  ShardStage(const ir::Graph& step, const ir::OpRegistry& registry, passes::PassRunner& passes);

  const ir::Node& map() const { return *map_; }
  int64_t batch() const { return batch_; }
  int64_t shards() const { return shards_; }

  // The slot value that holds a value of the top level: an output of the ShardMap, or a data input.
  // -1 where it is neither. Values are numbered as they are asked for.
  int SlotValueOf(const ir::Value* value);

  // Fills in everything of the program that belongs to the first stage. After all SlotValueOf
  // calls.
  void Emit(CompiledStep& program);

 private:
  struct Body {
    std::unique_ptr<ir::Graph> graph;  // specialised to `rows`, optimised
    passes::MemoryPlan plan;
    int64_t rows = 0;
  };

  Body MakeBody(int64_t rows, passes::PassRunner& passes) const;
  void LayOutSlots(CompiledStep& program);
  runtime::ShardRoutine MakeRoutine(const Body& body, CompiledStep& program);
  runtime::Operand Locate(const Body& body, const ir::Value* value,
                          const runtime::ShardRoutine& routine, CompiledStep& program);
  void PlaceInputs(const Body& body, CompiledStep& program, runtime::ShardRoutine& routine);
  uint64_t ConstantOffset(const ir::Value* value, CompiledStep& program);

  const ir::Graph& step_;
  const ir::OpRegistry& registry_;
  const ir::Node* map_ = nullptr;
  int64_t batch_ = 0;
  int64_t shards_ = 0;
  size_t sharded_ = 0;
  std::vector<Body> bodies_;
  std::vector<SlotValue> slot_values_;
  std::map<const ir::Value*, runtime::Operand> input_places_;  // of the routine being made
  std::map<const ir::Value*, uint64_t> constants_;
};

// Index of a parameter or state input of the step graph in program.states.
int StateIndex(const runtime::StepProgram& program, const std::string& name);

// Multiply-adds of the matrix products of a graph with static shapes, counted as two each.
double CountFlops(const ir::Graph& graph);

}  // namespace ingot::compiler
