// Normal numbers from Philox blocks.
#include "ingot/tensor/philox.h"

#include <cmath>
#include <numbers>

namespace ingot {

double RandomKey::Normal(uint64_t index) const {
  const PhiloxCounter block = Block(index);
  const uint64_t first = static_cast<uint64_t>(block[1]) << 32 | block[0];
  const uint64_t second = static_cast<uint64_t>(block[3]) << 32 | block[2];
  // In (0, 1], so that the logarithm is finite.
  const double radius = static_cast<double>((first >> 11) + 1) * 0x1p-53;
  const double angle = static_cast<double>(second >> 11) * 0x1p-53;
  return std::sqrt(-2 * std::log(radius)) * std::cos(2 * std::numbers::pi * angle);
}

}  // namespace ingot
