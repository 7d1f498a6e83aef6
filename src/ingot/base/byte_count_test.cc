// Amounts of memory.
#include "ingot/base/byte_count.h"

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

TEST(ByteCountTest, NumbersWithUnits) {
  EXPECT_EQ(ParseBytes(""), 0u);
  EXPECT_EQ(ParseBytes("1000"), 1000u);
  EXPECT_EQ(ParseBytes("1.5 KiB"), 1536u);
  EXPECT_EQ(ParseBytes("2GiB"), uint64_t{2} << 30);
  EXPECT_EQ(ParseBytes("3mb"), 3000000u);
  for (const char* wrong : {"much", "3 parsecs", "-1MiB", "MiB"}) {
    EXPECT_THROW(ParseBytes(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace ingot
