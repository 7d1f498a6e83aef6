// Turns reductions over shards and the updates behind them into units and tiles.
#include "ingot/compiler/tile_tasks.h"

#include <algorithm>
#include <map>
#include <set>

#include "backends/cpu/kernel_table.h"
#include "ingot/base/error.h"
#include "ingot/ops/shard_map.h"

namespace ingot::compiler {
namespace {

using runtime::Operand;
using Space = runtime::Operand::Space;

// A tile should take a few microseconds: long against claiming it, short against a step.
constexpr double kTileFlops = 600e3;
constexpr int64_t kFlatTileElements = 2048;
// Rows of a tile come in multiples of a cache line of the product's left side.
constexpr int64_t kTileRowUnit = 16;

class TileTasks {
 public:
  TileTasks(const ir::Graph& step, const Schedule& schedule, ShardParts& shards,
            CompiledStep& program)
      : step_(step), schedule_(schedule), shards_(shards), program_(program) {}

  void Emit() {
    for (const ir::Node* node : step_.nodes()) {
      const NodeKind kind = KindOf(*node);
      if (kind == NodeKind::kReduce) AddUnit(*node);
      if (kind == NodeKind::kUpdate && schedule_.fused.count(node) == 0) AddLateUpdate(*node);
    }
    CheckOutputs();
    AddRows();
    for (runtime::Stage& stage : program_.stages) {
      // Long tiles first, so that none is left over at the end.
      std::stable_sort(
          stage.tasks.begin(), stage.tasks.end(),
          [this](const runtime::Task& a, const runtime::Task& b) { return Weight(a) > Weight(b); });
    }
  }

 private:
  static bool IsSumOverShards(const ir::Value* value) {
    return value != nullptr && value->producer() != nullptr &&
           value->producer()->op().FullName() == "ingot.TreeReduce";
  }

  bool IsRows(const ir::Value* value) const {
    const ir::Node* producer = value->producer();
    if (producer != nullptr && producer->op().FullName() == "ingot.MeshPass") return true;
    return shards_.PartOf(value->producer()) >= 0 &&
           value->producer()
                   ->GetInts("output_kinds")
                   .at(static_cast<size_t>(value->output_index())) ==
               static_cast<int64_t>(ops::ShardOutput::kRows);
  }

  // Nothing that the graph gives may be left out in silence.
  void CheckOutputs() const {
    for (size_t i = 0; i < step_.outputs().size(); ++i) {
      const ir::Value* value = step_.outputs()[i];
      const std::string what = "output '" + step_.output_names()[i] + "' of the step graph ";
      if (IsSumOverShards(value)) {
        if (value->type().shape().size() == 1) continue;
        throw Error(ErrorCode::kUnsupported, what + "is " + value->type().ToString() +
                                                 "; of sums over the shards only scalars come out");
      }
      if (IsRows(value) || step_.aliases().count(i) > 0) continue;
      throw Error(ErrorCode::kUnsupported,
                  what + "is no sum over the shards, no rows of them and no update");
    }
  }

  double Weight(const runtime::Task& tile) const {
    const runtime::ReduceUnit& unit = program_.units[tile.index];
    const int64_t rows = tile.end - tile.begin;
    if (unit.slot_values.size() == 1) return static_cast<double>(rows * unit.row_elements);
    // Products take whole vectors of a row, and of bytes those alone that are not zero.
    constexpr int64_t kVector = 16;
    const int64_t row = (unit.row_elements + kVector - 1) / kVector * kVector;
    const double products = static_cast<double>(rows * row * program_.batch);
    return byte_products_.count(tile.index) > 0 ? products / 4 : products;
  }

