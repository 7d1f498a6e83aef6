// Plans the slots of the shards and binds the kernels of each part.
#include "ingot/compiler/shard_parts.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/align.h"
#include "ingot/base/error.h"
#include "ingot/compiler/flops.h"
#include "ingot/ops/node_kinds.h"
#include "ingot/ops/shard_map.h"

namespace ingot::compiler {
namespace {

using runtime::Operand;
using runtime::SlotValue;
using Space = runtime::Operand::Space;

uint64_t BytesOf(const ir::Type& type) {
  return static_cast<uint64_t>(type.shape().size()) * ItemSize(type.dtype());
}

// The value whose bytes a chain of views shows. Rows that come from other places of a mesh take the
// place of those that went there.
const ir::Value* Root(const ir::Value* value) {
  while (ops::ShowsItsInput(value->producer()) || ops::IsMeshOp(value->producer())) {
    value = value->producer()->input(0);
  }
  return value;
}

bool SamePlace(const Operand& a, const Operand& b) {
  return a.space == b.space && a.at == b.at && a.part == b.part;
}

}  // namespace

int StateIndex(const runtime::StepProgram& program, const std::string& name) {
  for (size_t i = 0; i < program.states.size(); ++i) {
    if (program.states[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

bool IsUpdated(const runtime::StepProgram& program, int state) {
  const auto is_state = [state](const Operand& operand) {
    return operand.space == Space::kState && operand.at == static_cast<uint64_t>(state);
  };
  for (const runtime::ReduceUnit& unit : program.units) {
    for (const runtime::UpdateInstruction& update : unit.updates) {
      for (size_t i = 0; i < update.operands.size(); ++i) {
        if (update.is_output[i] != 0 && is_state(update.operands[i])) return true;
      }
    }
  }
  for (const runtime::JointRoutine& joint : program.joints) {
    for (const auto& publication : joint.publications) {
      if (is_state(publication.to)) return true;
    }
  }
  return false;
}

uint64_t CompiledStep::SharedOffset(const ir::Value* value) {
  const auto [entry, added] = shared.emplace(value, shared_bytes);
  if (added) shared_bytes += AlignUp(BytesOf(value->type()));
  return entry->second;
}

uint64_t CompiledStep::ConstantOffset(const Tensor& tensor) {
  const uint64_t offset = AlignUp(constants.size());
  constants.resize(offset + tensor.bytes());
  if (tensor.bytes() > 0) std::memcpy(constants.data() + offset, tensor.raw(), tensor.bytes());
  return offset;
}

ShardParts::ShardParts(const ir::Graph& step, const ir::OpRegistry& registry,
                       passes::PassRunner& passes, int recompute_segments)
    : step_(step) {
  for (const ir::Node* node : step.nodes()) {
    if (node->op().FullName() != "ingot.ShardMap") continue;
    Part part;
    part.map = node;
    part.sharded = static_cast<size_t>(node->GetInt("sharded"));
    part.sliced = static_cast<size_t>(node->GetInt("sliced"));
    const int64_t batch = node->input(0)->type().shape()[0];
    const int64_t shards = node->GetInt("shards");
    if (!parts_.empty() && (batch != batch_ || shards != shards_)) {
      throw Error(ErrorCode::kInvalidInput, "the ShardMaps of a step have different shards");
    }
    batch_ = batch;
    shards_ = shards;
    parts_.push_back(std::move(part));
  }
  if (parts_.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                "graph '" + step.name() + "' has no ingot.ShardMap, so it is no step graph");
  }
  if (shards_ < 1 || shards_ > batch_) {
    throw Error(ErrorCode::kInvalidInput, "logical_shards is " + std::to_string(shards_) +
                                              " for a batch of " + std::to_string(batch_) +
                                              " samples, expected 1 to " + std::to_string(batch_));
  }
  std::set<int64_t> sizes;
  for (int64_t s = 0; s < shards_; ++s) {
    sizes.insert(ops::ShardBegin(s + 1, shards_, batch_) - ops::ShardBegin(s, shards_, batch_));
  }
  for (Part& part : parts_) {
    const ir::Graph& body = *part.map->GetGraph("body");
    for (const int64_t rows : sizes) {
      part.bodies.push_back(MakeShardBody(body, rows, registry, passes, recompute_segments));
    }
  }
}

int ShardParts::PartOf(const ir::Node* map) const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].map == map) return static_cast<int>(i);
  }
  return -1;
}

