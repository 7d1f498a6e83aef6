// Processes, pipes and signals.
#include "ingot/cli/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/interrupt.h"
#include "ingot/cli/supervisor_line.h"
#include "ingot/dist/coordinator.h"

namespace ingot::cli {
namespace {

// A worker that dies so soon after its start so often is not started again.
constexpr double kQuickSeconds = 0.5;
constexpr int kMostQuickDeaths = 5;
constexpr int kPollMilliseconds = 5;
// How long it takes until a worker of another machine is started again, or a file written.
constexpr double kAgainSeconds = 1;
// From SIGTERM to SIGKILL, for a worker that did not end when it should have.
constexpr double kLastSeconds = 1;
constexpr int kSshFailed = 255;
constexpr const char* kColours[] = {"36", "33", "35", "32", "34", "31"};

void Tell(const FileDescriptor& line, const std::string& text) {
  [[maybe_unused]] const ssize_t sent = ::send(line.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

// A socket, since one whose other end is gone must not end this program.
struct Line {
  FileDescriptor here;
  FileDescriptor there;
};

Line MakeLine() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw FileError("make", "a pair of sockets", errno);
  }
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

}  // namespace

Supervisor::Supervisor(SupervisorOptions options, const Streams& streams)
    : options_(std::move(options)),
      streams_(streams),
      colour_(::isatty(::fileno(streams.err)) == 1) {
  for (int rank = 0; rank < options_.workers; ++rank) {
    workers_.emplace_back();
    workers_.back().rank = rank;
  }
}

int Supervisor::Run() {
  if (options_.adopts) {
    if (options_.has_ended()) return kOk;
    Adopt();
  }
  StartAll();
  WritePids();
  while (AnyRuns()) {
    std::vector<pollfd> polls;
    for (const Worker& worker : workers_) {
      if (worker.output.valid()) polls.push_back({worker.output.get(), POLLIN, 0});
    }
    ::poll(polls.data(), polls.size(), kPollMilliseconds);
    for (Worker& worker : workers_) Read(worker);
    PassOnSignals();
    Reap();
    StartLate();
    EndLeftOver();
    PassOnFurtherSignals();
    if (write_pids_at_ > 0 && MonotonicSeconds() >= write_pids_at_) WritePids();
  }
  for (Worker& worker : workers_) Read(worker);
  WritePids();
  // What several say alike is shown once.
  std::vector<std::string> shown = workers_[0].complaints;
  int status = 0;
  const bool done = std::any_of(workers_.begin(), workers_.end(),
                                [](const Worker& worker) { return worker.status == 0; });
  for (const Worker& worker : workers_) {
    const bool counts = worker.is_lost ? !done : !worker.given_up || worker.status != kInterrupted;
    if (status == 0 && counts) status = worker.status;
    if (worker.complaints == shown) continue;
    if (!shown.empty() && worker.status == workers_[0].status) continue;
    for (const std::string& line : worker.complaints) streams_.Err(line + "\n");
    shown = worker.complaints;
  }
  return status;
}

// Where one cannot be started, those that were are ended: nobody else knows of them.
void Supervisor::StartAll() {
  try {
    for (Worker& worker : workers_) {
      if (worker.pid < 0) Start(worker);
    }
  } catch (const Error&) {
    for (Worker& worker : workers_) {
      if (worker.pid <= 0 || !worker.is_child) continue;
      ::kill(worker.pid, SIGKILL);
      ::waitpid(worker.pid, nullptr, 0);
    }
    throw;
  }
}

void Supervisor::Start(Worker& worker) {
  Pipe output = MakePipe();
  Line line;
  if (is_remote()) line = MakeLine();
  std::fflush(nullptr);
  // What is passed on to a worker that is about to become one ends it, rather than being noted by
  // this program's handler and forgotten.
  sigset_t signals;
  sigset_t before;
  sigfillset(&signals);
  ::pthread_sigmask(SIG_BLOCK, &signals, &before);
  const int pid = ::fork();
  const int fault = errno;
  if (pid == 0) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      if (::signal(signal, SIG_DFL) == SIG_IGN) ::signal(signal, SIG_IGN);
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0)
    throw Error(ErrorCode::kOutOfMemory,
                "cannot start a process: " + std::string(std::strerror(fault)));
  if (pid == 0) Become(worker, output.writes.get(), line.there.get());
  ::fcntl(output.reads.get(), F_SETFL, O_NONBLOCK);
  worker.output = std::move(output.reads);
  worker.pid = pid;
  worker.is_child = true;
  worker.begun.clear();
  worker.started = MonotonicSeconds();
  worker.start_at = 0;
  worker.is_lost = false;
  worker.to_end_by = 0;
  worker.was_ended = false;
  if (!is_remote()) return;
  worker.line = std::move(line.here);
  worker.remote_pid = -1;
  Tell(worker.line, options_.token + "\n");
}

// In the child.
void Supervisor::Become(const Worker& worker, int output, int line) {
  ::dup2(output, STDERR_FILENO);
  std::vector<std::string> words = {"ingot"};
  words.insert(words.end(), options_.arguments.begin(), options_.arguments.end());
  const char* program = "/proc/self/exe";
  if (is_remote()) {
    // Of no terminal: Ctrl-C is passed on, and ssh cannot wait for a password there.
    ::setsid();
    ::dup2(line, STDIN_FILENO);
    words = options_.remote[static_cast<size_t>(worker.rank)].command;
    program = words[0].c_str();
  } else {
    // A group of its own: Ctrl-C reaches the parent alone, which passes it on.
    ::setpgid(0, 0);
    // What is said to a supervisor that is gone must not end the worker.
    ::signal(SIGPIPE, SIG_IGN);
    // The system sends it to a worker that is stopped when the supervisor dies; what a terminal
    // says comes by Interrupt.
    ::signal(SIGHUP, SIG_IGN);
    for (const auto& [name, value] : options_.environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    ::setenv("INGOT_RANK", std::to_string(worker.rank).c_str(), 1);
  }
  std::vector<char*> arguments;
  for (std::string& text : words) arguments.push_back(text.data());
  arguments.push_back(nullptr);
  ::execvp(program, arguments.data());
  const std::string fault = fmt::format("cannot start {}: {}\n", program, std::strerror(errno));
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, fault.data(), fault.size());
  ::_exit(127);
}

// Those that have died since are started by Run.
void Supervisor::Adopt() {
  std::ifstream file(options_.pids_file);
  std::string word;
  while (file >> word) {
    int64_t rank = 0;
    int64_t pid = 0;
    if (word == "supervisor") {
      file >> pid;
      continue;
    }
    file >> rank >> pid;
    if (rank < 0 || rank >= options_.workers || !dist::ProcessRuns(pid)) continue;
    Worker& worker = workers_[static_cast<size_t>(rank)];
    worker.pid = static_cast<int>(pid);
    worker.is_child = false;
    worker.started = MonotonicSeconds();
  }
}

// A full disk ends no run here: who has something to save says so. It is tried again.
void Supervisor::WritePids() {
  write_pids_at_ = 0;
  std::string text = fmt::format("supervisor {}\n", ::getpid());
  for (const Worker& worker : workers_) {
    if (worker.pid <= 0) continue;
    if (!is_remote()) {
      text += fmt::format("rank {} {}\n", worker.rank, worker.pid);
    } else if (worker.remote_pid > 0) {
      text += fmt::format("rank {} {} {}\n", worker.rank, worker.remote_pid, HostOf(worker));
    }
  }
  try {
    WriteFileAtomically(RealFileSystem(), options_.pids_file, text);
    pids_failed_ = false;
  } catch (const Error& error) {
    if (!pids_failed_) streams_.Err(fmt::format("warning: {}\n", error.message()));
    pids_failed_ = true;
    write_pids_at_ = MonotonicSeconds() + kAgainSeconds;
  }
}

void Supervisor::Read(Worker& worker) {
  if (!worker.output.valid()) return;
  char buffer[8192];
  while (true) {
    const ssize_t got = ::read(worker.output.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) worker.output.Close();
    if (got <= 0) break;
    worker.begun.append(buffer, static_cast<size_t>(got));
  }
  for (size_t end = worker.begun.find('\n'); end != std::string::npos;
       end = worker.begun.find('\n')) {
    Show(worker, worker.begun.substr(0, end));
    worker.begun.erase(0, end + 1);
  }
  if (!worker.output.valid() && !worker.begun.empty()) {
    Show(worker, worker.begun);
    worker.begun.clear();
  }
}

// Why a worker ends is kept until all have ended: most say the same then.
void Supervisor::Show(Worker& worker, const std::string& line) {
  if (is_remote() && line.starts_with(kProcessLine)) {
    worker.remote_pid = std::atoi(line.c_str() + std::strlen(kProcessLine));
    worker.was_there = true;
    WritePids();
    return;
  }
  worker.said = line;
  if (line.starts_with("error:") || line.starts_with("hint:")) {
    worker.complaints.push_back(line);
    if (worker.rank == 0) streams_.Err(line + "\n");
    return;
  }
  if (worker.given_up && line == "interrupted") return;  // nobody asked for that
  const std::string prefix = is_remote() ? fmt::format("[rank {} {}]", worker.rank, HostOf(worker))
                                         : fmt::format("[rank {}]", worker.rank);
  if (colour_) {
    const char* colour = kColours[static_cast<size_t>(worker.rank) % std::size(kColours)];
    streams_.Err(fmt::format("\x1b[{}m{}\x1b[0m {}\n", colour, prefix, line));
  } else {
    streams_.Err(prefix + " " + line + "\n");
  }
}

bool Supervisor::AnyRuns() const {
  return std::any_of(workers_.begin(), workers_.end(), [this](const Worker& worker) {
    return worker.pid > 0 || (worker.start_at > 0 && !ending_ && passed_on_ == 0);
  });
}

void Supervisor::Reap() {
  bool changed = false;
  for (Worker& worker : workers_) {
    if (worker.pid <= 0) continue;
    int status = 0;
    if (!worker.is_child) {
      if (dist::ProcessRuns(worker.pid)) continue;
      status = options_.has_ended && options_.has_ended() ? 0 : SIGKILL;
    } else if (::waitpid(worker.pid, &status, WNOHANG) != worker.pid) {
      continue;
    }
    changed = true;
    Read(worker);
    worker.pid = -1;
    HandleEnd(worker, status);
  }
  if (changed) WritePids();
}

void Supervisor::HandleEnd(Worker& worker, int status) {
  worker.line.Close();
  if (!WIFEXITED(status)) {
    const int signal = WTERMSIG(status);
    const std::string how = fmt::format("was ended by signal {} ({})", signal, strsignal(signal));
    return is_remote() ? HandleLostWay(worker, "its ssh " + how) : HandleDeath(worker, how);
  }
  worker.status = WEXITSTATUS(status);
  if (is_remote() && (worker.status == kSshFailed || worker.remote_pid < 0)) {
    return HandleLostWay(worker, fmt::format("its ssh ended with status {}", worker.status));
  }
  // As shells say that a signal has ended a program.
  if (is_remote() && worker.status > 128 && worker.status != kInterrupted) {
    return HandleDeath(worker, fmt::format("was ended by signal {}", worker.status - 128));
  }
  BeginEnding();
  if (worker.status == 0 || worker.status == kInterrupted) return;
  // One that ends because another has failed says nothing of its own, and that one is about to.
  if (!worker.complaints.empty()) EndOthers();
}

// A worker has ended by itself: the others are about to, and none is started anew.
void Supervisor::BeginEnding() {
  ending_ = true;
}

// One that never came to join is waited for by the others in vain.
void Supervisor::EndOthers() {
  for (Worker& other : workers_) {
    if (other.pid > 0 && MonotonicSeconds() - other.started < 5) GiveUp(other);
  }
}

void Supervisor::GiveUp(Worker& worker) {
  worker.given_up = true;
  worker.to_end_by = MonotonicSeconds() + options_.grace_seconds;
  Interrupt(worker, SIGTERM);
}

// One on another machine is told so, and where it does not run yet, its ssh is ended.
void Supervisor::Interrupt(const Worker& worker, int signal) {
  if (worker.line.valid()) Tell(worker.line, kInterruptLine);
  // SIGHUP the workers ignore.
  if (!is_remote() || worker.remote_pid < 0) {
    ::kill(worker.pid, signal == SIGHUP ? SIGTERM : signal);
  }
}

// A worker that did not end by itself.
void Supervisor::HandleDeath(Worker& worker, const std::string& how) {
  worker.status = passed_on_ != 0 ? kInterrupted : kFailed;
  worker.is_lost = passed_on_ == 0;
  if (ending_ || passed_on_ != 0) return;
  worker.quick_deaths =
      MonotonicSeconds() - worker.started < kQuickSeconds ? worker.quick_deaths + 1 : 0;
  streams_.Err(fmt::format("warning: rank {} {}\n", worker.rank, how));
  if (worker.quick_deaths >= kMostQuickDeaths) {
    streams_.Err(fmt::format("warning: rank {} died {} times at its start and stays away\n",
                             worker.rank, worker.quick_deaths));
    return;
  }
  if (!is_remote()) return Start(worker);
  worker.start_at = MonotonicSeconds() + kAgainSeconds;
}

// A worker on another machine whose connection has ended: it, its host or the way there is lost.
void Supervisor::HandleLostWay(Worker& worker, const std::string& how) {
  worker.status = passed_on_ != 0 ? kInterrupted : kFailed;
  if (ending_ || passed_on_ != 0) return;
  const std::string& host = HostOf(worker);
  if (!worker.was_there) {
    worker.complaints = {
        fmt::format("error: cannot start rank {} on host '{}': {}", worker.rank, host,
                    worker.said.empty() ? how : worker.said),
        fmt::format("hint: `{} {} true` must work without a password, and the program and the "
                    "folder must be there as they are here",
                    options_.remote[0].command[0], host)};
    if (worker.rank == 0) {
      for (const std::string& line : worker.complaints) streams_.Err(line + "\n");
    }
    BeginEnding();
    for (Worker& other : workers_) {
      if (other.pid > 0) GiveUp(other);
    }
    return;
  }
  worker.is_lost = true;
  streams_.Err(fmt::format("warning: rank {} on host {} is lost: {}\n", worker.rank, host, how));
  const bool any_there = std::any_of(workers_.begin(), workers_.end(), [&](const Worker& other) {
    return other.pid > 0 && other.remote_pid > 0 && HostOf(other) == host;
  });
  if (!any_there) {
    streams_.Err(
        fmt::format("warning: host {} is lost: none of its workers answers; the others go "
                    "on without it\n",
                    host));
  }
  if (++worker.quick_deaths > kMostQuickDeaths) {
    streams_.Err(fmt::format("warning: rank {} was lost {} times and stays away\n", worker.rank,
                             worker.quick_deaths));
    return;
  }
  worker.start_at = MonotonicSeconds() + kAgainSeconds * (1 << worker.quick_deaths) / 2;
}

void Supervisor::StartLate() {
  if (ending_ || passed_on_ != 0) return;
  for (Worker& worker : workers_) {
    if (worker.start_at > 0 && MonotonicSeconds() >= worker.start_at) Start(worker);
  }
}

// Of the workers that should have ended by now: those that are stopped, that wait for somebody
// who does not come, or that connections to a host hold which is cut off.
void Supervisor::EndLeftOver() {
  const double now = MonotonicSeconds();
  if (ending_ && !is_over_ && options_.has_ended()) {
    is_over_ = true;
    for (Worker& worker : workers_) {
      if (worker.to_end_by == 0) worker.to_end_by = now + options_.grace_seconds;
    }
  }
  for (Worker& worker : workers_) {
    if (worker.pid <= 0 || worker.to_end_by == 0 || now < worker.to_end_by) continue;
    if (worker.was_ended) {
      EndAtOnce(worker, SIGKILL);
      continue;
    }
    const char* when = passed_on_ != 0 ? "since the interrupt"
                       : is_over_      ? "since the run's end"
                                       : "since another one failed";
    streams_.Err(fmt::format("warning: rank {}{} has not ended in the {:g} s {}: it is ended\n",
                             worker.rank, is_remote() ? " on host " + HostOf(worker) : "",
                             options_.grace_seconds, when));
    worker.is_lost = is_over_;  // what the others came to counts
    EndAtOnce(worker, SIGTERM);
  }
}

// A worker that was asked before ends at once by SIGTERM, saving nothing; one that is stopped does
// by SIGKILL alone. One on another machine ends when its ssh does.
void Supervisor::EndAtOnce(Worker& worker, int signal) {
  worker.was_ended = true;
  worker.to_end_by = MonotonicSeconds() + kLastSeconds;
  ::kill(worker.pid, signal);
}

void Supervisor::PassOnSignals() {
  if (!Interrupted() || passed_on_ != 0) return;
  passed_on_ = InterruptSignal();
  for (Worker& worker : workers_) {
    if (worker.pid <= 0) continue;
    worker.to_end_by = MonotonicSeconds() + options_.grace_seconds;
    Interrupt(worker, passed_on_);
  }
}

// Nobody wants to wait any more. Files are whole whenever a worker is killed.
void Supervisor::PassOnFurtherSignals() {
  if (!InterruptedAgain() || ended_all_) return;
  ended_all_ = true;
  int running = 0;
  for (Worker& worker : workers_) {
    if (worker.pid <= 0) continue;
    ++running;
    EndAtOnce(worker, is_remote() ? SIGTERM : SIGKILL);
  }
  streams_.Err(fmt::format("interrupted again: ended {} worker{} at once\n", running,
                           running == 1 ? "" : "s"));
}

}  // namespace ingot::cli
