// Finds the groups of a program's updates and deals them: see ownership.h.
#include "ingot/dist/ownership.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/dist/operands.h"

namespace ingot::dist {
namespace {

using runtime::Operand;
using runtime::Task;

constexpr int64_t kLine = 64;
constexpr int kNobody = -1;
constexpr int kAll = -2;  // several groups, or what is no group's

class Dealer {
 public:
  Dealer(const runtime::StepProgram& program, int workers, uint64_t bucket_bytes)
      : program_(program), workers_(workers) {
    found_.buckets = MakeBuckets(program, bucket_bytes);
    found_.group_of_state.assign(program.states.size(), -1);
    found_.group_of_unit.assign(program.units.size(), -1);
    found_.group_of_joint.assign(program.joints.size(), -1);
  }

  Ownership Run() {
    FindGroups();
    SortGroups();
    FindUses();
    CheckStates();
    Deal();
    return std::move(found_);
  }

 private:
  UpdateGroup& group(int index) { return found_.groups[static_cast<size_t>(index)]; }

  // One for each parameter that a tile's update writes.
  void FindGroups() {
    for (size_t u = 0; u < program_.units.size(); ++u) {
      const runtime::ReduceUnit& unit = program_.units[u];
      if (unit.updates.empty()) continue;
      UpdateGroup made;
      for (const runtime::UpdateInstruction& update : unit.updates) {
        for (size_t i = 0; i < update.operands.size(); ++i) {
          const Operand& operand = update.operands[i];
          if (operand.space == Operand::Space::kState && update.is_output[i] != 0) {
            made.states.push_back(static_cast<uint32_t>(operand.at));
          }
        }
      }
      INGOT_ASSERT(!made.states.empty(), "an update that changes nothing");
      made.parameter = made.states[0];
      made.elements = unit.rows * unit.row_elements;
      made.item_size = unit.item_size;
      for (const uint32_t state : made.states) {
        if (program_.states[state].shape.size() != made.elements) made.whole = true;
      }
      found_.groups.push_back(std::move(made));
      unit_of_group_.push_back(u);
    }
  }

  // In the order of the states, which is that of their memory and the same in all programs of a
  // job.
  void SortGroups() {
    std::vector<size_t> order(found_.groups.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [this](size_t a, size_t b) {
      return found_.groups[a].parameter < found_.groups[b].parameter;
    });
    std::vector<UpdateGroup> groups;
    for (const size_t i : order) {
      const int index = static_cast<int>(groups.size());
      groups.push_back(std::move(found_.groups[i]));
      found_.group_of_unit[unit_of_group_[i]] = index;
      for (const uint32_t state : groups.back().states) {
        int& known = found_.group_of_state[state];
        if (known >= 0) FailShared(state);
        known = index;
      }
    }
    found_.groups = std::move(groups);
  }

  [[noreturn]] void FailShared(size_t state) const {
    throw Error(ErrorCode::kUnsupported,
                "train.shard_optimizer: '" + program_.states[state].name +
                    "' belongs to the updates of several parameters",
                "leave train.shard_optimizer out");
  }

  // Who needs a shared value, by its offset: a group, or all.
  void Need(const Operand& operand, int by) {
    if (operand.space != Operand::Space::kShared) return;
    const auto [entry, added] = needed_by_.emplace(operand.at, by);
    if (!added && entry->second != by) entry->second = kAll;
  }
  int NeedOf(uint64_t shared) const {
    const auto found = needed_by_.find(shared);
    return found == needed_by_.end() ? kNobody : found->second;
  }

  // From the last stage to the first: joint tasks and reductions that one group alone needs are
  // that group's.
  void FindUses() {
    ForEachShardOperand(program_, [this](const Operand& operand) { Need(operand, kAll); });
    for (size_t i = program_.stages.size(); i-- > 0;) {
      // Updates first: they say which group a joint task beside them stores for.
      std::set<uint32_t> seen;
      for (const Task& task : program_.stages[i].tasks) {
        if (task.kind == Task::Kind::kTile && seen.insert(task.index).second) {
          UseUnit(task.index, i);
        }
      }
      for (const Task& task : program_.stages[i].tasks) {
        if (task.kind == Task::Kind::kJoint) UseJoint(task.index);
      }
    }
  }

  void UseUnit(uint32_t index, size_t stage) {
    const runtime::ReduceUnit& unit = program_.units[index];
    int& owner = found_.group_of_unit[index];
    if (unit.kernel != nullptr && unit.shared >= 0) {
      // Summed for joint tasks and updates of later stages.
      INGOT_ASSERT(unit.updates.empty(), "a gradient is updated with and shared");
      const int need = NeedOf(static_cast<uint64_t>(unit.shared));
      if (need >= 0 && unit.sum < 0) {
        owner = need;
        PutReduction(need, index, stage);
      }
      return;
    }
    if (owner >= 0 && unit.kernel != nullptr) PutReduction(owner, index, stage);
    const int by = owner >= 0 ? owner : kAll;
    ForEachOperand(unit, [&](const Operand& operand) { Need(operand, by); });
  }

  void PutReduction(int owner, uint32_t unit, size_t stage) {
    group(owner).stage = stage;
    group(owner).bucket = found_.buckets.of_unit[unit];
  }

