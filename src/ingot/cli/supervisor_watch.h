// SupervisorWatch: in a worker of `ingot launch`: sees to it that there is a supervisor. Where it
// is gone, one of the workers starts a new one (`ingot supervise`).
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace ingot::cli {

class SupervisorWatch {
 public:
  // `run`: the run directory.
  explicit SupervisorWatch(std::string run);
  ~SupervisorWatch();
  SupervisorWatch(const SupervisorWatch&) = delete;
  SupervisorWatch& operator=(const SupervisorWatch&) = delete;

 private:
  void Loop();
  void Replace(int64_t pid);

  const std::string run_;
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

}  // namespace ingot::cli
