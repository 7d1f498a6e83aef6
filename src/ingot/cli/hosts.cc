// Reading lists of hosts, and writing commands for their shells.
#include "ingot/cli/hosts.h"

#include <algorithm>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/base/host_port.h"
#include "ingot/base/text.h"

namespace ingot::cli {
namespace {

constexpr int kMostWorkers = 4096;

[[noreturn]] void Reject(const std::string& list, const std::string& why) {
  throw Error(ErrorCode::kInvalidInput, "--hosts: '" + list + "' " + why,
              "name each host with its number of workers: --hosts node1:2,user@node2:4");
}

}  // namespace

std::vector<Host> ParseHosts(const std::string& list) {
  std::vector<Host> hosts;
  for (const std::string& item : Split(list, ',')) {
    Host host;
    const HostPort parts = SplitHostPort(item);
    host.name = parts.host;
    if (parts.port) {
      host.workers = ParseWhole<int>(*parts.port).value_or(0);
      if (host.workers < 1 || host.workers > kMostWorkers) {
        Reject(list, "has '" + *parts.port + "' workers on " + host.name +
                         ", expected a whole number of 1 or more");
      }
    }
    if (host.name.empty()) Reject(list, "has a host without a name");
    // What begins with a dash would be an option to ssh.
    if (host.name[0] == '-' || host.name.find_first_of(" \t\n'\"\\;&|$`") != std::string::npos) {
      Reject(list, "has '" + host.name + "', which is no name of a host");
    }
    const bool again = std::any_of(hosts.begin(), hosts.end(),
                                   [&](const Host& other) { return other.name == host.name; });
    if (again) Reject(list, "names " + host.name + " twice");
    hosts.push_back(std::move(host));
  }
  if (hosts.empty()) Reject(list, "names no host");
  return hosts;
}

std::string AddressOf(const Host& host) {
  const size_t at = host.name.rfind('@');
  return at == std::string::npos ? host.name : host.name.substr(at + 1);
}

std::string ShellWord(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string RemoteCommand(const std::string& folder,
                          const std::vector<std::pair<std::string, std::string>>& environment,
                          const std::vector<std::string>& program) {
  std::string command = "cd " + ShellWord(folder) + " && exec env";
  for (const auto& [name, value] : environment) command += " " + ShellWord(name + "=" + value);
  for (const std::string& word : program) command += " " + ShellWord(word);
  return command;
}

}  // namespace ingot::cli
