// Bar charts: widths, rounding, wide characters.
#include "ingot/base/bars.h"

#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(BarsTest, DrawsAlignedBars) {
  const std::vector<Bar> bars = {{"cat", 0.5, ""}, {"elephant", 1, "100%"}, {"ox", 0, ""}};
  EXPECT_EQ(BarChart(bars, {.width = 10}),
            "cat       #####  0.5\n"
            "elephant  ##########  100%\n"
            "ox        0\n");
}

TEST(BarsTest, ScalesToTheGivenValue) {
  const std::vector<Bar> bars = {{"a", 0.5, ""}, {"b", 3, ""}, {"c", 0.001, ""}};
  EXPECT_EQ(BarChart(bars, {.width = 10, .full_value = 1}),
            "a  #####  0.5\n"
            "b  ##########  3\n"
            "c  #  0.001\n");
}

TEST(BarsTest, NegativeAndNotANumberHaveNoBar) {
  const std::vector<Bar> bars = {
      {"a", -1, ""}, {"b", std::numeric_limits<double>::quiet_NaN(), ""}, {"c", 2, ""}};
  EXPECT_EQ(BarChart(bars, {.width = 2}), "a  -1\nb  nan\nc  ##  2\n");
  EXPECT_EQ(BarChart({}), "");
}

TEST(BarsTest, UnicodeHasEighthsOfABlock) {
  const std::vector<Bar> bars = {{"\xc3\xa9t\xc3\xa9", 1, "x"}, {"a", 0.3125, "y"}};
  EXPECT_EQ(BarChart(bars, {.width = 2, .unicode = true}),
            "\xc3\xa9t\xc3\xa9  \xe2\x96\x88\xe2\x96\x88  x\n"
            "a    \xe2\x96\x8b  y\n");
  EXPECT_EQ(DisplayWidth("\xc3\xa9t\xc3\xa9"), 3u);
}

}  // namespace
}  // namespace ingot