// What stands behind rows that are an input under another shape; null where they are computed. The
// optimised bodies say so, not the one they were made from: a view may be fused away.
const ir::Value* ShardParts::ViewedInput(const Part& part, size_t output) const {
  for (size_t i = 0; i < part.sharded; ++i) {
    const bool is_input =
        std::all_of(part.bodies.begin(), part.bodies.end(), [&](const ShardBody& body) {
          return Root(body.graph->outputs()[output]) == body.graph->inputs()[i];
        });
    if (is_input) return part.map->input(i);
  }
  return nullptr;
}

std::optional<SlotValue> ShardParts::SlotValueOf(const ir::Value* value) {
  if (ops::IsMeshOp(value->producer())) value = Root(value);
  if (const auto known = Find(value)) return known;
  const int producer = PartOf(value->producer());
  Wanted wanted;
  size_t index = 0;
  if (producer >= 0) {
    index = static_cast<size_t>(producer);
    wanted.output = value->output_index();
    wanted.rows =
        parts_[index].map->GetInts("output_kinds").at(static_cast<size_t>(wanted.output)) ==
        static_cast<int64_t>(ops::ShardOutput::kRows);
    if (wanted.rows) {
      const ir::Value* input = ViewedInput(parts_[index], static_cast<size_t>(wanted.output));
      if (input != nullptr) return SlotValueOf(input);
    }
  } else {
    const ir::Value* root = Root(value);
    if (root != value) return SlotValueOf(root);
    if (root->producer() != nullptr || root->role() != ir::Role::kData) return std::nullopt;
    wanted.data = root;
    wanted.rows = true;
  }
  parts_[index].wanted.push_back(wanted);
  return SlotValue{static_cast<uint32_t>(index),
                   static_cast<uint32_t>(parts_[index].wanted.size() - 1)};
}

std::optional<SlotValue> ShardParts::Find(const ir::Value* value) const {
  if (ops::IsMeshOp(value->producer())) value = Root(value);
  const int producer = PartOf(value->producer());
  if (producer >= 0) {
    const Part& part = parts_[static_cast<size_t>(producer)];
    const auto output = static_cast<size_t>(value->output_index());
    for (size_t i = 0; i < part.wanted.size(); ++i) {
      if (part.wanted[i].output == value->output_index()) {
        return SlotValue{static_cast<uint32_t>(producer), static_cast<uint32_t>(i)};
      }
    }
    const bool rows = part.map->GetInts("output_kinds").at(output) ==
                      static_cast<int64_t>(ops::ShardOutput::kRows);
    const ir::Value* input = rows ? ViewedInput(part, output) : nullptr;
    return input == nullptr ? std::nullopt : Find(input);
  }
  const ir::Value* root = Root(value);
  if (root != value) return Find(root);
  for (size_t i = 0; i < parts_[0].wanted.size(); ++i) {
    if (parts_[0].wanted[i].data == value) return SlotValue{0, static_cast<uint32_t>(i)};
  }
  return std::nullopt;
}

void ShardParts::Emit(CompiledStep& program) {
  program.batch = batch_;
  for (int64_t s = 0; s <= shards_; ++s) {
    program.shard_begin.push_back(ops::ShardBegin(s, shards_, batch_));
  }
  for (Part& part : parts_) {
    // Every output of the body has a place, asked for or not; so has what comes from other parts.
    for (ir::Value* output : part.map->outputs()) SlotValueOf(output);
    const size_t carried = part.sharded + part.sliced;
    for (size_t i = 0; i < carried; ++i) {
      const ir::Value* input = part.map->input(i);
      if (input->producer() != nullptr || &part != &parts_[0]) SlotValueOf(input);
    }
  }
  for (size_t p = 0; p < parts_.size(); ++p) LayOut(p, program);
  for (size_t p = 0; p < parts_.size(); ++p) {
    for (size_t b = 0; b < parts_[p].bodies.size(); ++b) EmitRoutine(p, b, program);
  }
  for (int64_t s = 0; s < shards_; ++s) {
    const int64_t rows = program.shard_rows(static_cast<int>(s));
    const std::vector<ShardBody>& bodies = parts_[0].bodies;
    const auto body = std::find_if(bodies.begin(), bodies.end(),
                                   [rows](const ShardBody& b) { return b.rows == rows; });
    const auto index = static_cast<size_t>(body - bodies.begin());
    program.routine_of_shard.push_back(static_cast<uint32_t>(index));
    for (const Part& part : parts_) program.plan.flops += CountFlops(*part.bodies[index].graph);
  }
  for (Part& part : parts_) {
    for (ShardBody& body : part.bodies) program.graphs.push_back(std::move(body.graph));
  }
}

