// The lines of a supervisor: see supervisor_line.h.
#include "ingot/cli/supervisor_line.h"

#include <cerrno>
#include <csignal>
#include <optional>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file_descriptor.h"

namespace ingot::cli {
namespace {

constexpr int kLinePollMilliseconds = 100;
constexpr size_t kLongestToken = 4096;

}  // namespace

SupervisorLine::SupervisorLine() {
  const std::string line = fmt::format("{}{}\n", kProcessLine, ::getpid());
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  const std::optional<std::string> token = ReadLine(STDIN_FILENO, kLongestToken);
  if (!token) {
    throw Error(ErrorCode::kInvalidInput, "no token came on standard input",
                "`ingot launch --hosts` starts such workers");
  }
  token_ = *token;
  thread_ = std::thread([this] { Loop(); });
}

SupervisorLine::~SupervisorLine() {
  closing_.store(true);
  thread_.join();
}

void SupervisorLine::Loop() {
  std::string line;
  while (!closing_.load()) {
    pollfd poll = {STDIN_FILENO, POLLIN, 0};
    if (::poll(&poll, 1, kLinePollMilliseconds) <= 0) continue;
    char c = 0;
    const ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (!closing_.load()) ::kill(::getpid(), SIGTERM);
      return;
    }
    line += c;
    if (c != '\n') continue;
    if (line == kInterruptLine) ::kill(::getpid(), SIGINT);
    line.clear();
  }
}

}  // namespace ingot::cli
