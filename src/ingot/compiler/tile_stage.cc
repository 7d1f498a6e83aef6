// Turns reductions over shards and the updates behind them into units and tiles.
#include "ingot/compiler/tile_stage.h"

#include <algorithm>
#include <map>

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

class TileStage {
 public:
  TileStage(const ir::Graph& step, ShardStage& shards, CompiledStep& program)
      : step_(step), shards_(shards), program_(program) {}

  void Emit() {
    for (const ir::Node* node : step_.nodes()) {
      const std::string op = node->op().FullName();
      if (op == "ingot.TreeReduce") {
        AddUnit(*node);
      } else if (op != "ingot.ShardMap" && op != "ingot.ShardMatMul" && op != "Constant" &&
                 !IsUpdate(*node)) {
        throw Error(ErrorCode::kUnsupported,
                    node->Describe() + ": " + op +
                        " outside of the shards has no kernel on the CPU yet");
      } else if (IsUpdate(*node) && !IsSumOverShards(node->input(1))) {
        throw Error(ErrorCode::kUnsupported,
                    node->Describe() + ": " + op +
                        " by what is no sum over the shards has no kernel on the CPU yet");
      }
    }
    CheckOutputs();
    AddRows();
    // Long tiles first, so that none is left over at the end.
    std::stable_sort(program_.tiles.begin(), program_.tiles.end(),
                     [this](const runtime::TileTask& a, const runtime::TileTask& b) {
                       return Weight(a) > Weight(b);
                     });
  }

 private:
  static bool IsUpdate(const ir::Node& node) {
    return cpu::MakeUpdateKernel(node) != nullptr;
  }

  static bool IsSumOverShards(const ir::Value* value) {
    return value != nullptr && value->producer() != nullptr &&
           value->producer()->op().FullName() == "ingot.TreeReduce";
  }

  bool IsRows(const ir::Value* value) const {
    return value->producer() == &shards_.map() &&
           shards_.map().GetInts("output_kinds").at(static_cast<size_t>(value->output_index())) ==
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
      if (IsRows(value) || (value->producer() != nullptr && IsUpdate(*value->producer()))) continue;
      throw Error(ErrorCode::kUnsupported,
                  what + "is no sum over the shards, no rows of them and no update");
    }
  }

  double Weight(const runtime::TileTask& tile) const {
    const runtime::ReduceUnit& unit = program_.units[tile.unit];
    const double elements = static_cast<double>((tile.end - tile.begin) * unit.row_elements);
    return unit.slot_values.size() > 1 ? elements * static_cast<double>(program_.batch) : elements;
  }

  void AddUnit(const ir::Node& reduce) {
    const ir::Value* stacked = reduce.input(0);
    const ir::Value* result = reduce.output();
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
      unit.slot_values = {Slot(producer->input(0)), Slot(producer->input(1))};
      program_.plan.flops += 2.0 * static_cast<double>(shards_.batch() * shape.size());
    } else {
      request.rows = result->type().shape().size();
      unit.slot_values = {Slot(stacked)};
    }
    request.largest_rows = (shards_.batch() + shards_.shards() - 1) / shards_.shards();
    unit.rows = request.rows;
    unit.row_elements = request.row_elements;
    unit.item_size = ItemSize(request.dtype);
    unit.kernel = cpu::MakeReduceKernel(request);
    unit.name = result->name();
    const std::vector<std::string> sums = SumNames(result);
    for (size_t i = 1; i < sums.size(); ++i) {
      runtime::ReduceUnit again = unit;
      AddSum(sums[i], again, request.dtype);
      AddTiles(again, request);
      program_.units.push_back(std::move(again));
    }
    if (!sums.empty()) AddSum(sums[0], unit, request.dtype);
    for (const ir::Value::Use& use : result->uses()) AddUpdate(*use.node, result, unit);
    program_.scratch_bytes = std::max<uint64_t>(program_.scratch_bytes, unit.kernel->scratch_bytes());
    AddTiles(unit, request);
    program_.units.push_back(std::move(unit));
  }

  uint32_t Slot(const ir::Value* value) {
    const int slot = shards_.SlotValueOf(value);
    if (slot < 0) {
      throw Error(ErrorCode::kUnsupported, "value '" + value->name() +
                                               "' is reduced over shards but does not come from them");
    }
    return static_cast<uint32_t>(slot);
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
    if (name == "loss_sum") program_.finite_checks.push_back({unit.slot_values[0], dtype});
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
      if (step_.outputs()[output] != value) continue;
      const int state = StateIndex(program_, input->name());
      INGOT_ASSERT(state >= 0, "'" + input->name() + "' is no state of the step");
      Push(update, {Space::kState, static_cast<uint64_t>(state)}, true, true);
      return;
    }
    throw Error(ErrorCode::kInvalidInput,
                node.Describe() + ": its output '" + value->name() +
                    "' replaces no parameter or state of the step graph");
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

  void AddTiles(const runtime::ReduceUnit& unit, const cpu::ReduceRequest& request) {
    int64_t rows = std::max<int64_t>(kFlatTileElements / unit.row_elements, 1);
    if (request.product) {
      const double row_flops = 2.0 * static_cast<double>(shards_.batch() * unit.row_elements);
      rows = static_cast<int64_t>(kTileFlops / row_flops) / kTileRowUnit * kTileRowUnit;
      rows = std::max(rows, kTileRowUnit);
    }
    for (int64_t begin = 0; begin < unit.rows; begin += rows) {
      program_.tiles.push_back({static_cast<uint32_t>(program_.units.size()), begin,
                                std::min(begin + rows, unit.rows)});
    }
    const int64_t largest = std::min(rows, unit.rows) * unit.row_elements;
    program_.tile_bytes =
        std::max<uint64_t>(program_.tile_bytes, static_cast<uint64_t>(largest) * unit.item_size);
  }

  // Outputs that are rows of the ShardMap itself.
  void AddRows() {
    for (size_t i = 0; i < step_.outputs().size(); ++i) {
      const ir::Value* value = step_.outputs()[i];
      if (value->producer() != &shards_.map()) continue;
      const int slot = shards_.SlotValueOf(value);
      program_.rows.push_back({step_.output_names()[i], static_cast<uint32_t>(slot),
                               value->type().dtype(), value->type().shape()});
    }
  }

  const ir::Graph& step_;
  ShardStage& shards_;
  CompiledStep& program_;
  std::map<std::string, uint32_t> derived_;
};

}  // namespace

void EmitTileStage(const ir::Graph& step, ShardStage& shards, CompiledStep& program) {
  TileStage(step, shards, program).Emit();
}

}  // namespace ingot::compiler