  void AddUnit(const ir::Node& reduce) {
    const ir::Value* stacked = reduce.input(0);
    const ir::Value* result = reduce.output();
    runtime::Stage& stage = program_.stages[schedule_.stage.at(&reduce)];
    runtime::ReduceUnit unit;
    cpu::ReduceRequest request;
    request.dtype = result->type().dtype();
    request.shards = shards_.shards();
    const ir::Node* producer = stacked->producer();
    if (producer != nullptr && producer->op().FullName() == "ingot.ShardMatMul") {
      request.product = true;
      const Shape shape = result->type().shape();
      request.rows = shape[0];
      request.row_elements = shape[1];
      request.bytes = producer->input(0)->type().dtype() == DType::kU8;
      request.byte_scale = static_cast<float>(producer->GetFloat("x_scale"));
      unit.slot_values = {Slot(producer->input(0)), Slot(producer->input(1))};
      program_.plan.flops += 2.0 * static_cast<double>(shards_.batch() * shape.size());
    } else {
      request.rows = result->type().shape().size();
      unit.slot_values = {Slot(stacked)};
    }
    request.largest_rows = (shards_.batch() + shards_.shards() - 1) / shards_.shards();
    unit.rows = request.rows;
    unit.row_elements = request.row_elements;
    unit.dtype = request.dtype;
    unit.item_size = ItemSize(request.dtype);
    unit.kernel = cpu::MakeReduceKernel(request);
    unit.name = result->name();
    const std::vector<std::string> sums = SumNames(result);
    for (size_t i = 1; i < sums.size(); ++i) {
      runtime::ReduceUnit again = unit;
      AddSum(sums[i], again, request.dtype);
      AddTiles(again, stage, request.product, cpu::RowsAtOnce(request));
      program_.units.push_back(std::move(again));
    }
    if (!sums.empty()) AddSum(sums[0], unit, request.dtype);
    if (request.bytes) byte_products_.insert(program_.units.size());
    for (const ir::Value::Use& use : result->uses()) {
      if (schedule_.fused.count(use.node) > 0) {
        AddUpdate(*use.node, use.node->input(1), unit);
        stage.updates = true;
      } else {
        unit.shared = static_cast<int64_t>(program_.SharedOffset(result));
      }
    }
    program_.scratch_bytes =
        std::max<uint64_t>(program_.scratch_bytes, unit.kernel->scratch_bytes());
    AddTiles(unit, stage, request.product, cpu::RowsAtOnce(request));
    program_.units.push_back(std::move(unit));
  }

  // An update that waits for more than its gradient, which lies in shared memory by then.
  void AddLateUpdate(const ir::Node& node) {
    const ir::Value* gradient = GradientOf(node);
    const ir::Node* scaling = node.input(1)->producer();
    runtime::ReduceUnit unit;
    unit.source = {Space::kShared, program_.SharedOffset(gradient)};
    if (gradient != node.input(1)) {
      unit.scale = {Space::kShared, program_.SharedOffset(scaling->input(1))};
    }
    unit.dtype = gradient->type().dtype();
    unit.item_size = ItemSize(unit.dtype);
    unit.rows = gradient->type().shape().size();
    unit.name = gradient->name();
    AddUpdate(node, node.input(1), unit);
    runtime::Stage& stage = program_.stages[schedule_.stage.at(&node)];
    stage.updates = true;
    AddTiles(unit, stage, false, 0);
    program_.units.push_back(std::move(unit));
  }

  runtime::SlotValue Slot(const ir::Value* value) {
    const auto slot = shards_.SlotValueOf(value);
    if (!slot) {
      throw Error(
          ErrorCode::kUnsupported,
          "value '" + value->name() + "' is reduced over shards but does not come from them");
    }
    return *slot;
  }

  // The names under which the graph gives a value.
  std::vector<std::string> SumNames(const ir::Value* result) const {
    std::vector<std::string> names;
    for (size_t i = 0; i < step_.outputs().size(); ++i) {
      if (step_.outputs()[i] == result) names.push_back(step_.output_names()[i]);
    }
    return names;
  }

  void AddSum(const std::string& name, runtime::ReduceUnit& unit, DType dtype) {
    unit.sum = static_cast<int>(program_.sums.size());
    unit.name = name;
    program_.sums.push_back(name);
    if (name != "loss_sum") return;
    const runtime::SlotValue loss = unit.slot_values[0];
    program_.parts[loss.part].finite_checks.push_back({loss.index, dtype});
  }

  void AddUpdate(const ir::Node& node, const ir::Value* gradient, runtime::ReduceUnit& unit) {
    runtime::UpdateInstruction update;
    update.kernel = cpu::MakeUpdateKernel(node);
    if (update.kernel == nullptr) {
      throw Error(ErrorCode::kUnsupported, node.Describe() + ": " + node.op().FullName() +
                                               " of a gradient has no kernel on the CPU yet");
    }
    update.item_size = unit.item_size;
    for (const ir::Value* value : node.inputs()) AddInput(value, gradient, update);
    for (ir::Value* value : node.outputs()) AddOutput(node, value, update);
    update.derived = DerivedIndex(node, *update.kernel);
    if (unit.name.empty()) unit.name = node.input(0)->name();  // gradients have none
    unit.updates.push_back(std::move(update));
    program_.updates = true;
  }

  void AddInput(const ir::Value* value, const ir::Value* gradient,
                runtime::UpdateInstruction& update) {
    Operand operand;
    bool advances = false;
    if (value == gradient) {
      operand = {Space::kTile, 0};
    } else if (value != nullptr && value->role() == ir::Role::kScalar) {
      operand = {Space::kScalar, ScalarOffset(value->name())};
    } else if (value != nullptr && value->producer() != nullptr) {
      operand = {Space::kShared, program_.SharedOffset(value)};
      advances = value->type().shape().size() > 1;
    } else if (value != nullptr) {
      const int state = StateIndex(program_, value->name());
      INGOT_ASSERT(state >= 0, "'" + value->name() + "' is no state of the step");
      operand = {Space::kState, static_cast<uint64_t>(state)};
      advances = true;
    }
    Push(update, operand, advances, false);
  }

