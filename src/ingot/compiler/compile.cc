// Runs the passes over a step graph and puts the stages of the program together.
#include "ingot/compiler/compile.h"

#include <algorithm>
#include <cstdio>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/align.h"
#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/base/text.h"
#include "ingot/compiler/joint_tasks.h"
#include "ingot/compiler/mesh_tasks.h"
#include "ingot/compiler/schedule.h"
#include "ingot/compiler/shard_parts.h"
#include "ingot/compiler/tile_tasks.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/hoist_weight_gradients.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/runtime/engine_memory.h"
#include "ingot/runtime/telemetry.h"

namespace ingot::compiler {
namespace {

void CollectInputs(const ir::Graph& step, CompiledStep& program) {
  for (const ir::Value* input : step.inputs()) {
    const ir::Type& type = input->type();
    if (!type.is_static()) {
      throw Error(ErrorCode::kInvalidInput, "input '" + input->name() + "' of the step graph is " +
                                                type.ToString() + "; its shape must be static");
    }
    const uint64_t bytes = static_cast<uint64_t>(type.shape().size()) * ItemSize(type.dtype());
    switch (input->role()) {
      case ir::Role::kData:
        program.data_inputs.push_back(input->name());
        break;
      case ir::Role::kParameter:
      case ir::Role::kState:
        program.states.push_back({input->name(), type.dtype(), type.shape(), false, 0});
        program.plan.state_bytes += bytes;
        break;
      case ir::Role::kScalar:
        if (input->name() == "random_key") break;
        if (input->name() == "step") {
          program.has_step = true;
          program.step_offset = program.scalar_bytes;
        } else {
          program.scalars.push_back({input->name(), type.dtype(), program.scalar_bytes, 1});
        }
        program.scalar_bytes += AlignUp(bytes);
        break;
    }
  }
}

// A layer with a few zeros too many should be an error here, not the end of the process later.
void CheckMemory(const CompiledStep& program) {
  double bytes = 0;
  for (const runtime::StateTensor& state : program.states) {
    bytes += static_cast<double>(state.shape.size()) * static_cast<double>(ItemSize(state.dtype));
  }
  const auto available = static_cast<double>(AvailableMemory());
  if (available == 0 || bytes <= available) return;
  throw Error(ErrorCode::kOutOfMemory,
              "the model does not fit into memory: parameters and optimizer state need " +
                  HumanBytes(static_cast<uint64_t>(bytes)) + ", and this process may use " +
                  HumanBytes(static_cast<uint64_t>(available)),
              "make the layers smaller");
}

// FNV-1a: equal texts, equal digests; not for security.
std::string Digest(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  char digits[20];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

// Shards stand before all other tasks of their stage.
void AddShardTasks(CompiledStep& program) {
  for (uint32_t part = 0; part < program.parts.size(); ++part) {
    std::vector<runtime::Task>& tasks = program.stages[program.parts[part].stage].tasks;
    INGOT_ASSERT(tasks.empty() || tasks[0].kind != runtime::Task::Kind::kShard,
                 "two parts of the shards in one stage");
    std::vector<runtime::Task> shards;
    for (int64_t s = 0; s < program.shards(); ++s) {
      shards.push_back({runtime::Task::Kind::kShard, part, s, 0});
    }
    tasks.insert(tasks.begin(), shards.begin(), shards.end());
  }
}

std::string DescribeUnit(const runtime::ReduceUnit& unit) {
  std::string text = "  " + unit.name + " [" + std::to_string(unit.rows) + " x " +
                     std::to_string(unit.row_elements) +
                     "]: " + (unit.kernel == nullptr ? "shared" : unit.kernel->name());
  for (const runtime::UpdateInstruction& update : unit.updates)
    text += ", " + update.kernel->name();
  return text + "\n";
}

std::string DescribeInstruction(const runtime::Instruction& i) {
  return "  " + i.kernel->name() + (i.layer.empty() ? "" : "  # layer " + i.layer) + "\n";
}

std::string DescribeStage(const CompiledStep& program, const runtime::Stage& stage) {
  std::string text;
  int64_t tiles = 0;
  std::vector<bool> seen(program.units.size());
  for (const runtime::Task& task : stage.tasks) {
    if (task.kind == runtime::Task::Kind::kShard && task.begin == 0) {
      text += "  " + std::to_string(program.shards()) + " shards of";
      const auto& routines = program.parts[task.index].routines;
      for (const runtime::ShardRoutine& routine : routines) {
        text += " " + std::to_string(routine.rows);
      }
      text += " samples\n";
      for (const runtime::Instruction& i : routines.back().instructions) {
        text += "  " + DescribeInstruction(i);
      }
    } else if (task.kind == runtime::Task::Kind::kJoint) {
      for (const runtime::Instruction& i : program.joints[task.index].instructions) {
        text += DescribeInstruction(i);
      }
    } else if (task.kind == runtime::Task::Kind::kTile) {
      ++tiles;
    }
  }
  for (const runtime::Task& task : stage.tasks) {
    if (task.kind != runtime::Task::Kind::kMesh) continue;
    for (const runtime::MeshValue& value : program.meshes[task.index]) {
      text += "  mesh: " + value.name + "\n";
    }
  }
  if (tiles > 0) text += "  " + std::to_string(tiles) + " tiles\n";
  for (const runtime::Task& task : stage.tasks) {
    if (task.kind != runtime::Task::Kind::kTile || seen[task.index]) continue;
    seen[task.index] = true;
    text += "  " + DescribeUnit(program.units[task.index]);
  }
  return text;
}

void Describe(CompiledStep& program) {
  std::string text = "instruction set " + cpu::InstructionSet() + "\n";
  for (size_t i = 0; i < program.stages.size(); ++i) {
    text += "stage " + std::to_string(i + 1) + ":\n" + DescribeStage(program, program.stages[i]);
  }
  program.plan.digest = Digest(text);
  program.plan.description = std::move(text);
}

}  // namespace

std::shared_ptr<const runtime::StepProgram> CompileStep(const ir::Graph& step,
                                                        const ir::OpRegistry& registry,
                                                        const CompileOptions& options) {
  passes::PassRunner runner(
      {.dump_directory = options.dump_directory, .disabled = options.disabled_passes});
  auto program = std::make_shared<CompiledStep>();
  std::unique_ptr<ir::Graph> graph = step.Clone();
  const bool hoists = options.recompute_segments < 2 && !options.keep_weight_gradients_inside;
  if (hoists) {
    runner.Run("hoist_weight_gradients", *graph,
               [&](ir::Graph& g) { passes::HoistWeightGradients(g, registry); });
  }
  runner.Run("merge_common_subexpressions", *graph,
             [&](ir::Graph& g) { passes::MergeCommonSubexpressions(g); });
  runner.Run("eliminate_dead_code", *graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });

