// Binds the kernels of an inference plan to memory.
#include "ingot/compiler/inference_plan.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "backends/cpu/inference_kernels.h"
#include "ingot/base/align.h"
#include "ingot/base/error.h"
#include "ingot/compiler/flops.h"
#include "ingot/compiler/inference_passes.h"
#include "ingot/ops/node_kinds.h"
#include "ingot/passes/align_constants.h"
#include "ingot/passes/plan_memory.h"
#include "ingot/passes/rewrite.h"

namespace ingot::compiler {

namespace {

using ir::Node;
using ir::Value;

void CheckIsStatic(const ir::Graph& graph) {
  for (const Node* node : graph.nodes()) {
    for (const Value* output : node->outputs()) {
      if (output->type().is_static() && ItemSize(output->type().dtype()) > 0) continue;
      throw Error(ErrorCode::kUnsupported, node->Describe() + " gives " +
                                               output->type().ToString() +
                                               ", whose size is known only at run time");
    }
  }
}

}  // namespace

class InferencePlan::Emitter {
 public:
  Emitter(InferencePlan& plan, cpu::PackedWeights& weights)
      : plan_(plan), graph_(*plan.graph_), weights_(weights) {}

  void Emit() {
    PlaceOutputs();
    passes::MemoryPlanOptions options;
    for (const auto& entry : outputs_) options.placed_outside.insert(entry.first);
    memory_ = passes::PlanMemory(graph_, options);
    plan_.arena_bytes_ = memory_.arena_bytes;
    for (size_t i = 0; i < graph_.inputs().size(); ++i) {
      places_[graph_.inputs()[i]] = {Space::kInput, i};
    }
    for (const Node* node : graph_.nodes()) EmitNode(*node);
  }

 private:
  // An output's bytes, and what it is but a view of, are written where the caller wants them.
  void PlaceOutputs() {
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const Value* value = graph_.outputs()[i];
      plan_.outputs_.push_back({value->type().dtype(), value->type().shape()});
      outputs_[value] = i;
      while (ops::ShowsItsInput(value->producer())) {
        const Value* source = value->producer()->input(0);
        const bool ours = source->producer() != nullptr && source->uses().size() == 1 &&
                          !source->is_graph_output() && !passes::Is(source->producer(), "Constant");
        if (!ours) break;
        value = source;
        outputs_[value] = i;
      }
    }
  }

  Place PlaceOf(const Value* value) {
    if (value == nullptr) return {};
    const auto output = outputs_.find(value);
    if (output != outputs_.end()) return {Space::kOutput, output->second};
    const passes::Placement& placement = memory_.at(value);
    if (placement.in_arena) return {Space::kArena, placement.offset};
    const Value* storage = placement.storage;
    if (storage != value) return PlaceOf(storage);
    const auto known = places_.find(value);
    if (known != places_.end()) return known->second;
    const Tensor* constant = passes::ConstantOf(value);
    INGOT_ASSERT(constant != nullptr, "value '" + value->name() + "' has no place");
    // What was packed for this kernel is not read by it.
    if (!passes::IsAligned(*constant) && weights_.WasAsked(*constant)) return {};
    plan_.constants_.push_back(passes::IsAligned(*constant) ? *constant : constant->Clone());
    return places_[value] = {Space::kConstant, plan_.constants_.size() - 1};
  }

  void EmitNode(const Node& node) {
    if (passes::Is(&node, "Constant") || memory_.IsView(node)) return;
    if (ops::ShowsItsInput(&node)) {
      const Place from = PlaceOf(node.input(0)), to = PlaceOf(node.output());
      if (from.space == to.space && from.at == to.at) return;
    }
    Instruction instruction;
    weights_.ForgetAsked();
    instruction.kernel = cpu::MakeInferenceKernel(node, weights_);
    instruction.shared = dynamic_cast<const runtime::SharedKernel*>(instruction.kernel.get());
    instruction.first = static_cast<uint32_t>(plan_.operands_.size());
    for (const Value* value : node.inputs()) AddOperand(PlaceOf(value));
    for (const Value* value : node.outputs()) AddOperand(PlaceOf(value));
    instruction.count = static_cast<uint32_t>(plan_.operands_.size()) - instruction.first;
    plan_.scratch_bytes_ =
        std::max(plan_.scratch_bytes_, AlignUp(instruction.kernel->scratch_bytes()));
    plan_.kernels_.push_back({node.name().empty() ? node.output()->name() : node.name(),
                              node.op().FullName(), instruction.kernel->name(),
                              node.output()->type().ToString(), FlopsOf(node)});
    plan_.instructions_.push_back(std::move(instruction));
  }

  void AddOperand(Place place) {
    const auto operand = static_cast<uint32_t>(plan_.operands_.size());
    plan_.operands_.push_back(place);
    const Patch patch{operand, static_cast<uint32_t>(place.at)};
    if (place.space == Space::kInput) plan_.input_patches_.push_back(patch);
    if (place.space == Space::kOutput) plan_.output_patches_.push_back(patch);
  }

  InferencePlan& plan_;
  ir::Graph& graph_;
  cpu::PackedWeights& weights_;
  passes::MemoryPlan memory_;
  std::map<const Value*, size_t> outputs_;
  std::map<const Value*, Place> places_;
};

InferencePlan::InferencePlan(std::unique_ptr<ir::Graph> graph, const ir::OpRegistry& registry,
                             passes::PassRunner& passes, cpu::PackedWeights& weights)
    : graph_(std::move(graph)) {
  OptimizeForInference(*graph_, registry, passes);
  CheckIsStatic(*graph_);
  Emitter(*this, weights).Emit();
}

InferencePlan::~InferencePlan() = default;

InferencePlan::Context::Context(const InferencePlan& plan, size_t threads) {
  memory_ = AllocateBytes(plan.arena_bytes_ + plan.scratch_bytes_ * threads + kAlignment);
  scratch_ = memory_.get() + plan.arena_bytes_;
  for (const Place& place : plan.operands_) {
    void* pointer = nullptr;
    if (place.space == Space::kArena) pointer = memory_.get() + place.at;
    if (place.space == Space::kConstant) {
      pointer = const_cast<std::byte*>(plan.constants_[place.at].raw());
    }
    operands_.push_back(pointer);
  }
}

void InferencePlan::Instruction::Run(void* const* operands, std::byte* scratch, size_t stride,
                                     runtime::Team& team) const {
  const std::span<void* const> own(operands + first, count);
  if (shared != nullptr) {
    shared->RunShared(own, scratch, stride, team);
  } else {
    kernel->Run(own, scratch);
  }
}

void InferencePlan::Run(Context& context, std::span<const void* const> inputs,
                        std::span<void* const> outputs, runtime::Team& team,
                        std::span<int64_t> nanoseconds) const {
  void** operands = context.operands_.data();
  for (const Patch& patch : input_patches_) {
    operands[patch.operand] = const_cast<void*>(inputs[patch.index]);
  }
  for (const Patch& patch : output_patches_) operands[patch.operand] = outputs[patch.index];
  if (nanoseconds.empty()) {
    for (const Instruction& each : instructions_) {
      each.Run(operands, context.scratch_, scratch_bytes_, team);
    }
    return;
  }
  using Clock = std::chrono::steady_clock;
  auto before = Clock::now();
  for (size_t i = 0; i < instructions_.size(); ++i) {
    instructions_[i].Run(operands, context.scratch_, scratch_bytes_, team);
    const auto after = Clock::now();
    nanoseconds[i] += std::chrono::duration_cast<std::chrono::nanoseconds>(after - before).count();
    before = after;
  }
}

}  // namespace ingot::compiler
