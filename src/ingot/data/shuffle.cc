// The keys of the permutation.
#include "ingot/data/shuffle.h"

#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/tensor/philox.h"

namespace ingot::data {

Shuffle::Shuffle(int64_t n, uint64_t seed, int64_t epoch, ShufflePurpose purpose) : n_(n) {
  if (n < 0) {
    throw Error(ErrorCode::kInvalidInput, "cannot shuffle " + std::to_string(n) + " samples");
  }
  columns_ = static_cast<uint64_t>(std::sqrt(static_cast<double>(n)));
  if (columns_ == 0) columns_ = 1;
  rows_ = (static_cast<uint64_t>(n) + columns_ - 1) / columns_;
  const RandomKey key(seed, purpose == ShufflePurpose::kEpoch ? "shuffle" : "split",
                      static_cast<uint64_t>(epoch));
  for (size_t r = 0; r < keys_.size(); ++r) keys_[r] = key.Uint64(r);
}

}  // namespace ingot::data
