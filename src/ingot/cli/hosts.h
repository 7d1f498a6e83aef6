// The hosts of `ingot launch --hosts`: which ranks run where, and the commands that start them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ingot::cli {

struct Host {
  std::string name;  // as ssh takes it: "node1", "user@10.0.0.2"
  int workers = 1;
};

// "node1:2,user@node2:4,[fd00::1]:2": the number of workers is 1 where it is left out. Throws
// Error(kInvalidInput).
std::vector<Host> ParseHosts(const std::string& list);

// "user@node1" -> "node1".
std::string AddressOf(const Host& host);

// One word of a command line of a POSIX shell.
std::string ShellWord(const std::string& word);

// The command for ssh to run: a program in a folder, with variables of the environment.
std::string RemoteCommand(const std::string& folder,
                          const std::vector<std::pair<std::string, std::string>>& environment,
                          const std::vector<std::string>& program);

}  // namespace ingot::cli