const ir::Type& ShardParts::TypeOf(const Part& part, const Wanted& wanted, size_t body) const {
  return part.bodies[body].graph->outputs()[static_cast<size_t>(wanted.output)]->type();
}

uint64_t ShardParts::BytesOfWanted(const Part& part, const Wanted& wanted, size_t body) const {
  if (wanted.data == nullptr) return BytesOf(TypeOf(part, wanted, body));
  return BytesOf(wanted.data->type()) / static_cast<uint64_t>(batch_) *
         static_cast<uint64_t>(part.bodies[body].rows);
}

void ShardParts::LayOut(size_t index, CompiledStep& program) {
  const Part& part = parts_[index];
  if (program.parts.size() <= index) program.parts.resize(index + 1);
  runtime::ShardPart& emitted = program.parts[index];
  emitted.routines.resize(part.bodies.size());
  for (const Wanted& wanted : part.wanted) {
    emitted.slot_row_bytes.push_back(wanted.rows ? BytesOfWanted(part, wanted, 0) /
                                                       static_cast<uint64_t>(part.bodies[0].rows)
                                                 : 0);
  }
  for (size_t b = 0; b < part.bodies.size(); ++b) {
    uint64_t offset = 0;
    for (const Wanted& wanted : part.wanted) {
      emitted.routines[b].slot_offsets.push_back(offset);
      offset += AlignUp(BytesOfWanted(part, wanted, b));
    }
    emitted.slot_bytes = std::max(emitted.slot_bytes, offset);
  }
}

void ShardParts::EmitRoutine(size_t index, size_t b, CompiledStep& program) {
  Part& part = parts_[index];
  const ShardBody& body = part.bodies[b];
  runtime::ShardRoutine& routine = program.parts[index].routines[b];
  routine.rows = body.rows;
  PlaceInputs(index, b, program);
  for (const ir::Node* node : body.graph->nodes()) {
    if (node->op_type() == "Constant" || body.plan.IsView(*node)) continue;
    runtime::Instruction instruction;
    instruction.kernel = cpu::MakeKernel(*node);
    instruction.layer = node->layer();
    for (const ir::Value* value : node->inputs()) {
      instruction.operands.push_back(Locate(index, b, value, program));
    }
    for (const ir::Value* value : node->outputs()) {
      instruction.operands.push_back(Locate(index, b, value, program));
    }
    if (ops::ShowsItsInput(node) &&
        SamePlace(instruction.operands.front(), instruction.operands.back())) {
      continue;
    }
    program.scratch_bytes =
        std::max<uint64_t>(program.scratch_bytes, instruction.kernel->scratch_bytes());
    routine.instructions.push_back(std::move(instruction));
  }
}

// Where the body's inputs lie: data in a slot or behind the plan's arena, the rest outside.
void ShardParts::PlaceInputs(size_t index, size_t b, CompiledStep& program) {
  Part& part = parts_[index];
  const ShardBody& body = part.bodies[b];
  runtime::ShardRoutine& routine = program.parts[index].routines[b];
  part.places.clear();
  uint64_t arena = body.plan.arena_bytes;
  for (size_t i = 0; i < body.graph->inputs().size(); ++i) {
    const ir::Value* inside = body.graph->inputs()[i];
    Operand place = PlaceOf(index, i, b, program);
    const bool is_key = i >= part.sharded + part.sliced && inside->name() == ops::kRandomKeyInput;
    if (place.space == Space::kNone && (i < part.sharded || is_key)) {
      place = {Space::kArena, arena};
      arena += AlignUp(is_key ? 3 * sizeof(int64_t) : BytesOf(inside->type()));
    }
    if (is_key) routine.random_key = place;
    if (place.space == Space::kNone) {
      throw Error(ErrorCode::kUnsupported, "the ShardMap's input '" + inside->name() +
                                               "' is neither data nor state nor a scalar");
    }
    part.places[inside] = place;
  }
  if (index == 0) PlaceData(b, program, arena);
  program.arena_bytes = std::max(program.arena_bytes, arena);
}