  CollectInputs(*graph, *program);
  CheckMemory(*program);
  const Schedule schedule = ScheduleStages(*graph);
  program->stages.resize(schedule.count);
  ShardParts shards(*graph, registry, runner, options.recompute_segments);
  for (const ir::Node* node : graph->nodes()) {
    if (shards.PartOf(node) >= 0)
      program->parts.emplace_back().stage = static_cast<uint32_t>(schedule.stage.at(node));
  }
  EmitTileTasks(*graph, schedule, shards, *program);
  EmitJointTasks(*graph, schedule, shards, *program);
  EmitMeshTasks(*graph, schedule, shards, *program);
  shards.Emit(*program);
  MarkReadersOfWhatChanges(*program);
  AddShardTasks(*program);
  program->graphs.push_back(std::move(graph));

  StepPlan& plan = program->plan;
  plan.data_inputs = program->data_inputs;
  plan.sums = program->sums;
  for (const runtime::RowOutput& row : program->rows) plan.rows.push_back(row.name);
  plan.batch = program->batch;
  plan.shards = program->shards();
  plan.arena_bytes = program->arena_bytes;
  Describe(*program);
  if (options.telemetry) runtime::Instrument(*program, options.telemetry);
  return program;
}

const StepPlan& PlanOf(const runtime::StepProgram& program) {
  const auto* compiled = dynamic_cast<const CompiledStep*>(&program);
  INGOT_ASSERT(compiled != nullptr, "the program was not made by CompileStep");
  return compiled->plan;
}

uint64_t EngineBytes(const std::vector<std::shared_ptr<const runtime::StepProgram>>& programs,
                     int threads) {
  // Memory is reserved, and given back untouched.
  return runtime::EngineMemory(programs, threads).bytes();
}

int64_t ChooseShards(int64_t batch, const SampleWork& work) {
  // Every shard reads every weight: where those do not stay in cache, only few shards read them
  // seldom enough.
  constexpr int64_t kStaysInCache = int64_t{1} << 20;
  // A shard that takes some twenty microseconds is hardly worth handing to another thread.
  constexpr int64_t kWorthAThread = int64_t{1} << 21;
  constexpr int64_t kSamples = 32;
  const int64_t fewest = std::clamp<int64_t>(batch, 1, 2);
  if (work.largest_layer_parameters > kStaysInCache)
    return std::clamp<int64_t>(batch / (2 * kSamples), fewest, 8);
  const bool small = work.multiplications < kWorthAThread / kSamples;
  return std::clamp<int64_t>(batch / (small ? 2 * kSamples : kSamples), fewest, 64);
}

}  // namespace ingot::compiler
