// Processes, pipes and signals.
#include "ingot/cli/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/interrupt.h"
#include "ingot/dist/coordinator.h"

namespace ingot::cli {
namespace {

// A worker that dies so soon after its start so often is not started again.
constexpr double kQuickSeconds = 0.5;
constexpr int kMostQuickDeaths = 5;
constexpr int kPollMilliseconds = 5;
constexpr const char* kColours[] = {"36", "33", "35", "32", "34", "31"};

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

Supervisor::~Supervisor() {
  for (Worker& worker : workers_) {
    if (worker.output >= 0) ::close(worker.output);
  }
}

int Supervisor::Run() {
  if (options_.adopts) {
    if (options_.has_ended()) return kOk;
    Adopt();
  }
  for (Worker& worker : workers_) {
    if (worker.pid < 0) Start(worker);
  }
  WritePids();
  while (AnyRuns()) {
    std::vector<pollfd> polls;
    for (const Worker& worker : workers_) {
      if (worker.output >= 0) polls.push_back({worker.output, POLLIN, 0});
    }
    ::poll(polls.data(), polls.size(), kPollMilliseconds);
    for (Worker& worker : workers_) Read(worker);
    PassOnSignals();
    Reap();
  }
  for (Worker& worker : workers_) Read(worker);
  WritePids();
  // What several say alike is shown once.
  std::vector<std::string> shown = workers_[0].complaints;
  int status = 0;
  for (const Worker& worker : workers_) {
    const bool counts = !worker.given_up || worker.status != kInterrupted;
    if (status == 0 && counts) status = worker.status;
    if (worker.complaints == shown) continue;
    if (!shown.empty() && worker.status == workers_[0].status) continue;
    for (const std::string& line : worker.complaints) streams_.Err(line + "\n");
    shown = worker.complaints;
  }
  return status;
}

void Supervisor::Start(Worker& worker) {
  int pipe[2] = {-1, -1};
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw FileError("make", "a pipe", errno);
  std::vector<std::string> strings = {"ingot"};
  strings.insert(strings.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<char*> arguments;
  for (std::string& text : strings) arguments.push_back(text.data());
  arguments.push_back(nullptr);
  const std::string rank = std::to_string(worker.rank);
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
  if (pid == 0) {
    // A group of its own: Ctrl-C reaches this process alone, which passes it on.
    ::setpgid(0, 0);
    ::dup2(pipe[1], STDERR_FILENO);
    // What is said to a supervisor that is gone must not end the worker.
    ::signal(SIGPIPE, SIG_IGN);
    for (const auto& [name, value] : options_.environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    ::setenv("INGOT_RANK", rank.c_str(), 1);
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  if (worker.output >= 0) ::close(worker.output);
  worker.output = pipe[0];
  worker.pid = pid;
  worker.is_child = true;
  worker.line.clear();
  worker.started = MonotonicSeconds();
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

void Supervisor::WritePids() const {
  std::string text = fmt::format("supervisor {}\n", ::getpid());
  for (const Worker& worker : workers_) {
    if (worker.pid > 0) text += fmt::format("rank {} {}\n", worker.rank, worker.pid);
  }
  WriteFileAtomically(RealFileSystem(), options_.pids_file, text);
}

void Supervisor::Read(Worker& worker) {
  if (worker.output < 0) return;
  char buffer[8192];
  while (true) {
    const ssize_t got = ::read(worker.output, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) {
      ::close(worker.output);
      worker.output = -1;
    }
    if (got <= 0) break;
    worker.line.append(buffer, static_cast<size_t>(got));
  }
  for (size_t end = worker.line.find('\n'); end != std::string::npos;
       end = worker.line.find('\n')) {
    Show(worker, worker.line.substr(0, end));
    worker.line.erase(0, end + 1);
  }
  if (worker.output < 0 && !worker.line.empty()) {
    Show(worker, worker.line);
    worker.line.clear();
  }
}

// Why a worker ends is kept until all have ended: most say the same then.
void Supervisor::Show(Worker& worker, const std::string& line) {
  if (line.starts_with("error:") || line.starts_with("hint:")) {
    worker.complaints.push_back(line);
    if (worker.rank == 0) streams_.Err(line + "\n");
    return;
  }
  if (worker.given_up && line == "interrupted") return;  // nobody asked for that
  const std::string prefix = fmt::format("[rank {}]", worker.rank);
  if (colour_) {
    const char* colour = kColours[static_cast<size_t>(worker.rank) % std::size(kColours)];
    streams_.Err(fmt::format("\x1b[{}m{}\x1b[0m {}\n", colour, prefix, line));
  } else {
    streams_.Err(prefix + " " + line + "\n");
  }
}

bool Supervisor::AnyRuns() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const Worker& worker) { return worker.pid > 0; });
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
  if (WIFEXITED(status)) {
    worker.status = WEXITSTATUS(status);
    ending_ = true;
    if (worker.status == 0 || worker.status == kInterrupted) return;
    // One that ends because another has failed says nothing of its own, and that one is about to.
    if (worker.complaints.empty()) return;
    // One that never came to join is waited for by the others in vain.
    for (Worker& other : workers_) {
      if (other.pid <= 0 || MonotonicSeconds() - other.started >= 5) continue;
      other.given_up = true;
      ::kill(other.pid, SIGTERM);
    }
    return;
  }
  worker.status = passed_on_ != 0 ? kInterrupted : 1;
  if (ending_ || passed_on_ != 0) return;
  worker.quick_deaths =
      MonotonicSeconds() - worker.started < kQuickSeconds ? worker.quick_deaths + 1 : 0;
  streams_.Err(fmt::format("warning: rank {} was ended by signal {} ({})\n", worker.rank,
                           WTERMSIG(status), strsignal(WTERMSIG(status))));
  if (worker.quick_deaths >= kMostQuickDeaths) {
    streams_.Err(fmt::format("warning: rank {} died {} times at its start and stays away\n",
                             worker.rank, worker.quick_deaths));
    return;
  }
  Start(worker);
}

void Supervisor::PassOnSignals() {
  if (!Interrupted() || passed_on_ != 0) return;
  passed_on_ = InterruptSignal();
  for (const Worker& worker : workers_) {
    if (worker.pid > 0) ::kill(worker.pid, passed_on_);
  }
}

}  // namespace ingot::cli
