// LateTurns: the tasks of a step that wait until nothing can break it off any more, since they
// change parameters or state or need what such a task computes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "ingot/runtime/step_program.h"

namespace ingot::dist {

// By turns, one behind the other: a task needs nothing of others in its turn.
class LateTurns {
 public:
  // Tasks are numbered as in `base`, which must outlive this.
  explicit LateTurns(const runtime::StepProgram& base) : base_(base) {}

  // The first turn in which a task has all it needs; 0: it needs no value that is late.
  size_t TurnOf(const runtime::Task& task) const;
  // Whether it needs a value that is late and is no task that may be late itself: sums over the
  // batch, and what they are made of, are not.
  bool IsHeldUp(const runtime::Task& task) const;
  // What a late task of this turn gives to others is late, too.
  void NoteLate(const runtime::Task& task, size_t turn);

  // The tasks of a turn, to add to.
  std::vector<runtime::Task>& At(size_t turn);
  // All turns, of which nothing is left then.
  std::vector<std::vector<runtime::Task>> Take();
  bool empty() const { return turns_.empty(); }

 private:
  const runtime::StepProgram& base_;
  std::vector<std::vector<runtime::Task>> turns_;
  std::map<uint64_t, size_t> turn_of_value_;  // by its place in the memory that all shards share
};

}  // namespace ingot::dist