  void AddOutput(const ir::Node& node, const ir::Value* value, runtime::UpdateInstruction& update) {
    for (const auto& [output, input] : step_.aliases()) {
      const ir::Value* given = step_.outputs()[output];
      const ir::Node* choice = given->producer();
      const bool may_skip = choice != nullptr &&
                            choice->op().FullName() == "ingot.KeepWhenSkipped" &&
                            choice->input(2) == value;
      if (given != value && !may_skip) continue;
      const int state = StateIndex(program_, input->name());
      INGOT_ASSERT(state >= 0, "'" + input->name() + "' is no state of the step");
      Push(update, {Space::kState, static_cast<uint64_t>(state)}, true, true);
      if (may_skip) update.skip = Skip(choice->input(0));
      return;
    }
    throw Error(ErrorCode::kInvalidInput, node.Describe() + ": its output '" + value->name() +
                                              "' replaces no parameter or state of the step graph");
  }

  // Where it stands whether an update is skipped.
  Operand Skip(const ir::Value* value) {
    if (value->producer() != nullptr) return {Space::kShared, program_.SharedOffset(value)};
    return {Space::kScalar, ScalarOffset(value->name())};
  }

  static void Push(runtime::UpdateInstruction& update, Operand operand, bool advances,
                   bool output) {
    update.operands.push_back(operand);
    update.advances.push_back(advances ? 1 : 0);
    update.is_output.push_back(output ? 1 : 0);
  }

  uint64_t ScalarOffset(const std::string& name) const {
    if (name == "step") return program_.step_offset;
    for (const runtime::ScalarInput& scalar : program_.scalars) {
      if (scalar.name == name) return scalar.offset;
    }
    throw Error(ErrorCode::kInvalidInput, "'" + name + "' is no scalar of the step graph");
  }

  // Updates with equal attributes and scalars share what they derive from the step.
  uint32_t DerivedIndex(const ir::Node& node, const runtime::UpdateKernel& kernel) {
    if (kernel.derived_count() == 0) return 0;
    std::string key = node.op().FullName();
    for (const auto& [name, value] : node.attributes()) key += name + "=" + ir::ToString(value);
    for (const ir::Value* value : node.inputs()) {
      if (value != nullptr && value->role() == ir::Role::kScalar) key += " " + value->name();
    }
    const auto [entry, added] = derived_.emplace(key, program_.derived_count);
    if (added) program_.derived_count += static_cast<uint32_t>(kernel.derived_count());
    return entry->second;
  }

  // `rows_at_once`: what the kernel of a product does best, or 0.
  void AddTiles(const runtime::ReduceUnit& unit, runtime::Stage& stage, bool product,
                int64_t rows_at_once) {
    int64_t rows = std::max<int64_t>(kFlatTileElements / unit.row_elements, 1);
    if (product) {
      const double row_flops = 2.0 * static_cast<double>(shards_.batch() * unit.row_elements);
      rows = static_cast<int64_t>(kTileFlops / row_flops) / kTileRowUnit * kTileRowUnit;
      rows = std::max({rows, kTileRowUnit, rows_at_once});
    }
    for (int64_t begin = 0; begin < unit.rows; begin += rows) {
      stage.tasks.push_back({runtime::Task::Kind::kTile,
                             static_cast<uint32_t>(program_.units.size()), begin,
                             std::min(begin + rows, unit.rows)});
    }
    const int64_t largest = std::min(rows, unit.rows) * unit.row_elements;
    program_.tile_bytes =
        std::max<uint64_t>(program_.tile_bytes, static_cast<uint64_t>(largest) * unit.item_size);
  }

  // Outputs that are rows of a ShardMap itself.
  void AddRows() {
    for (size_t i = 0; i < step_.outputs().size(); ++i) {
      const ir::Value* value = step_.outputs()[i];
      if (!IsRows(value)) continue;
      program_.rows.push_back(
          {step_.output_names()[i], Slot(value), value->type().dtype(), value->type().shape()});
    }
  }

  const ir::Graph& step_;
  const Schedule& schedule_;
  ShardParts& shards_;
  CompiledStep& program_;
  std::set<size_t> byte_products_;  // units whose left side is bytes
  std::map<std::string, uint32_t> derived_;
};

}  // namespace

void EmitTileTasks(const ir::Graph& step, const Schedule& schedule, ShardParts& shards,
                   CompiledStep& program) {
  TileTasks(step, schedule, shards, program).Emit();
}

}  // namespace ingot::compiler
