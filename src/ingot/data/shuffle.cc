// The keys of the permutation.
#include "ingot/data/shuffle.h"

#include <bit>
#include <string>

#include "ingot/base/error.h"
#include "ingot/tensor/philox.h"

namespace ingot::data {

namespace {

// Halves of two bits and more, so that small permutations are mixed well too.
constexpr int kMinBits = 4;

}  // namespace

Shuffle::Shuffle(int64_t n, uint64_t seed, int64_t epoch, ShufflePurpose purpose) : n_(n) {
  if (n < 0) {
    throw Error(ErrorCode::kInvalidInput, "cannot shuffle " + std::to_string(n) + " samples");
  }
  int bits = n > 1 ? std::bit_width(static_cast<uint64_t>(n - 1)) : 1;
  if (bits < kMinBits) bits = kMinBits;
  low_bits_ = bits - bits / 2;
  low_mask_ = (uint64_t{1} << low_bits_) - 1;
  high_mask_ = (uint64_t{1} << (bits / 2)) - 1;
  const RandomKey key(seed, purpose == ShufflePurpose::kEpoch ? "shuffle" : "split",
                      static_cast<uint64_t>(epoch));
  for (size_t r = 0; r < keys_.size(); ++r) keys_[r] = key.Uint64(r);
}

}  // namespace ingot::data
