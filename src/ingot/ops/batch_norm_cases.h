// Examples for the cases of the ops of batch normalisation.
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/ops/definition.h"

namespace ingot::ops {

// Sums of 8 elements of each channel with means and variances that are not near 0.
inline OpCase::Input ExampleSums(int64_t channels) {
  std::vector<double> sums;
  for (int64_t c = 0; c < channels; ++c) sums.push_back(static_cast<double>(c % 7) - 3);
  for (int64_t c = 0; c < channels; ++c) sums.push_back(8 + static_cast<double>(c % 5));
  sums.push_back(8);
  return Floats({2 * channels + 1}, sums);
}

}  // namespace ingot::ops
