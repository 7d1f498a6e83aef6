// Inference: what every front end does with a job: finds its model, checks it, looks into the
// cache, submits it, and looks after the answer.
#pragma once

#include <string>
#include <string_view>

#include "ingot/serve/job.h"
#include "ingot/serve/server_state.h"

namespace ingot::serve {

// Takes so much of the memory for requests in flight until the job ends: for bodies that grew when
// they were decompressed. Throws Error(kOutOfMemory) where it is not there.
void HoldMemory(InferJob& job, MemoryBudget& budget, size_t bytes);

// Safe for use by several threads.
class Inference {
 public:
  explicit Inference(ServerState& state) : state_(state) {}

  // The job is finished sooner or later, with a status where something is wrong.
  void Start(const JobPtr& job, const std::string& model, const std::string& version);

  // For Finish to call first: the cache, outputs in shared memory, classes in place of values.
  void Complete(InferJob& job);

  // Gives an input a copy of what lies in registered shared memory.
  Status ReadSharedMemory(const SharedMemoryPlace& place, InferJob& job, InferInput& input) const;

 private:
  void StartFound(const JobPtr& job);
  Status WriteOutputs(InferJob& job) const;

  ServerState& state_;
};

}  // namespace ingot::serve