// None for what has a place in the arena: data that only this part reads, the random key.
Operand ShardParts::PlaceOf(size_t index, size_t input, size_t b, CompiledStep& program) const {
  const Part& part = parts_[index];
  const ir::Value* outside = part.map->input(input);
  if (input < part.sharded + part.sliced) {
    const auto slot = Find(outside);
    if (!slot) return {};
    const uint64_t offset = program.parts[slot->part].routines[b].slot_offsets[slot->index];
    return {Space::kSlot, offset, slot->part};
  }
  if (part.bodies[b].graph->inputs()[input]->name() == ops::kRandomKeyInput) return {};
  if (outside->producer() != nullptr) {
    const auto shared = program.shared.find(outside);
    return shared == program.shared.end() ? Operand{} : Operand{Space::kShared, shared->second};
  }
  if (outside->role() == ir::Role::kScalar) {
    if (outside->name() == "step") return {Space::kScalar, program.step_offset};
    for (const runtime::ScalarInput& scalar : program.scalars) {
      if (scalar.name == outside->name()) return {Space::kScalar, scalar.offset};
    }
    return {};
  }
  const int state = StateIndex(program, outside->name());
  if (state < 0) return {};
  // What is never written, or not read here, may be read where it lies.
  runtime::StateTensor& tensor = program.states[static_cast<size_t>(state)];
  const bool is_read = part.bodies[b].graph->inputs()[input]->is_used();
  tensor.versioned = tensor.versioned || (is_read && IsUpdated(program, state));
  return {Space::kState, static_cast<uint64_t>(state)};
}

// Fill writes the step graph's data inputs in their order, into the first part.
void ShardParts::PlaceData(size_t b, CompiledStep& program, uint64_t& arena) {
  const Part& part = parts_[0];
  const ShardBody& body = part.bodies[b];
  runtime::ShardRoutine& routine = program.parts[0].routines[b];
  for (const ir::Value* input : step_.inputs()) {
    if (input->role() != ir::Role::kData) continue;
    Operand place;
    if (const auto slot = Find(input)) {
      place = {Space::kSlot, routine.slot_offsets[slot->index], 0};
    }
    for (size_t i = 0; i < part.sharded && place.space == Space::kNone; ++i) {
      if (part.map->input(i) == input) place = part.places.at(body.graph->inputs()[i]);
    }
    if (place.space == Space::kNone) {
      const uint64_t row = BytesOf(input->type()) / static_cast<uint64_t>(batch_);
      place = {Space::kArena, arena};
      arena += AlignUp(row * static_cast<uint64_t>(body.rows));
    }
    routine.data_inputs.push_back(place);
  }
}

Operand ShardParts::Locate(size_t index, size_t b, const ir::Value* value, CompiledStep& program) {
  if (value == nullptr) return {};
  const Part& part = parts_[index];
  const ShardBody& body = part.bodies[b];
  const passes::Placement& place = body.plan.at(value);
  if (place.in_arena) return {Space::kArena, place.offset};
  const ir::Value* storage = place.storage == nullptr ? value : place.storage;
  const std::vector<ir::Value*>& outputs = body.graph->outputs();
  const auto output = std::find(outputs.begin(), outputs.end(), storage);
  if (output != outputs.end()) {
    const auto i = static_cast<int>(output - outputs.begin());
    for (size_t v = 0; v < part.wanted.size(); ++v) {
      if (part.wanted[v].output != i) continue;
      return {Space::kSlot, program.parts[index].routines[b].slot_offsets[v],
              static_cast<uint32_t>(index)};
    }
    // Rows that stay where they are: a view of an input.
    return Locate(index, b, Root(storage), program);
  }
  const auto input = part.places.find(storage);
  if (input != part.places.end()) return input->second;
  INGOT_ASSERT(storage->producer() != nullptr && storage->producer()->op_type() == "Constant",
               "value '" + storage->name() + "' has no place");
  const Operand constant = {Space::kConstant,
                            program.ConstantOffset(storage->producer()->GetTensor("value"))};
  parts_[index].places[storage] = constant;
  return constant;
}

}  // namespace ingot::compiler
