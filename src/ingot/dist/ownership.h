// Ownership: which worker changes which elements of the parameters, where each holds that part of
// the optimizer's state alone (ZeRO 1, Rajbhandari et al. 2020).
//
// What is changed together is a group: a parameter, its optimizer state, its moving average, its
// rounded copy. A group that is changed element by element is cut anywhere; one with steps that
// look at all of it (the lengths of LAMB and LARS, Muon's matrices) belongs to one worker. The
// groups whose gradients go in one exchange are dealt together, so that each worker finishes an
// equal part of what it sums.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/dist/buckets.h"
#include "ingot/runtime/step_program.h"

namespace ingot::dist {

struct ElementRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const ElementRange&) const = default;
};

struct UpdateGroup {
  uint32_t parameter = 0;         // index of the state tensor by which it is known
  std::vector<uint32_t> states;   // that its tasks change
  int64_t elements = 0;           // of the parameter
  size_t item_size = 4;           // of its elements
  bool whole = false;             // it belongs to one worker
  size_t stage = 0;               // in which its gradient is reduced
  int bucket = -1;                // in which it is exchanged
  std::vector<ElementRange> own;  // of each rank, in their order
};

struct Ownership {
  std::vector<UpdateGroup> groups;  // in the order of their parameters
  // The group that something belongs to, or -1: it is everybody's.
  std::vector<int> group_of_state;
  std::vector<int> group_of_unit;   // also of a reduction whose sums the group alone needs
  std::vector<int> group_of_joint;  // that the group alone needs
  Buckets buckets;

  // Whether each worker holds a part of a state tensor alone. What shards read all hold.
  static bool IsPart(const runtime::StepProgram& program, const Ownership& ownership,
                     size_t state) {
    return ownership.group_of_state[state] >= 0 && !program.states[state].versioned;
  }
};

// Throws Error(kUnsupported) where a state tensor belongs to several parameters.
Ownership DealUpdates(const runtime::StepProgram& program, int workers,
                      uint64_t bucket_bytes = kBucketBytes);

// A state tensor as a worker holds it: all of it, the elements from `first` on, or (of a group that
// belongs to another) nothing.
runtime::StateTensor PartOfState(const runtime::StepProgram& program, const Ownership& ownership,
                                 size_t state, int rank);

}  // namespace ingot::dist
