// Specialises the ShardMap's body for each shard size, plans its memory and binds its kernels.
#include "ingot/compiler/shard_stage.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/shard_map.h"
#include "ingot/passes/canonicalize.h"
#include "ingot/passes/channels_last.h"
#include "ingot/passes/eliminate_dead_code.h"
#include "ingot/passes/fold_constants.h"
#include "ingot/passes/fuse_elementwise.h"
#include "ingot/passes/fuse_matmul.h"
#include "ingot/passes/merge_common_subexpressions.h"
#include "ingot/passes/resolve_like.h"

namespace ingot::compiler {
namespace {

using runtime::Operand;
using Space = runtime::Operand::Space;

uint64_t RoundUp(uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

uint64_t BytesOf(const ir::Type& type) {
  return static_cast<uint64_t>(type.shape().size()) * ItemSize(type.dtype());
}

bool IsViewOp(const ir::Node& node) {
  const std::string& op = node.op_type();
  return node.domain().empty() && (op == "Reshape" || op == "Flatten" || op == "Squeeze" ||
                                   op == "Unsqueeze" || op == "Identity");
}

// The value whose bytes a chain of views shows.
const ir::Value* Root(const ir::Value* value) {
  while (value->producer() != nullptr && IsViewOp(*value->producer())) {
    value = value->producer()->input(0);
  }
  return value;
}

bool SamePlace(const Operand& a, const Operand& b) {
  return a.space == b.space && a.at == b.at;
}

// The symbol of the body's rows: the first extent of its first sharded input.
std::string BatchSymbol(const ir::Graph& body) {
  const ir::Dimension& rows = body.inputs().at(0)->type().dim(0);
  return rows.symbol();
}

// An output that is an input or another output gets bytes of its own.
void SeparateOutputs(ir::Graph& body, const ir::OpRegistry& registry) {
  std::set<const ir::Value*> seen;
  for (size_t i = 0; i < body.outputs().size(); ++i) {
    ir::Value* value = body.outputs()[i];
    const bool constant =
        value->producer() != nullptr && value->producer()->op_type() == "Constant";
    if (seen.insert(value).second && value->producer() != nullptr && !constant) continue;
    ir::Builder builder(body, registry);
    body.SetOutput(i, builder.Op("Identity", {value}));
  }
}

// Whether an update of the second stage, which stands already, writes a state.
bool IsUpdated(const runtime::StepProgram& program, int state) {
  for (const runtime::ReduceUnit& unit : program.units) {
    for (const runtime::UpdateInstruction& update : unit.updates) {
      for (size_t i = 0; i < update.operands.size(); ++i) {
        const Operand& operand = update.operands[i];
        if (update.is_output[i] != 0 && operand.space == Space::kState &&
            operand.at == static_cast<uint64_t>(state)) {
          return true;
        }
      }
    }
  }
  return false;
}

}  // namespace

int StateIndex(const runtime::StepProgram& program, const std::string& name) {
  for (size_t i = 0; i < program.states.size(); ++i) {
    if (program.states[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

double CountFlops(const ir::Graph& graph) {
  double flops = 0;
  for (const ir::Node* node : graph.nodes()) {
    const std::string& op = node->op_type();
    if (op != "MatMul" && op != "Gemm" && op != "FusedMatMul") continue;
    const ir::Type& a = node->input(0)->type();
    const ir::Type& out = node->output()->type();
    const bool transposed = (op == "Gemm" && node->GetInt("transA") != 0) ||
                            (op == "FusedMatMul" && node->GetInt("trans_a") != 0);
    const auto inner = static_cast<double>(a.dim(transposed ? -2 : -1).value());
    flops += 2 * inner * static_cast<double>(out.shape().size());
  }
  return flops;
}

ShardStage::ShardStage(const ir::Graph& step, const ir::OpRegistry& registry,
                       passes::PassRunner& passes)
    : step_(step), registry_(registry) {
  for (const ir::Node* node : step.nodes()) {
    if (node->op().FullName() != "ingot.ShardMap") continue;
    if (map_ != nullptr) {
      throw Error(ErrorCode::kUnsupported, "a step graph with more than one ingot.ShardMap");
    }
    map_ = node;
  }
  if (map_ == nullptr) {
    throw Error(ErrorCode::kInvalidInput,
                "graph '" + step.name() + "' has no ingot.ShardMap, so it is no step graph");
  }
  shards_ = map_->GetInt("shards");
  sharded_ = static_cast<size_t>(map_->GetInt("sharded"));
  batch_ = map_->input(0)->type().shape()[0];
  if (shards_ < 1 || shards_ > batch_) {
    throw Error(ErrorCode::kInvalidInput, "logical_shards is " + std::to_string(shards_) +
                                              " for a batch of " + std::to_string(batch_) +
                                              " samples, expected 1 to " + std::to_string(batch_));
  }
  std::set<int64_t> sizes;
  for (int64_t s = 0; s < shards_; ++s) {
    sizes.insert(ops::ShardBegin(s + 1, shards_, batch_) - ops::ShardBegin(s, shards_, batch_));
  }
  for (const int64_t rows : sizes) bodies_.push_back(MakeBody(rows, passes));
}

ShardStage::Body ShardStage::MakeBody(int64_t rows, passes::PassRunner& passes) const {
  const ir::Graph& original = *map_->GetGraph("body");
  Body body;
  body.rows = rows;
  body.graph = ir::Specialize(original, {{BatchSymbol(original), rows}});
  ir::Graph& graph = *body.graph;
  const ir::OpRegistry& registry = registry_;
  passes.Run("resolve_like", graph, [&](ir::Graph& g) { passes::ResolveLike(g, registry); });
  passes.Run("canonicalize", graph, [&](ir::Graph& g) { passes::Canonicalize(g, registry); });
  passes.Run("fold_constants", graph, [&](ir::Graph& g) { passes::FoldConstants(g, registry); });
  passes.Run("merge_common_subexpressions", graph,
             [&](ir::Graph& g) { passes::MergeCommonSubexpressions(g); });
  passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  passes.Run("channels_last", graph, [&](ir::Graph& g) { passes::ChannelsLast(g, registry); });
  passes.Run("merge_common_subexpressions", graph,
             [&](ir::Graph& g) { passes::MergeCommonSubexpressions(g); });
  passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  passes.Run("fuse_matmul", graph, [&](ir::Graph& g) { passes::FuseMatMul(g, registry); });
  passes.Run("fuse_elementwise", graph,
             [&](ir::Graph& g) { passes::FuseElementwise(g, registry); });
  passes.Run("eliminate_dead_code", graph, [&](ir::Graph& g) { passes::EliminateDeadCode(g); });
  SeparateOutputs(graph, registry);
  passes::MemoryPlanOptions options;
  options.placed_outside.insert(graph.outputs().begin(), graph.outputs().end());
  body.plan = passes::PlanMemory(graph, options);
  return body;
}

int ShardStage::SlotValueOf(const ir::Value* value) {
  SlotValue wanted;
  if (value->producer() == map_) {
    wanted.output = value->output_index();
    wanted.rows = map_->GetInts("output_kinds").at(static_cast<size_t>(wanted.output)) ==
                  static_cast<int64_t>(ops::ShardOutput::kRows);
    // Rows that are a data input under another shape stay where Fill wrote them.
    // The optimised bodies say so, not the one they were made from: a view may be fused away.
    const auto index = static_cast<size_t>(wanted.output);
    for (size_t i = 0; i < sharded_ && wanted.rows; ++i) {
      const bool is_input = std::all_of(bodies_.begin(), bodies_.end(), [&](const Body& body) {
        return Root(body.graph->outputs()[index]) == body.graph->inputs()[i];
      });
      if (!is_input) continue;
      wanted.output = -1;
      wanted.data_input = static_cast<int>(i);
    }
  } else {
    const ir::Value* root = Root(value);
    for (size_t i = 0; i < sharded_; ++i) {
      if (map_->input(i) == root) wanted.data_input = static_cast<int>(i);
    }
    wanted.rows = true;
    if (wanted.data_input < 0) return -1;
  }
  for (size_t i = 0; i < slot_values_.size(); ++i) {
    const SlotValue& known = slot_values_[i];
    if (known.output == wanted.output && known.data_input == wanted.data_input) {
      return static_cast<int>(i);
    }
  }
  slot_values_.push_back(wanted);
  return static_cast<int>(slot_values_.size()) - 1;
}

void ShardStage::Emit(CompiledStep& program) {
  program.batch = batch_;
  for (int64_t s = 0; s <= shards_; ++s) {
    program.shard_begin.push_back(ops::ShardBegin(s, shards_, batch_));
  }
  // Every output of the body has a place, asked for or not.
  for (ir::Value* output : map_->outputs()) SlotValueOf(output);
  LayOutSlots(program);
  for (const Body& body : bodies_) program.routines.push_back(MakeRoutine(body, program));
  for (int64_t s = 0; s < shards_; ++s) {
    const int64_t rows = program.shard_rows(static_cast<int>(s));
    const auto body = std::find_if(bodies_.begin(), bodies_.end(),
                                   [rows](const Body& b) { return b.rows == rows; });
    program.routine_of_shard.push_back(static_cast<uint32_t>(body - bodies_.begin()));
    program.plan.flops += CountFlops(*body->graph);
  }
  for (Body& body : bodies_) program.graphs.push_back(std::move(body.graph));
}

void ShardStage::LayOutSlots(CompiledStep& program) {
  for (const SlotValue& value : slot_values_) {
    const ir::Type& type =
        value.data_input >= 0
            ? bodies_[0].graph->inputs()[static_cast<size_t>(value.data_input)]->type()
            : bodies_[0].graph->outputs()[static_cast<size_t>(value.output)]->type();
    program.slot_row_bytes.push_back(
        value.rows ? BytesOf(type) / static_cast<uint64_t>(bodies_[0].rows) : 0);
  }
}

runtime::ShardRoutine ShardStage::MakeRoutine(const Body& body, CompiledStep& program) {
  runtime::ShardRoutine routine;
  routine.rows = body.rows;
  uint64_t offset = 0;
  for (const SlotValue& value : slot_values_) {
    const ir::Type& type = value.data_input >= 0
                               ? body.graph->inputs()[static_cast<size_t>(value.data_input)]->type()
                               : body.graph->outputs()[static_cast<size_t>(value.output)]->type();
    routine.slot_offsets.push_back(offset);
    offset += RoundUp(BytesOf(type));
  }
  program.slot_bytes = std::max(program.slot_bytes, offset);
  PlaceInputs(body, program, routine);
  for (const ir::Node* node : body.graph->nodes()) {
    if (node->op_type() == "Constant" || body.plan.IsView(*node)) continue;
    runtime::Instruction instruction;
    instruction.kernel = cpu::MakeKernel(*node);
    instruction.layer = node->layer();
    for (const ir::Value* value : node->inputs()) {
      instruction.operands.push_back(Locate(body, value, routine, program));
    }
    for (const ir::Value* value : node->outputs()) {
      instruction.operands.push_back(Locate(body, value, routine, program));
    }
    if (IsViewOp(*node) && SamePlace(instruction.operands.front(), instruction.operands.back())) {
      continue;
    }
    program.scratch_bytes =
        std::max<uint64_t>(program.scratch_bytes, instruction.kernel->scratch_bytes());
    routine.instructions.push_back(std::move(instruction));
  }
  return routine;
}

// Where the body's inputs lie: data in the slot or behind the plan's arena, the rest outside.
void ShardStage::PlaceInputs(const Body& body, CompiledStep& program,
                             runtime::ShardRoutine& routine) {
  input_places_.clear();
  uint64_t arena = body.plan.arena_bytes;
  auto in_arena = [&arena](uint64_t bytes) {
    const Operand place{Space::kArena, arena};
    arena += RoundUp(bytes);
    return place;
  };
  for (size_t i = 0; i < body.graph->inputs().size(); ++i) {
    const ir::Value* inside = body.graph->inputs()[i];
    const ir::Value* outside = map_->input(i);
    Operand place;
    if (i < sharded_) {
      for (size_t v = 0; v < slot_values_.size(); ++v) {
        if (slot_values_[v].data_input == static_cast<int>(i)) {
          place = {Space::kSlot, routine.slot_offsets[v]};
        }
      }
      if (place.space == Space::kNone) place = in_arena(BytesOf(inside->type()));
    } else if (inside->name() == ops::kRandomKeyInput) {
      place = routine.random_key = in_arena(3 * sizeof(int64_t));
    } else if (outside->role() == ir::Role::kScalar) {
      const auto scalar =
          std::find_if(program.scalars.begin(), program.scalars.end(),
                       [&](const runtime::ScalarInput& s) { return s.name == outside->name(); });
      if (scalar != program.scalars.end()) {
        place = {Space::kScalar, scalar->offset};
      } else if (outside->name() == "step") {
        place = {Space::kScalar, program.step_offset};
      }
    } else {
      const int state = StateIndex(program, outside->name());
      if (state >= 0) {
        place = {Space::kState, static_cast<uint64_t>(state)};
        // What is never written may be read where it lies.
        program.states[static_cast<size_t>(state)].versioned = IsUpdated(program, state);
      }
    }
    if (place.space == Space::kNone) {
      throw Error(ErrorCode::kUnsupported, "the ShardMap's input '" + inside->name() +
                                               "' is neither data nor state nor a scalar");
    }
    input_places_[inside] = place;
  }
  // Fill writes the step graph's data inputs in their order; each must be cut by the ShardMap.
  for (const ir::Value* input : step_.inputs()) {
    if (input->role() != ir::Role::kData) continue;
    Operand place;
    for (size_t i = 0; i < sharded_; ++i) {
      if (map_->input(i) == input) place = input_places_[body.graph->inputs()[i]];
    }
    if (place.space == Space::kNone) {
      const uint64_t row = BytesOf(input->type()) / static_cast<uint64_t>(batch_);
      place = in_arena(row * static_cast<uint64_t>(body.rows));
    }
    routine.data_inputs.push_back(place);
  }
  program.arena_bytes = std::max(program.arena_bytes, arena);
}

Operand ShardStage::Locate(const Body& body, const ir::Value* value,
                           const runtime::ShardRoutine& routine, CompiledStep& program) {
  if (value == nullptr) return {};
  const passes::Placement& place = body.plan.at(value);
  if (place.in_arena) return {Space::kArena, place.offset};
  const ir::Value* storage = place.storage == nullptr ? value : place.storage;
  const std::vector<ir::Value*>& outputs = body.graph->outputs();
  const auto output = std::find(outputs.begin(), outputs.end(), storage);
  if (output != outputs.end()) {
    const int index = static_cast<int>(output - outputs.begin());
    for (size_t v = 0; v < slot_values_.size(); ++v) {
      if (slot_values_[v].output == index) return {Space::kSlot, routine.slot_offsets[v]};
    }
    // Rows that stay where Fill wrote them: a view of the data input.
    return Locate(body, Root(storage), routine, program);
  }
  const auto input = input_places_.find(storage);
  if (input != input_places_.end()) return input->second;
  INGOT_ASSERT(storage->producer() != nullptr && storage->producer()->op_type() == "Constant",
               "value '" + storage->name() + "' has no place");
  return {Space::kConstant, ConstantOffset(storage, program)};
}

uint64_t ShardStage::ConstantOffset(const ir::Value* value, CompiledStep& program) {
  const auto known = constants_.find(value);
  if (known != constants_.end()) return known->second;
  const Tensor& tensor = value->producer()->GetTensor("value");
  const uint64_t offset = RoundUp(program.constants.size());
  program.constants.resize(offset + tensor.bytes());
  if (tensor.bytes() > 0) {
    std::memcpy(program.constants.data() + offset, tensor.raw(), tensor.bytes());
  }
  constants_[value] = offset;
  return offset;
}

}  // namespace ingot::compiler
