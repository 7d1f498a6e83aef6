// The process clock: runs forward, and agrees with a process that was started just now.
#include "ingot/train/process_clock.h"

#include <vector>

#include <gtest/gtest.h>

namespace ingot::train {
namespace {

TEST(ProcessClock, RunsForwardFromTheStart) {
  const double first = SecondsSinceProcessStart();
  EXPECT_GT(first, 0);
  EXPECT_GE(SecondsSinceProcessStart(), first);
}

TEST(ProcessClock, PeakMemoryGrows) {
  const uint64_t before = PeakMemoryBytes();
  EXPECT_GT(before, 1u << 20);
  std::vector<char> block(before + (size_t{64} << 20), 1);
  EXPECT_EQ(block.back(), 1);
  EXPECT_GT(PeakMemoryBytes(), before);
}

}  // namespace
}  // namespace ingot::train
