// Pmi: what Hydra and its kin (mpiexec of MPICH and Intel MPI) offer the processes that they start,
// version 1 of the process management interface: records that all see, and a barrier.
#pragma once

#include <string>

#include "ingot/base/file_descriptor.h"

namespace ingot::cli {

class Pmi {
 public:
  // `fd`: the socket that the launcher has left open (PMI_FD). Throws Error(kIo) where what is
  // there does not speak PMI.
  explicit Pmi(int fd);
  ~Pmi();
  Pmi(const Pmi&) = delete;
  Pmi& operator=(const Pmi&) = delete;

  // What the process with rank 0 says, for all. Waits for all. Throws Error(kIo).
  std::string Broadcast(int rank, const std::string& text);

 private:
  // Sends a line, and returns the answer's value of `key`.
  std::string Ask(const std::string& line, const std::string& command, const std::string& key);

  FileDescriptor fd_;
};

}  // namespace ingot::cli
