// Lists of hosts, and commands that a shell takes word for word.
#include "ingot/cli/hosts.h"

#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::cli {
namespace {

std::string OutputOf(const std::string& command) {
  std::string output;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return "no shell";
  char buffer[256];
  while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) output += buffer;
  ::pclose(pipe);
  return output;
}

TEST(Hosts, AreReadWithTheirNumbersOfWorkers) {
  const std::vector<Host> hosts = ParseHosts("node1:2,user@node2,[fd00::1]:3");
  ASSERT_EQ(hosts.size(), 3U);
  EXPECT_EQ(hosts[0].name, "node1");
  EXPECT_EQ(hosts[0].workers, 2);
  EXPECT_EQ(hosts[1].name, "user@node2");
  EXPECT_EQ(hosts[1].workers, 1);
  EXPECT_EQ(AddressOf(hosts[1]), "node2");
  EXPECT_EQ(hosts[2].name, "fd00::1");
  EXPECT_EQ(hosts[2].workers, 3);
}

TEST(Hosts, ListsThatAreWrongAreRefused) {
  for (const char* list : {"", ",", "a:", "a:0", "a:-1", "a:1x", "a:99999999999", ":2", "a,a",
                           "-oProxyCommand=x", "a b", "$(x)"}) {
    EXPECT_THROW(ParseHosts(list), Error) << list;
  }
}

TEST(Hosts, CommandsReachTheProgramWordForWord) {
  const std::string odd = "it's $HOME; \"x\" `y` \\ *\nz";
  const std::string command = RemoteCommand(
      "/", {{"NAME", odd}}, {"sh", "-c", "printf '%s|%s|%s' \"$PWD\" \"$NAME\" \"$1\"", "sh", odd});
  EXPECT_EQ(OutputOf(command), "/|" + odd + "|" + odd);
}

}  // namespace
}  // namespace ingot::cli
