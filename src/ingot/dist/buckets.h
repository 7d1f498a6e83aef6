// Buckets: gradients that are exchanged while others are still computed. Those of the last layers
// are complete first; so much of them as is worth a message of its own goes out in the background,
// behind the stage (or between the tiles of one) that sums it, and has come when the step's last
// exchange ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ingot/runtime/step_program.h"

namespace ingot::dist {

// On loopback some milliseconds of the wire's time, against some tens of microseconds for messages.
inline constexpr uint64_t kBucketBytes = uint64_t{1} << 20;

struct Buckets {
  std::vector<int> of_unit;   // -1: it is exchanged with what the step waits for
  std::vector<size_t> stage;  // of each bucket: the last that sums some of it; they ascend
  size_t count() const { return stage.size(); }
};

// The same for programs of a job that differ in their batch alone. `bytes`: the least of a bucket;
// there are eight at most.
Buckets MakeBuckets(const runtime::StepProgram& program, uint64_t bytes = kBucketBytes);

}  // namespace ingot::dist
