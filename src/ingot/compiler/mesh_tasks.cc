// ingot.MeshSum and ingot.MeshPass between the ShardMaps of a step, and MeshSum of shared values.
#include "ingot/compiler/mesh_tasks.h"

#include <map>

#include "ingot/base/error.h"

namespace ingot::compiler {
namespace {

using runtime::MeshValue;

MeshValue::What WhatOf(const ir::Node& node) {
  if (node.op_type() == "MeshSum") return MeshValue::What::kSum;
  switch (node.GetInt("leg")) {
    case 0:
      return MeshValue::What::kComes;
    case 1:
      return MeshValue::What::kTurns;
    default:
      return MeshValue::What::kGoes;
  }
}

MeshValue Describe(const ir::Node& node, ShardParts& shards, CompiledStep& program) {
  const ir::Value* from = node.input(0);
  MeshValue value;
  value.what = WhatOf(node);
  value.along_pipeline =
      value.what == MeshValue::What::kSum && node.GetString("axis") == "pipeline";
  value.dtype = from->type().dtype();
  value.name = (value.what == MeshValue::What::kSum ? "sum of " : "rows of ") + node.layer();
  value.is_rows = shards.PartOf(from->producer()) >= 0;
  if (!value.is_rows) {
    value.from = program.SharedOffset(from);
    value.to = program.SharedOffset(node.output());
    value.bytes = static_cast<uint64_t>(from->type().shape().size()) * ItemSize(value.dtype);
    return value;
  }
  const auto slot = shards.SlotValueOf(from);
  // What comes is written over what went.
  const bool owned = slot && static_cast<int>(slot->part) == shards.PartOf(from->producer());
  if (!owned || from->uses().size() != 1 || from->is_graph_output()) {
    throw Error(ErrorCode::kUnsupported,
                "the mesh: " + value.name + " are needed for something else, too");
  }
  value.slot_value = *slot;
  return value;
}

}  // namespace

void EmitMeshTasks(const ir::Graph& step, const Schedule& schedule, ShardParts& shards,
                   CompiledStep& program) {
  std::map<size_t, std::vector<MeshValue>> stages;
  for (const ir::Node* node : step.nodes()) {
    if (KindOf(*node) != NodeKind::kMesh) continue;
    stages[schedule.stage.at(node)].push_back(Describe(*node, shards, program));
  }
  for (auto& [stage, values] : stages) {
    program.stages[stage].tasks.push_back(
        {runtime::Task::Kind::kMesh, static_cast<uint32_t>(program.meshes.size()), 0, 0});
    program.meshes.push_back(std::move(values));
  }
}

}  // namespace ingot::compiler
