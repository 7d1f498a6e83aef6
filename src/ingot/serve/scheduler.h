// Scheduler: decides when a job is computed, and with which others.
#pragma once

#include "ingot/serve/job.h"

namespace ingot::serve {

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // Takes a job that ServedModel::Check has passed; it is finished sooner or later, also when it
  // is refused. Called from any thread.
  virtual void Submit(JobPtr job) = 0;
  // Jobs that wait.
  virtual int64_t queued() const = 0;
};

}  // namespace ingot::serve
