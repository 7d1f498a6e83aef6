// Ranges and splits of the records of a source.
#include "ingot/data/selection.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::data {

Selection Selection::All(int64_t n) {
  Selection all;
  all.count_ = n;
  return all;
}

Selection Selection::First(int64_t k) const {
  if (k < 1) {
    throw Error(ErrorCode::kInvalidInput, "a limit of " + std::to_string(k) + " samples",
                "give at least 1, or leave the limit out");
  }
  Selection first = *this;
  first.count_ = std::min(count_, k);
  return first;
}

std::pair<Selection, Selection> Selection::Split(double share, uint64_t seed) const {
  if (!(share > 0 && share < 1) || count_ < 2 || permutation_.size() != 0) {
    throw Error(
        ErrorCode::kInvalidInput,
        "cannot split " + WithThousands(count_) + " samples at a share of " + FormatNumber(share),
        "the share must lie between 0 and 1, and there must be at least 2 samples");
  }
  const int64_t second =
      std::clamp<int64_t>(std::llround(share * static_cast<double>(count_)), 1, count_ - 1);
  Selection rest = *this;
  // Positions below begin_ are not part of this selection: only unsplit selections come here, and
  // those begin at 0.
  rest.permutation_ = Shuffle(count_, seed, 0, ShufflePurpose::kSplit);
  rest.count_ = count_ - second;
  Selection cut = rest;
  cut.begin_ = rest.count_;
  cut.count_ = second;
  return {rest, cut};
}

}  // namespace ingot::data
