// SupervisorLine: in a worker that `ingot launch` has started on another machine: its standard
// input, on which the supervisor says the token and when to end. Where it closes, the supervisor or
// the way there is gone, and the worker ends, with a checkpoint.
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace ingot::cli {

class SupervisorLine {
 public:
  // Says this process's number on standard error, and waits for the token. Throws
  // Error(kInvalidInput) where none comes.
  SupervisorLine();
  ~SupervisorLine();
  SupervisorLine(const SupervisorLine&) = delete;
  SupervisorLine& operator=(const SupervisorLine&) = delete;

  const std::string& token() const { return token_; }

 private:
  void Loop();

  std::string token_;
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

// What a worker says first, in front of its number.
inline constexpr const char* kProcessLine = "ingot-worker-process ";
// What it is told.
inline constexpr const char* kInterruptLine = "interrupt\n";
// The value of INGOT_SUPERVISED in a worker on another machine.
inline constexpr const char* kSupervisedRemotely = "remote";

}  // namespace ingot::cli
