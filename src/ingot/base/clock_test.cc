// Clocks go forwards; times are written as ISO 8601.
#include "ingot/base/clock.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(ClockTest, MonotonicNeverGoesBack) {
  double last = MonotonicSeconds();
  int64_t last_nanoseconds = MonotonicNanoseconds();
  for (int i = 0; i < 1000; ++i) {
    const double now = MonotonicSeconds();
    const int64_t nanoseconds = MonotonicNanoseconds();
    EXPECT_GE(now, last);
    EXPECT_GE(nanoseconds, last_nanoseconds);
    last = now;
    last_nanoseconds = nanoseconds;
  }
  EXPECT_NEAR(MonotonicSeconds(), 1e-9 * static_cast<double>(MonotonicNanoseconds()), 60);
}

TEST(ClockTest, DatesAreWrittenAsIso8601) {
  EXPECT_EQ(Iso8601(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(Iso8601(951782400.5), "2000-02-29T00:00:00.500Z");
  EXPECT_EQ(Iso8601(1.9996), "1970-01-01T00:00:02.000Z");
  EXPECT_EQ(Iso8601(-0.25), "1969-12-31T23:59:59.750Z");
  EXPECT_EQ(WallTimeIso8601().size(), 24u);
  EXPECT_GT(WallSeconds(), 1.7e9);
}

TEST(ClockTest, ProcessStartIsInThePast) {
  const double first = SecondsSinceProcessStart();
  EXPECT_GE(first, 0);
  EXPECT_LT(first, 24 * 3600);  // the kernel's clock, not the date
  EXPECT_GE(SecondsSinceProcessStart(), first);
}

}  // namespace
}  // namespace ingot
