// Segments of plans: see sum_segments.h.
#include "ingot/dist/sum_segments.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace ingot::dist {

using runtime::Operand;
using runtime::ReduceUnit;

std::string NameOfSum(const runtime::StepProgram& program, size_t index) {
  const ReduceUnit& unit = program.units[index];
  if (!unit.name.empty()) return unit.name;
  const int state = StateOfSum(program, index);
  return state >= 0 ? program.states[static_cast<size_t>(state)].name
                    : "sum " + std::to_string(index);
}

int StateOfSum(const runtime::StepProgram& program, size_t index) {
  const ReduceUnit& unit = program.units[index];
  const auto is_user = [&](const ReduceUnit& user) {
    return &user == &unit || (unit.shared >= 0 && user.source.space == Operand::Space::kShared &&
                              user.source.at == static_cast<uint64_t>(unit.shared));
  };
  for (const ReduceUnit& user : program.units) {
    if (!is_user(user)) continue;
    for (const runtime::UpdateInstruction& update : user.updates) {
      for (size_t i = 0; i < update.operands.size(); ++i) {
        const Operand& operand = update.operands[i];
        if (update.is_output[i] != 0 && operand.space == Operand::Space::kState) {
          return static_cast<int>(operand.at);
        }
      }
    }
  }
  return -1;
}

void AddOwnedSegments(const runtime::StepProgram& program, const Ownership& ownership,
                      const std::vector<runtime::Task>& reductions, int workers, ExchangePlan& plan,
                      std::vector<int64_t>& segment_of) {
  std::map<int, uint32_t> units;  // by their group
  for (const runtime::Task& task : reductions) {
    const int group = ownership.group_of_unit[task.index];
    if (group >= 0) units.emplace(group, task.index);
  }
  if (units.empty()) return;
  plan.common_bytes = plan.bytes;
  for (const auto& [group, index] : units) {
    const ReduceUnit& unit = program.units[index];
    segment_of[index] = static_cast<int64_t>(
        plan.AddSegment(NameOfSum(program, index), unit.dtype, BytesOfSum(unit)));
  }
  plan.owned_begin.assign(static_cast<size_t>(workers) + 1, plan.bytes);
  for (auto rank = static_cast<size_t>(workers); rank-- > 0;) {
    uint64_t& begin = plan.owned_begin[rank];
    begin = plan.owned_begin[rank + 1];
    for (const auto& [group, index] : units) {
      const ElementRange own = ownership.groups[static_cast<size_t>(group)].own[rank];
      if (own.size() == 0) continue;
      const auto& segment = plan.segments[static_cast<size_t>(segment_of[index])];
      begin = std::min(begin, segment.offset + static_cast<uint64_t>(own.begin) *
                                                   program.units[index].item_size);
    }
  }
  plan.owned_begin[0] = plan.common_bytes;
}

GatherPlan MakeGatherPlan(const runtime::StepProgram& program, const Ownership& ownership,
                          int workers) {
  GatherPlan plan;
  plan.flags = MakeExchangePlan(DealShards(workers, workers), workers);
  plan.name = "the updated parameters";
  for (const UpdateGroup& group : ownership.groups) {
    for (const uint32_t state : group.states) {
      if (Ownership::IsPart(program, ownership, state)) continue;
      const uint64_t size = ItemSize(program.states[state].dtype);
      for (int rank = 0; rank < workers; ++rank) {
        const ElementRange own = group.own[static_cast<size_t>(rank)];
        if (own.size() == 0) continue;
        plan.pieces.push_back({state, rank, static_cast<uint64_t>(own.begin) * size,
                               static_cast<uint64_t>(own.end) * size});
      }
    }
  }
  std::stable_sort(plan.pieces.begin(), plan.pieces.end(),
                   [](const GatherPlan::Piece& a, const GatherPlan::Piece& b) {
                     return std::tie(a.owner, a.state) < std::tie(b.owner, b.state);
                   });
  return plan;
}

}  // namespace ingot::dist