  void UseJoint(uint32_t index) {
    const runtime::JointRoutine& joint = program_.joints[index];
    int need = kNobody;
    for (const runtime::JointRoutine::Publication& publication : joint.publications) {
      if (publication.to.space != Operand::Space::kShared) continue;
      const int by = NeedOf(publication.to.at);
      if (by == kNobody) continue;
      need = need == kNobody || need == by ? by : kAll;
    }
    // What is only stored belongs to whom the new value comes from: see below.
    if (need == kNobody) need = StoredFor(joint);
    const int by = need < 0 ? kAll : need;
    ForEachOperand(joint.instructions, [&](const Operand& operand) { Need(operand, by); });
    if (need < 0) return;
    found_.group_of_joint[index] = need;
    UpdateGroup& owner = group(need);
    owner.whole = true;
    for (const runtime::JointRoutine::Publication& publication : joint.publications) {
      if (publication.to.space == Operand::Space::kState) Take(publication.to.at, need);
    }
  }

  // The group whose state tensor a joint task stores what another has made (KeepWhenSkipped of a
  // LAMB moment, say): that of the tasks that read the tensor besides; kAll where there is none.
  int StoredFor(const runtime::JointRoutine& joint) const {
    for (const runtime::JointRoutine::Publication& publication : joint.publications) {
      if (publication.to.space != Operand::Space::kState) continue;
      const int group = ReaderOf(publication.to.at);
      if (group >= 0) return group;
    }
    return kAll;
  }

  // The group of a joint task that reads a state tensor and whose result goes to an update.
  int ReaderOf(uint64_t state) const {
    for (const runtime::JointRoutine& joint : program_.joints) {
      if (!Reads(joint, state)) continue;
      for (const runtime::JointRoutine::Publication& publication : joint.publications) {
        if (publication.to.space != Operand::Space::kShared) continue;
        const int by = NeedOf(publication.to.at);
        if (by >= 0) return by;
      }
    }
    return kAll;
  }
  static bool Reads(const runtime::JointRoutine& joint, uint64_t state) {
    bool reads = false;
    ForEachOperand(joint.instructions, [&](const Operand& operand) {
      reads = reads || (operand.space == Operand::Space::kState && operand.at == state);
    });
    return reads;
  }

  void Take(uint64_t state, int by) {
    int& known = found_.group_of_state[state];
    if (known == by) return;
    if (known >= 0) FailShared(state);
    known = by;
    group(by).states.push_back(static_cast<uint32_t>(state));
  }

  // Nobody else may read what one worker alone holds.
  void CheckStates() const {
    for (size_t j = 0; j < program_.joints.size(); ++j) {
      for (size_t state = 0; state < program_.states.size(); ++state) {
        if (!Ownership::IsPart(program_, found_, state)) continue;
        const bool same = found_.group_of_joint[j] == found_.group_of_state[state];
        if (!same && Reads(program_.joints[j], state)) FailShared(state);
      }
    }
    for (size_t u = 0; u < program_.units.size(); ++u) {
      for (const runtime::UpdateInstruction& update : program_.units[u].updates) {
        for (const Operand& operand : update.operands) {
          if (operand.space != Operand::Space::kState) continue;
          if (!Ownership::IsPart(program_, found_, operand.at)) continue;
          if (found_.group_of_unit[u] != found_.group_of_state[operand.at]) FailShared(operand.at);
        }
      }
    }
  }

  // Cuts the groups of each exchange, laid out one behind the other, into parts of equal size.
  void Deal() {
    std::map<std::pair<int, size_t>, std::vector<UpdateGroup*>> exchanges;
    for (UpdateGroup& group : found_.groups) {
      const size_t stage = group.bucket < 0 ? group.stage : 0;
      exchanges[{group.bucket, stage}].push_back(&group);
    }
    for (const auto& [exchange, groups] : exchanges) {
      int64_t lines = 0;
      for (const UpdateGroup* group : groups) lines += LinesOf(*group);
      int64_t at = 0;
      for (UpdateGroup* group : groups) {
        const int64_t end = at + LinesOf(*group);
        for (int rank = 0; rank < workers_; ++rank) {
          group->own.push_back({ElementAt(*group, at, lines * rank / workers_),
                                ElementAt(*group, at, lines * (rank + 1) / workers_)});
        }
        at = end;
      }
    }
  }

  static int64_t LinesOf(const UpdateGroup& group) {
    const auto bytes = group.elements * static_cast<int64_t>(group.item_size);
    return (bytes + kLine - 1) / kLine;
  }
  // Where a cut at line `cut` falls in a group that begins at line `begin`.
  static int64_t ElementAt(const UpdateGroup& group, int64_t begin, int64_t cut) {
    const int64_t lines = LinesOf(group);
    int64_t line = std::clamp<int64_t>(cut - begin, 0, lines);
    if (group.whole) line = 2 * line < lines ? 0 : lines;
    return std::min(group.elements, line * kLine / static_cast<int64_t>(group.item_size));
  }

  const runtime::StepProgram& program_;
  const int workers_;
  Ownership found_;
  std::vector<size_t> unit_of_group_;
  std::map<uint64_t, int> needed_by_;  // by the offset of a shared value
};

}  // namespace

Ownership DealUpdates(const runtime::StepProgram& program, int workers, uint64_t bucket_bytes) {
  return Dealer(program, workers, bucket_bytes).Run();
}

runtime::StateTensor PartOfState(const runtime::StepProgram& program, const Ownership& ownership,
                                 size_t state, int rank) {
  runtime::StateTensor part = program.states[state];
  if (!Ownership::IsPart(program, ownership, state)) return part;
  const UpdateGroup& group = ownership.groups[static_cast<size_t>(ownership.group_of_state[state])];
  const ElementRange own = group.own[static_cast<size_t>(rank)];
  if (own.size() == group.elements) return part;
  if (group.whole) {
    part.shape = Shape{0};
    return part;
  }
  part.first = own.begin;
  part.shape = Shape{own.size()};
  return part;
}

}  // namespace ingot::dist
