// Transforms of all kinds of lengths are the sums that they stand for.
#include "ingot/ops/fourier.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

namespace ingot::ops {
namespace {

std::vector<Complex> SignalOf(int64_t count) {
  std::vector<Complex> x;
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<double>(i);
    x.push_back({std::sin(3 * at + 1), std::cos(5 * at * at)});
  }
  return x;
}

void CheckLength(int64_t length, int64_t samples, int64_t frequencies, bool inverse) {
  SCOPED_TRACE(std::to_string(length) + " of " + std::to_string(samples));
  const std::vector<Complex> x = SignalOf(samples);
  const std::vector<Complex> y = FourierTransform(length, inverse).Run(x, frequencies);
  ASSERT_EQ(y.size(), static_cast<size_t>(frequencies));
  for (int64_t k = 0; k < frequencies; ++k) {
    Complex sum;
    for (int64_t n = 0; n < std::min(length, samples); ++n) {
      const double angle = (inverse ? 2 : -2) * std::numbers::pi *
                           static_cast<double>(k * n % length) / static_cast<double>(length);
      sum = sum + x[static_cast<size_t>(n)] * Complex{std::cos(angle), std::sin(angle)};
    }
    const double scale = inverse ? 1 / static_cast<double>(length) : 1;
    const double tolerance = 1e-12 * static_cast<double>(length) * scale;
    EXPECT_NEAR(y[static_cast<size_t>(k)].re, sum.re * scale, tolerance) << k;
    EXPECT_NEAR(y[static_cast<size_t>(k)].im, sum.im * scale, tolerance) << k;
  }
}

TEST(Fourier, EveryLengthIsTheSum) {
  for (const int64_t length :
       {1, 2, 3, 4, 5, 7, 8, 16, 23, 24, 25, 31, 64, 97, 100, 400, 401, 512}) {
    for (const bool inverse : {false, true}) {
      CheckLength(length, length, length, inverse);
      CheckLength(length, length, length / 2 + 1 > length ? length : length / 2 + 1, inverse);
      CheckLength(length, (length + 1) / 2, length, inverse);  // zeros beyond
      CheckLength(length, length + 3, length, inverse);        // more than is read
    }
  }
}

TEST(Fourier, ForwardsAndBackIsWhereItBegan) {
  for (const int64_t length : {4096, 4801}) {
    const std::vector<Complex> x = SignalOf(length);
    const std::vector<Complex> y =
        FourierTransform(length, true).Run(FourierTransform(length, false).Run(x, length), length);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(y[i].re, x[i].re, 1e-11);
      ASSERT_NEAR(y[i].im, x[i].im, 1e-11);
    }
  }
}

}  // namespace
}  // namespace ingot::ops
