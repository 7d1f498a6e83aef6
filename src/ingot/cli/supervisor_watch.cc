// Watching the supervisor, and starting another.
#include "ingot/cli/supervisor_watch.h"

#include <chrono>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/dist/coordinator.h"
#include "ingot/dist/store.h"
#include "ingot/train/run_directory.h"

namespace ingot::cli {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(50);

}  // namespace

SupervisorWatch::SupervisorWatch(std::string run)
    : run_(std::move(run)), thread_([this] { Loop(); }) {}

SupervisorWatch::~SupervisorWatch() {
  closing_.store(true);
  thread_.join();
}

void SupervisorWatch::Loop() {
  while (!closing_.load()) {
    std::this_thread::sleep_for(kInterval);
    std::ifstream file(run_ + "/" + train::kPidsFile);
    std::string word;
    int64_t pid = 0;
    if (!(file >> word >> pid) || word != "supervisor" || dist::ProcessRuns(pid)) continue;
    try {
      Replace(pid);
    } catch (const Error&) {
      // The folder cannot be written: the run goes on as long as its workers live.
    }
  }
}

// Of all workers that see the death, one starts the successor.
void SupervisorWatch::Replace(int64_t pid) {
  dist::FileStore store(run_ + "/" + train::kRendezvousFolder);
  if (store.Get("ended") || !store.Create("supervisor-" + std::to_string(pid), "")) return;
  std::string program = "/proc/self/exe";
  std::string name = "ingot";
  std::string verb = "supervise";
  std::string run = run_;
  char* const arguments[] = {name.data(), verb.data(), run.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const std::string log = run_ + "/" + train::kWorkersLogFile;
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    ::posix_spawn_file_actions_addopen(&actions, fd, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                       0666);
  }
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t child = 0;
  ::posix_spawn(&child, program.c_str(), &actions, &attributes, arguments, environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
}

}  // namespace ingot::cli
