// Nearest spellings and formatted numbers.
#include "ingot/base/text.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(TextTest, EditDistanceCountsTranspositions) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("batch", "bacth"), 1u);
}

TEST(TextTest, NearestFindsMisspellingsOnly) {
  const std::vector<std::string> names = {"epochs", "steps", "learning_rate"};
  EXPECT_EQ(Nearest("epoch", names), "epochs");
  EXPECT_EQ(Nearest("setps", names), "steps");
  EXPECT_EQ(Nearest("learn", names), "learning_rate");
  EXPECT_EQ(Nearest("optimizer", names), "");
  EXPECT_EQ(DidYouMean("epoch", names), "did you mean 'epochs'?");
  EXPECT_EQ(DidYouMean("zzz", names), "expected one of: epochs, steps, learning_rate");
  EXPECT_EQ(DidYouMean("zzz", {}), "");
}

TEST(TextTest, LowersAsciiAlone) {
  EXPECT_EQ(LowerCase("Content-Length: 7 \xC3\x84Z["), "content-length: 7 \xC3\x84z[");
}

TEST(TextTest, ANumberIsTheWholeText) {
  EXPECT_EQ(ParseWhole<int64_t>("-12"), -12);
  EXPECT_EQ(ParseWhole<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseWhole<double>("2.5e-1"), 0.25);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "0x1", "9223372036854775808", "1.5"}) {
    EXPECT_FALSE(ParseWhole<int64_t>(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseWhole<int>("2147483648").has_value());
  EXPECT_FALSE(ParseWhole<uint64_t>("-1").has_value());
  EXPECT_FALSE(ParseWhole<double>("1,5").has_value());
}

TEST(TextTest, SplitsJoinsAndTrims) {
  EXPECT_EQ(Split("a,b,,c", ','), (std::vector<std::string>{"a", "b", "", "c"}));
  EXPECT_EQ(Split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(Join(std::vector<std::string>{"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(Trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(Trim(" \n"), "");
}

TEST(TextTest, NumbersAsPeopleReadThem) {
  EXPECT_EQ(WithThousands(50890), "50,890");
  EXPECT_EQ(WithThousands(-1234567), "-1,234,567");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanSeconds(0.000153), "153 us");
  EXPECT_EQ(HumanSeconds(0.25), "250 ms");
  EXPECT_EQ(HumanSeconds(75.2), "1 min 15 s");
  EXPECT_EQ(HumanSeconds(7260), "2 h 1 min");
  EXPECT_EQ(FormatNumber(0.1), "0.1");
  EXPECT_EQ(std::stod(FormatNumber(1.0 / 3)), 1.0 / 3);
}

}  // namespace
}  // namespace ingot
