// MpiWorld: this process as one of those that mpirun has started: messages to the others, whose
// memory is the world's own until they are done.
//
// MPI gives no way to take back a message that is on its way. So values are copied into buffers of
// the world, and one that was given up stays there until MPI is done with it; what comes for a
// group that is no more is received and dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define OMPI_SKIP_MPICXX 1  // C++ bindings, which nobody uses
#include <mpi.h>

namespace ingot::transports {

// A message of the world; in parts where it is larger than MPI counts.
struct MpiRequest {
  bool sends = false;
  std::unique_ptr<std::byte[]> buffer;
  size_t capacity = 0;
  std::vector<MPI_Request> parts;
};

// Safe for several threads, one at a time of which is in MPI.
class MpiWorld {
 public:
  // Initializes MPI, once in a process. Null where that fails; `error` says why.
  static std::unique_ptr<MpiWorld> Open(std::string* error);
  // Without Finish it leaves MPI as it is: to wait for others that may never come is no end.
  ~MpiWorld() = default;
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool one_machine() const { return one_machine_; }
  // Those with the same name can send to each other.
  const std::string& name() const { return name_; }
  int most_tag() const { return most_tag_; }

  bool Broadcast(std::string* text, std::string* error);
  std::unique_ptr<MpiRequest> Send(int peer, int tag, const void* data, size_t bytes,
                                   std::string* error);
  std::unique_ptr<MpiRequest> Receive(int peer, int tag, size_t bytes, std::string* error);
  // Whether it is done; -1 where it failed.
  int Test(MpiRequest& request, std::string* error);
  // Takes a message back that is done, or is not wanted any more.
  void Release(std::unique_ptr<MpiRequest> request);
  // Receives and drops what nobody has asked for: between two groups.
  void DropStrays();
  // Waits for all processes, and ends MPI.
  void Finish();

 private:
  MpiWorld() = default;
  bool Start(std::string* error);
  std::unique_ptr<MpiRequest> Make(bool sends, size_t bytes);
  bool Post(MpiRequest& request, int peer, int tag, size_t bytes, std::string* error);
  void DropStraysLocked();
  void CollectGivenUp();
  bool AnyPending(MpiRequest& request);
  void Keep(std::unique_ptr<MpiRequest> request);

  MPI_Comm communicator_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1, most_tag_ = 0;
  bool one_machine_ = true;
  std::string name_;
  std::mutex mutex_;
  // Guarded by mutex_, as every call of MPI is:
  std::list<std::unique_ptr<MpiRequest>> given_up_;
  std::vector<std::unique_ptr<MpiRequest>> spare_;  // for their buffers
  bool finished_ = false;
};

// Waits a little between two looks at what others do: at first not at all, then longer, since
// several processes may share a CPU.
class Backoff {
 public:
  void Wait();

 private:
  int looks_ = 0;
};

}  // namespace ingot::transports
