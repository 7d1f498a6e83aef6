// ServedModel: one loaded version of a model: its ports as clients see them, what computes it, and
// the scheduler in front of that.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/serve/backend.h"
#include "ingot/serve/compute_gate.h"
#include "ingot/serve/job.h"
#include "ingot/serve/scheduler.h"
#include "ingot/serve/statistics.h"

namespace inference {
class ModelConfig;
}

namespace ingot::serve {

class ShadowTraffic;

struct ServedPort {
  std::string name;
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;          // without the batch axis
  std::vector<int64_t> backend_dims;  // the same elements as the backend wants them ("reshape")
  bool reshaped = false;
  std::vector<std::string> labels;        // of an output's classes
  std::shared_ptr<const Value> fallback;  // of an optional input that is not given
  // The elements of all requests of a batch lie one after another in one axis, whatever their
  // shapes. An output that is cut so has the shape of the input of this number.
  bool ragged = false;
  size_t shape_of = 0;
};

// An input of the backend that the server makes for each batch: what its requests' elements of one
// input are.
struct BatchInput {
  enum class Kind { kCount, kSum, kSumFromZero, kMaxAsShape, kShapes, kFlatShapes };
  size_t port = 0;    // of the core inputs
  size_t source = 0;  // of the inputs
  Kind kind = Kind::kCount;
  DType dtype = DType::kF32;  // or kI32
};

class ServedModel {
 public:
  explicit ServedModel(double weight = 1) : account(weight) {}

  std::string name;
  int64_t version = 1;
  std::shared_ptr<const inference::ModelConfig> config;
  std::string platform;
  int64_t max_batch = 0;  // 0: the model has no batch axis

  // What clients see; for most models the same as what the backend has, in its order.
  std::vector<ServedPort> inputs;
  std::vector<ServedPort> outputs;
  // All of the backend's, in its order: sequence models have controls and states besides.
  std::vector<ServedPort> core_inputs;
  std::vector<ServedPort> core_outputs;

  std::shared_ptr<const Backend> backend;  // null for an ensemble
  std::unique_ptr<Scheduler> scheduler;    // after what it uses: it is destroyed first
  bool cache_responses = false;
  // Answers may be none or several: only calls that can carry those reach it.
  bool decoupled = false;
  std::vector<BatchInput> batch_inputs;
  std::shared_ptr<ShadowTraffic> shadow;  // null: none

  mutable ModelStatistics statistics;
  mutable ComputeGate::Account account;
  mutable std::atomic<int64_t> last_used_ns = 0;

  // Compares the job with the ports, brings its inputs into their order, finds its rows, and makes
  // bools 0 or 1. The message names the input or output that is wrong.
  Status Check(InferJob& job) const;
  const ServedPort* FindOutput(const std::string& name) const;

 private:
  Status CheckInput(const ServedPort& port, const InferInput& input, int64_t& rows) const;
  void FillMissing(InferJob& job) const;
};

// Computes jobs of one model as one batch: their inputs joined along the batch axis, the outputs
// cut. Fills the answers, counts statistics, and finishes every job. The jobs' rows sum up to at
// most the model's limit; their shapes agree (CanJoin).
void RunBatch(const std::shared_ptr<const ServedModel>& model, std::vector<JobPtr>& jobs,
              bool alone);

// Finishes a job that is not computed, with a status; counts it.
void Refuse(const JobPtr& job, Status status);

bool CanJoin(const InferJob& a, const InferJob& b);

}  // namespace ingot::serve
