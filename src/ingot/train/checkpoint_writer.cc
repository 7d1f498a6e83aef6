// CheckpointWriter: see checkpoint_writer.h.
#include "ingot/train/checkpoint_writer.h"

#include <chrono>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::train {
namespace {

// Adds the seconds of its life to a sum.
class StopWatch {
 public:
  explicit StopWatch(double& sum) : sum_(sum) {}
  ~StopWatch() { sum_ += std::chrono::duration<double>(Clock::now() - begin_).count(); }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double& sum_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace

CheckpointWriter::~CheckpointWriter() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::Save(CheckpointRequest request) {
  const StopWatch watch(stall_seconds_);
  {
    std::unique_lock lock(mutex_);
    WaitLocked(lock);
    request_ = std::move(request);
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
  changed_.notify_all();
}

void CheckpointWriter::Wait() {
  const StopWatch watch(stall_seconds_);
  std::unique_lock lock(mutex_);
  WaitLocked(lock);
}

int64_t CheckpointWriter::written() const {
  const std::lock_guard lock(mutex_);
  return written_;
}

void CheckpointWriter::WaitLocked(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return !request_.has_value(); });
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

void CheckpointWriter::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return request_.has_value() || stopping_; });
    if (!request_.has_value()) return;
    // Nobody else touches the request until it is reset below.
    CheckpointRequest& request = *request_;
    lock.unlock();
    std::exception_ptr error;
    try {
      Write(request);
    } catch (const std::bad_alloc&) {
      error = std::make_exception_ptr(
          Error(ErrorCode::kOutOfMemory, "there is not enough memory to write a checkpoint"));
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    request_.reset();
    error_ = error;
    written_ += error == nullptr ? 1 : 0;
    changed_.notify_all();
  }
}

void CheckpointWriter::Write(CheckpointRequest& request) {
  if (request.complete) request.complete(request.checkpoint.manifest);
  if (request.as_step) store_.Save(request.checkpoint);
  if (!request.model_parameters.empty()) {
    request.checkpoint.parameters = std::move(request.model_parameters);
  }
  if (request.as_best) store_.SaveAs(kBestCheckpoint, request.checkpoint);
  if (request.as_final) store_.SaveAs(kFinalCheckpoint, request.checkpoint);
}

}  // namespace ingot::train
