// What SplitHostPort and ParsePort make of addresses as people write them.
#include "ingot/base/host_port.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

struct Case {
  std::string text, host;
  std::optional<std::string> port;
};

TEST(HostPort, IsSplitBehindBracketsOrAtTheLastColon) {
  for (const Case& each : {
           Case{"10.0.0.1:8000", "10.0.0.1", "8000"},
           Case{"name", "name", std::nullopt},
           Case{"[::1]:8000", "::1", "8000"},
           Case{"[::1]", "::1", std::nullopt},
           Case{"[fe80::2]:", "fe80::2", ""},
           Case{":80", "", "80"},
           Case{"", "", std::nullopt},
           Case{"[", "[", std::nullopt},
           Case{"[]:1", "", "1"},
           Case{"[::1]x", "[::1]x", std::nullopt},
       }) {
    const HostPort split = SplitHostPort(each.text);
    EXPECT_EQ(split.host, each.host) << each.text;
    EXPECT_EQ(split.port, each.port) << each.text;
  }
}

TEST(HostPort, APortIsAWholeNumber) {
  EXPECT_EQ(ParsePort("80"), 80);
  EXPECT_EQ(ParsePort("65535"), 65535);
  for (const char* text : {"", "0", "-1", "65536", "80abc", " 80", "99999999999999999999"}) {
    EXPECT_EQ(ParsePort(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ingot
