// CheckpointWriter: writes checkpoints on a thread of its own while training goes on.
//
// The trainer hands over a snapshot; at most one is in flight, so a second one waits for the first
// and the time of that is counted. An error of the background write surfaces as the Error that it
// was at the next Save or Wait. The thread starts with the first Save.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "ingot/train/checkpoint_store.h"

namespace ingot::train {

struct CheckpointRequest {
  Checkpoint checkpoint;
  // In place of the checkpoint's parameters in `best` and `final`: moving averages. Empty: those.
  std::vector<formats::NamedTensor> model_parameters;
  bool as_step = true;    // step-NNNNNNNN, resumable
  bool as_best = false;   // parameters as `best`
  bool as_final = false;  // parameters as `final`
  // Called on the background thread before anything is written, to fill in what takes long (the
  // data's digest). May be null.
  std::function<void(Manifest&)> complete;
};

// Save, Wait and the destructor belong to one thread.
class CheckpointWriter {
 public:
  // The store must outlive the writer, and belongs to it while a write is in flight.
  explicit CheckpointWriter(CheckpointStore& store) : store_(store) {}
  // Waits for the write in flight; its error is lost: call Wait first.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Throws the error of the write before (nothing is written then).
  void Save(CheckpointRequest request);
  // Returns when nothing is in flight. Throws the error of the last write.
  void Wait();

  // Seconds the caller has spent inside Save and Wait.
  double stall_seconds() const { return stall_seconds_; }
  // Requests that were written without an error.
  int64_t written() const;

 private:
  void Loop();
  void Write(CheckpointRequest& request);
  void WaitLocked(std::unique_lock<std::mutex>& lock);

  CheckpointStore& store_;
  double stall_seconds_ = 0;
  std::thread thread_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::optional<CheckpointRequest> request_;  // in flight while it has a value
  std::exception_ptr error_;
  int64_t written_ = 0;
  bool stopping_ = false;
};

}  // namespace ingot::train
