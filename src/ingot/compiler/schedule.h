// Which stage of the program each node of a step graph runs in.
#pragma once

#include <map>
#include <set>

#include "ingot/ir/graph.h"

namespace ingot::compiler {

// What becomes of a node at the top level of a step graph.
enum class NodeKind {
  kShards,  // ingot.ShardMap
  kReduce,  // ingot.TreeReduce
  kUpdate,  // has an update kernel
  kJoint,   // any other op
  kMesh,    // meets or passes between processes that hold different parts of the model
  kWithin,  // ingot.ShardMatMul, ingot.ScaleGradient, constants: part of those that take them
};
NodeKind KindOf(const ir::Node& node);

// A stage begins when the one before it is done. Each node runs in the first in which all that it
// takes is there; an update runs with its reduction, tile by tile, where nothing else is missing.
struct Schedule {
  std::map<const ir::Node*, size_t> stage;
  std::set<const ir::Node*> fused;  // updates that run with their reduction
  size_t count = 0;
};
Schedule ScheduleStages(const ir::Graph& step);

// The gradient that an update takes, before it is scaled.
const ir::Value* GradientOf(const ir::Node& update);

}  // namespace ingot::compiler
