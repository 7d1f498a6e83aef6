// DistributedProgram: a step program as one worker of a group runs it: its own shards, sums of its
// subtrees of them, and in the place of every reduction an exchange.
//
// Each stage with reductions becomes up to three: the worker's shards and the sums of its subtrees,
// the exchange, and what is done with the whole sums. Changes of parameters and state all come
// after the last exchange, so that a step that is broken off has changed nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/dist/dealing.h"
#include "ingot/runtime/step_program.h"

namespace ingot::dist {

// What the workers tell each other with every exchange, as numbers that add up.
inline constexpr size_t kFlagFloats = 16;
inline constexpr size_t kFlagBytes = kFlagFloats * sizeof(float);

// One exchange: what a reduction of several values over all shards needs to know. The values lie
// packed one behind the other, after the flags; offsets are into the memory that tasks share.
struct ExchangePlan {
  struct Segment {
    std::string name;
    DType dtype = DType::kF32;
    uint64_t offset = 0;  // in the packed values
    uint64_t bytes = 0;
  };
  struct Copy {
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t bytes = 0;
  };
  std::vector<Segment> segments;
  uint64_t bytes = 0;        // of one set of packed values
  uint64_t partials = 0;     // where the sets of this worker's subtrees lie, one behind the other
  uint64_t reduced = 0;      // where the whole sums are wanted
  std::vector<Copy> copies;  // of whole sums, to where later tasks look for them
  std::vector<ShardRange> subtrees;  // of all workers
  std::vector<int> first_subtree;    // of each rank, and the number of all
  std::vector<TreeAddition> additions;

  int subtrees_of(int rank) const {
    return first_subtree[static_cast<size_t>(rank) + 1] - first_subtree[static_cast<size_t>(rank)];
  }
};

struct DistributedProgram : public runtime::StepProgram {
  std::shared_ptr<const runtime::StepProgram> base;  // owns what kernels refer to
};

// `plans` takes the exchanges; their index there is that of their tasks. Throws
// Error(kUnsupported) where a step cannot be shared.
std::shared_ptr<const runtime::StepProgram> MakeDistributedProgram(
    std::shared_ptr<const runtime::StepProgram> base, int rank, int workers,
    std::vector<ExchangePlan>& plans);

}  // namespace ingot::dist
