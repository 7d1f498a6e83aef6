// Puts gradients into buckets: see buckets.h.
#include "ingot/dist/buckets.h"

#include <algorithm>
#include <set>

#include "ingot/dist/operands.h"
#include "ingot/dist/sum_segments.h"

namespace ingot::dist {
namespace {

using runtime::Operand;
using runtime::Task;

constexpr uint64_t kMostBuckets = 8;

class Filler {
 public:
  Filler(const runtime::StepProgram& program, uint64_t bytes) : program_(program) {
    found_.of_unit.assign(program.units.size(), -1);
    FindLast();
    FindNeeded();
    uint64_t total = 0;
    for (size_t i = 0; i <= last_ && i < program.stages.size(); ++i) {
      for (const uint32_t unit : Deferred(i)) total += BytesOfSum(program.units[unit]);
    }
    bytes_ = std::max(bytes, total / kMostBuckets);
  }

  Buckets Run() {
    uint64_t filled = 0;
    std::vector<uint32_t> open;
    for (size_t i = 0; i <= last_ && i < program_.stages.size(); ++i) {
      for (const uint32_t unit : Deferred(i)) {
        open.push_back(unit);
        filled += BytesOfSum(program_.units[unit]);
        if (filled < bytes_) continue;
        for (const uint32_t member : open) {
          found_.of_unit[member] = static_cast<int>(found_.count());
        }
        found_.stage.push_back(i);
        open.clear();
        filled = 0;
      }
    }
    return std::move(found_);
  }

 private:
  bool IsReduction(const Task& task) const {
    return task.kind == Task::Kind::kTile && program_.units[task.index].kernel != nullptr;
  }

  // The stage of the last exchange, behind which parameters and state change.
  void FindLast() {
    for (size_t i = 0; i < program_.stages.size(); ++i) {
      for (const Task& task : program_.stages[i].tasks) {
        if (IsReduction(task)) last_ = i;
      }
    }
  }

  // Shared values that are read before that exchange has ended.
  void FindNeeded() {
    const auto need = [this](const Operand& operand) {
      if (operand.space == Operand::Space::kShared) needed_.insert(operand.at);
    };
    ForEachShardOperand(program_, need);
    for (size_t i = 0; i <= last_ && i < program_.stages.size(); ++i) {
      for (const Task& task : program_.stages[i].tasks) {
        if (task.kind == Task::Kind::kJoint) {
          ForEachOperand(program_.joints[task.index].instructions, need);
        } else if (task.kind == Task::Kind::kTile) {
          ForEachOperand(program_.units[task.index], need);
        }
      }
    }
  }

  // The gradients of a stage that nothing waits for within the step, those of the last layers
  // first.
  std::vector<uint32_t> Deferred(size_t stage) const {
    std::set<uint32_t> units;
    for (const Task& task : program_.stages[stage].tasks) {
      if (!IsReduction(task)) continue;
      const runtime::ReduceUnit& unit = program_.units[task.index];
      const bool is_waited_for =
          unit.shared >= 0 && needed_.count(static_cast<uint64_t>(unit.shared)) > 0;
      if (unit.sum < 0 && !is_waited_for && StateOfSum(program_, task.index) >= 0) {
        units.insert(task.index);
      }
    }
    std::vector<uint32_t> sorted(units.begin(), units.end());
    std::stable_sort(sorted.begin(), sorted.end(), [this](uint32_t a, uint32_t b) {
      return StateOfSum(program_, a) > StateOfSum(program_, b);
    });
    return sorted;
  }

  const runtime::StepProgram& program_;
  Buckets found_;
  size_t last_ = 0;
  uint64_t bytes_ = 0;
  std::set<uint64_t> needed_;
};

}  // namespace

Buckets MakeBuckets(const runtime::StepProgram& program, uint64_t bytes) {
  return Filler(program, bytes).Run();
}

}  // namespace ingot::dist
