// SequenceScheduler: requests that belong together (a correlation id), one after another, each with
// the state that the one before it left. Different sequences share batches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/serve/backend.h"
#include "ingot/serve/scheduler.h"

namespace ingot::serve {

struct ServedPort;

// An input that the server fills: whether a sequence starts, is ready or ends, or its id.
struct ControlInput {
  enum class Kind { kStart, kReady, kEnd, kCorrelation };
  size_t port = 0;  // of the core inputs
  Kind kind = Kind::kStart;
  DType dtype = DType::kF32;
  std::string off, on;  // the element's bytes (not for kCorrelation)
};

// An output of one request that is an input of the next.
struct SequenceState {
  size_t input = 0, output = 0;  // of the core ports
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;  // without the batch axis, of the first state
  std::string initial;        // its bytes
};

struct SequenceSettings {
  std::vector<ControlInput> controls;
  std::vector<SequenceState> states;
  int64_t most_sequences = 64;  // at once; more wait for a place
  int64_t most_waiting = 8192;
  uint64_t idle_us = 1'000'000;
};

class SequenceCore;

class SequenceScheduler : public Scheduler {
 public:
  SequenceScheduler(SequenceSettings settings, std::unique_ptr<Scheduler> below);
  ~SequenceScheduler() override;  // no job is left: each keeps the model
  void Submit(JobPtr job) override;
  int64_t queued() const override;

 private:
  std::shared_ptr<SequenceCore> core_;
};

}  // namespace ingot::serve
