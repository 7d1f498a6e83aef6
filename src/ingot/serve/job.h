// InferJob: one inference request on its way through the server, and its answer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ingot/serve/data_type.h"
#include "ingot/serve/status.h"

namespace ingot::serve {

using Clock = std::chrono::steady_clock;
inline int64_t Nanoseconds(Clock::duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

using Parameter = std::variant<bool, int64_t, uint64_t, double, std::string>;

struct InferInput {
  std::string name;
  DType dtype = DType::kUndefined;
  Dims dims;
  std::span<const std::byte> bytes;   // BYTES: in the form in which they travel
  std::shared_ptr<const void> owner;  // keeps the bytes; null: the job does (InferJob::owners)
};

// Where in a registered region of shared memory a tensor lies.
struct SharedMemoryPlace {
  std::string region;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct WantedOutput {
  std::string name;
  bool binary = false;
  int64_t classes = 0;      // so many of the greatest values, with their labels; 0: the tensor
  SharedMemoryPlace place;  // region "": in the answer
};

struct InferOutput {
  std::string name;
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  const WantedOutput* wanted = nullptr;  // null where the client named no outputs
};

struct SequenceFlags {
  std::string id;  // the correlation id as text; "" or "0": none
  uint64_t number = 0;
  bool start = false;
  bool end = false;
};

// What a stage of the request took, for statistics and traces.
struct JobTimes {
  Clock::time_point received, queued, compute_start, compute_end;
  int64_t input_ns = 0, infer_ns = 0, output_ns = 0;
};

class ServedModel;
class ShadowPair;

// Who asks fills the first part and submits; who computes fills the second and calls Finish, once,
// from any thread.
class InferJob {
 public:
  virtual ~InferJob() = default;
  virtual void Finish() = 0;

  std::shared_ptr<const ServedModel> model;
  std::string id;
  std::vector<InferInput> inputs;
  std::vector<WantedOutput> wanted;
  std::vector<std::pair<std::string, Parameter>> parameters;  // those the server does not know
  std::vector<std::shared_ptr<const void>> owners;
  SequenceFlags sequence;
  uint64_t priority = 0;    // 1 is the highest; 0: the model's default
  uint64_t timeout_us = 0;  // in the queue; 0: the model's default
  std::string trace_parent;
  std::string key_name;  // of the API key that came with the request
  // Nobody waits for the answer any longer: the queue drops the job (IsCancelled).
  std::atomic<bool> cancelled = false;
  // The job that a scheduler has made this one for, and with which it is cancelled; null: none.
  std::shared_ptr<const InferJob> origin;

  Status status;
  std::vector<InferOutput> outputs;
  JobTimes times;
  int64_t rows = 1;       // of the batch axis; 1 for models without one
  bool internal = false;  // made by a scheduler: gets every output of the backend
  bool from_cache = false;
  bool streamed = false;               // the call can carry any number of answers
  std::shared_ptr<ShadowPair> shadow;  // another version computes the same
  std::string cache_key;               // the answer is to be kept under it

  bool IsCancelled() const {
    return cancelled.load(std::memory_order_relaxed) ||
           (origin != nullptr && origin->IsCancelled());
  }

  // The next request on the same connection uses the same object.
  void Reset() {
    model.reset();
    id.clear();
    inputs.clear();
    wanted.clear();
    parameters.clear();
    owners.clear();
    sequence = {};
    priority = timeout_us = 0;
    trace_parent.clear();
    key_name.clear();
    cancelled.store(false, std::memory_order_relaxed);
    origin.reset();
    status = {};
    outputs.clear();
    times = {};
    rows = 1;
    internal = false;
    from_cache = false;
    streamed = false;
    cache_key.clear();
    shadow.reset();
  }
};

using JobPtr = std::shared_ptr<InferJob>;

}  // namespace ingot::serve
