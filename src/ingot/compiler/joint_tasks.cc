// Nodes on shared values -> joint routines.
#include "ingot/compiler/joint_tasks.h"

#include <algorithm>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/align.h"
#include "ingot/base/error.h"

namespace ingot::compiler {
namespace {

using runtime::JointRoutine;
using runtime::Operand;
using Space = runtime::Operand::Space;

class JointTasks {
 public:
  JointTasks(const ir::Graph& step, const Schedule& schedule, const ShardParts& shards,
             CompiledStep& program)
      : step_(step), schedule_(schedule), shards_(shards), program_(program) {}

  void Emit() {
    for (const ir::Node* node : step_.nodes()) {
      if (KindOf(*node) == NodeKind::kJoint) Add(*node);
    }
  }

 private:
  void Add(const ir::Node& node) {
    JointRoutine routine;
    runtime::Instruction instruction;
    instruction.kernel = cpu::MakeKernel(node);
    instruction.layer = node.layer();
    bool updates = false;
    for (const ir::Value* input : node.inputs()) instruction.operands.push_back(Input(node, input));
    uint64_t arena = 0;
    for (const ir::Value* output : node.outputs()) {
      const ir::Type& type = output->type();
      const uint64_t bytes = static_cast<uint64_t>(type.shape().size()) * ItemSize(type.dtype());
      instruction.operands.push_back({Space::kArena, arena});
      const int state = StateOf(output);
      updates = updates || state >= 0;
      if (state >= 0) {
        routine.publications.push_back(
            {arena, {Space::kState, static_cast<uint64_t>(state)}, bytes});
      }
      if (!output->uses().empty()) {
        routine.publications.push_back(
            {arena, {Space::kShared, program_.SharedOffset(output)}, bytes});
      }
      arena += AlignUp(bytes);
    }
    program_.arena_bytes = std::max(program_.arena_bytes, arena);
    program_.scratch_bytes =
        std::max<uint64_t>(program_.scratch_bytes, instruction.kernel->scratch_bytes());
    routine.instructions.push_back(std::move(instruction));
    runtime::Stage& stage = program_.stages[schedule_.stage.at(&node)];
    stage.updates = stage.updates || updates;
    program_.updates = program_.updates || updates;
    stage.tasks.push_back(
        {runtime::Task::Kind::kJoint, static_cast<uint32_t>(program_.joints.size()), 0, 0});
    program_.joints.push_back(std::move(routine));
  }

  // The state that a value replaces; -1 for none.
  int StateOf(const ir::Value* value) const {
    for (const auto& [output, input] : step_.aliases()) {
      if (step_.outputs()[output] == value) return StateIndex(program_, input->name());
    }
    return -1;
  }

  Operand Input(const ir::Node& node, const ir::Value* value) {
    if (value == nullptr) return {};
    const ir::Node* producer = value->producer();
    if (producer != nullptr && producer->op_type() == "Constant") {
      return {Space::kConstant, program_.ConstantOffset(producer->GetTensor("value"))};
    }
    if (producer != nullptr && shards_.PartOf(producer) < 0 &&
        KindOf(*producer) != NodeKind::kUpdate && KindOf(*producer) != NodeKind::kWithin) {
      return {Space::kShared, program_.SharedOffset(value)};
    }
    if (producer == nullptr && value->role() == ir::Role::kScalar) {
      if (value->name() == "step") return {Space::kScalar, program_.step_offset};
      for (const runtime::ScalarInput& scalar : program_.scalars) {
        if (scalar.name == value->name()) return {Space::kScalar, scalar.offset};
      }
    }
    const int state = producer == nullptr ? StateIndex(program_, value->name()) : -1;
    if (state >= 0) return {Space::kState, static_cast<uint64_t>(state)};
    throw Error(
        ErrorCode::kUnsupported,
        node.Describe() + ": " + node.op().FullName() +
            " outside of the shards has no kernel on the CPU for what is not shared by them");
  }

  const ir::Graph& step_;
  const Schedule& schedule_;
  const ShardParts& shards_;
  CompiledStep& program_;
};

}  // namespace

void EmitJointTasks(const ir::Graph& step, const Schedule& schedule, const ShardParts& shards,
                    CompiledStep& program) {
  JointTasks(step, schedule, shards, program).Emit();
}

void MarkReadersOfWhatChanges(runtime::StepProgram& program) {
  const auto changes = [&](const Operand& operand) {
    return operand.space == Space::kState && !program.states[operand.at].versioned &&
           IsUpdated(program, static_cast<int>(operand.at));
  };
  for (JointRoutine& joint : program.joints) {
    for (const runtime::Instruction& instruction : joint.instructions) {
      joint.reads_what_changes =
          joint.reads_what_changes || std::ranges::any_of(instruction.operands, changes);
    }
  }
}

}  // namespace ingot::compiler
