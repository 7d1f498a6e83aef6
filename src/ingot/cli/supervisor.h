// Supervisor: starts the worker processes of a run, on this machine or on others over ssh, starts
// those that die anew, and passes on what they say. It holds nothing that a run of this machine
// needs: without it the workers finish alone.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ingot/base/file_descriptor.h"
#include "ingot/cli/program.h"

namespace ingot::cli {

// A worker on another machine, and the command that starts it.
struct RemoteWorker {
  std::string host;
  std::vector<std::string> command;  // ssh, the host, what it is to run there
};

struct SupervisorOptions {
  int workers = 1;
  std::vector<std::string> arguments;                            // of the program, for each worker
  std::vector<std::pair<std::string, std::string>> environment;  // besides this process's own
  std::string pids_file;
  std::vector<RemoteWorker> remote;  // by rank; empty: all workers are on this machine
  std::string token;                 // what those on others read first
  // Takes over the workers that the file names from a supervisor that is gone.
  bool adopts = false;
  std::function<bool()> has_ended;  // whether the run is over, as its records say
  // How long a worker may take to end once it was asked to, or the run is over.
  double grace_seconds = 10;
};

class Supervisor {
 public:
  Supervisor(SupervisorOptions options, const Streams& streams);

  // Until all workers have ended; the exit status of the run.
  int Run();

 private:
  struct Worker {
    int rank = 0;
    int pid = -1;  // -1: has ended
    FileDescriptor output;
    std::string begun;  // what came without an end so far
    std::vector<std::string> complaints;
    bool given_up = false;   // ended by the supervisor because another has failed
    double to_end_by = 0;    // when it is ended; 0: not
    bool was_ended = false;  // it was told to end at once
    int status = -1;         // the exit status; -1 while it runs
    bool is_child = true;
    double started = 0;
    int quick_deaths = 0;
    // On another machine:
    FileDescriptor line;     // standard input of its ssh
    int remote_pid = -1;     // as it has said itself
    bool was_there = false;  // it has run at least once
    std::string said;        // the last line, which may be ssh's
    double start_at = 0;     // when it is started again; 0: not
    bool is_lost = false;    // the others go on without it
  };

  bool is_remote() const { return !options_.remote.empty(); }
  const std::string& HostOf(const Worker& worker) const {
    return options_.remote[static_cast<size_t>(worker.rank)].host;
  }
  void StartAll();
  void Start(Worker& worker);
  [[noreturn]] void Become(const Worker& worker, int output, int line);
  void Adopt();
  void WritePids();
  void Read(Worker& worker);
  void Show(Worker& worker, const std::string& line);
  void Reap();
  void HandleEnd(Worker& worker, int status);
  void HandleDeath(Worker& worker, const std::string& how);
  void HandleLostWay(Worker& worker, const std::string& how);
  void BeginEnding();
  void GiveUp(Worker& worker);
  void Interrupt(const Worker& worker, int signal);
  void EndOthers();
  void StartLate();
  void EndLeftOver();
  void EndAtOnce(Worker& worker, int signal);
  void PassOnSignals();
  void PassOnFurtherSignals();
  bool AnyRuns() const;

  SupervisorOptions options_;
  const Streams& streams_;
  bool colour_ = false;
  std::vector<Worker> workers_;
  bool ending_ = false;   // a worker has ended by itself: none is started anew
  bool is_over_ = false;  // the records say so, too: all are to end by themselves
  int passed_on_ = 0;
  bool ended_all_ = false;
  bool pids_failed_ = false;
  double write_pids_at_ = 0;  // again; 0: they are written
};

}  // namespace ingot::cli
