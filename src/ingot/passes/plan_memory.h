// The memory planner: where each value of a graph lies in one arena.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"

namespace ingot::passes {

struct MemoryPlanOptions {
  // Values that the caller places itself (graph outputs written to their final place). They may be
  // produced in place only by the caller's own arrangement: the plan gives them no offset.
  std::set<const ir::Value*> placed_outside = {};
  // Outputs over inputs that die, for ops that allow it.
  bool in_place = true;
  // Reshape, Flatten, Squeeze, Unsqueeze and Identity share their input's bytes.
  bool views = true;
  // Left free behind each value, for canaries.
  size_t guard_bytes = 0;
  // Scratch memory that a node's kernel needs while it runs; null: none.
  std::function<size_t(const ir::Node&)> scratch_bytes = {};
};

// Where a value lies. Values with one `storage` share their bytes.
struct Placement {
  // The value that owns the bytes: the value itself, or the one it is a view of or written over.
  const ir::Value* storage = nullptr;
  // False: the bytes lie outside the arena, where `storage` lies (a graph input, a Constant, a
  // value placed by the caller, one whose size is known only at run time); offset is 0.
  bool in_arena = false;
  size_t offset = 0;  // from the arena's start, a multiple of 64
  size_t bytes = 0;   // of the value; 0 where its size is not known
};

struct MemoryPlan {
  std::map<const ir::Value*, Placement> values;  // every input of the graph and output of a node
  std::map<const ir::Node*, Placement> scratch;  // nodes that asked for some; storage is null
  size_t arena_bytes = 0;                        // a multiple of 64
  size_t unshared_bytes = 0;  // what the arena would need if every value had bytes of its own

  // Throws Error(kInternal) for a value that is not the graph's.
  const Placement& at(const ir::Value* value) const;
  // Whether the node's output 0 is its input 0 under another type: nothing need run.
  bool IsView(const ir::Node& node) const;
};

// Liveness in node order, then best fit by size: the largest values first, each in the smallest gap
// that is free while it lives. A value lives from its producer to its last use, graph outputs to
// the end; a node's inputs and outputs live at the same time, unless it runs in place. Determined
// by the graph alone. Subgraphs have plans of their own.
MemoryPlan PlanMemory(const ir::Graph& graph, const MemoryPlanOptions& options = {});

// Proves that no two values with different storage that live at the same time overlap, that all lie
// inside the arena and are aligned, and that values which share storage may do so. Returns what is
// wrong, nothing where all is well. Worked out independently of PlanMemory; for tests.
std::vector<std::string> CheckMemoryPlan(const ir::Graph& graph, const MemoryPlan& plan,
                                         const MemoryPlanOptions& options = {});

}  // namespace ingot::passes
