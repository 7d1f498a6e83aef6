// Agreement: what all workers of a mesh tell each other before any of them changes something:
// whether everything is finite, and the sums, which the last stage of the pipeline has.
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/dist/distributed_program.h"
#include "ingot/dist/exchange_plan.h"
#include "ingot/runtime/step_program.h"

namespace ingot::dist {

class Agreement {
 public:
  // Takes its place in the memory that the shards of `program` share, and names the program's
  // sums. `mesh` must outlive this.
  Agreement(const MeshPosition& mesh, DistributedProgram& program);

  // One worker says what a sum is; the others add zeros.
  bool is_said_here() const;
  // Where the one that says it writes the sum of a unit, in shared memory.
  uint64_t OwnSum(const runtime::ReduceUnit& unit) const;
  // The units that show the agreed sums.
  std::vector<runtime::ReduceUnit> Units() const;

  const ExchangePlan& plan() const { return plan_; }

 private:
  const MeshPosition& mesh_;
  ExchangePlan plan_;
};

}  // namespace ingot::dist
