// Selection: which records of a source are used, and in what basic order, in O(1) memory.
//
// `limit` takes the first records of the file; a split into training and validation samples takes
// records at random, keyed by a seed, so that files sorted by class split fairly. Immutable and
// cheap to copy.
#pragma once

#include <cstdint>
#include <utility>

#include "ingot/data/shuffle.h"

namespace ingot::data {

class Selection {
 public:
  Selection() = default;  // nothing
  // Records 0 to n - 1 in the order of the file.
  static Selection All(int64_t n);

  int64_t size() const { return count_; }
  // The record at place i in [0, size()).
  int64_t operator[](int64_t i) const {
    const int64_t position = begin_ + i;
    return permutation_.size() == 0 ? position : permutation_(position);
  }

  // The first k of these; all of them where there are not as many. Throws Error(kInvalidInput)
  // for k < 1.
  Selection First(int64_t k) const;

  // Cuts off round(share * size()) samples, chosen by `seed`: {the rest, those}. Both have at least
  // one sample. Throws Error(kInvalidInput) unless 0 < share < 1 and size() >= 2, and for a
  // selection that is a split already.
  std::pair<Selection, Selection> Split(double share, uint64_t seed) const;

 private:
  Shuffle permutation_;  // of size 0: the order of the file
  int64_t begin_ = 0;
  int64_t count_ = 0;
};

}  // namespace ingot::data
