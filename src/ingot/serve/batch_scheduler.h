// BatchScheduler: waiting requests of one model, joined into batches.
//
// Two ways lead to the backend. A model whose batches take little time is computed by the event
// loop that read the requests, right after the sockets that were ready have been read: what arrived
// together is one batch, and no thread wakes another. Everything else waits in a queue, from which
// as many threads as the model has instances take batches.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "ingot/serve/compute_gate.h"
#include "ingot/serve/scheduler.h"

namespace ingot::serve {

struct QueuePolicy {
  bool reject = true;  // a job whose time is over; otherwise it is computed after all others
  uint64_t default_timeout_us = 0;  // 0: none
  bool allow_timeout_override = true;
  int64_t max_queued = 0;  // delayed ones too; 0: the server's limit
};

struct BatchSettings {
  bool join = false;  // several requests make a batch
  int64_t max_batch = 0;
  std::vector<int64_t> preferred;
  int64_t max_delay_us = 0;
  bool preserve_ordering = false;
  uint64_t levels = 0;  // of priority; 0: all the same
  uint64_t default_level = 0;
  QueuePolicy default_policy;
  std::map<uint64_t, QueuePolicy> policies;  // by level
  int instances = 1;
  int64_t max_queued = 8192;
};

class BatchQueue;

class BatchScheduler : public Scheduler {
 public:
  BatchScheduler(const BatchSettings& settings, ComputeGate& gate);
  ~BatchScheduler() override;  // what waits is computed first
  void Submit(JobPtr job) override;
  int64_t queued() const override;

 private:
  std::shared_ptr<BatchQueue> queue_;
};

}  // namespace ingot::serve
