// Executor: runs a graph on tensors, as fast as its shapes allow. infer::Session is an Executor
// with a model file in front.
//
// For each set of input shapes it makes an InferencePlan (compiler/inference_plan.h) and keeps the
// last few, and more where their memory is small: a server's batches have every size up to some
// number, and making a plan takes longer than running a small one. A graph in which sizes depend on
// the values of inputs, or with sequences, strings or control flow that cannot be decided
// beforehand, is run node by node by the dynamic executor (dynamic_run.h). Safe for use by many
// threads at once: each run has memory of its own; one of them has the helper threads, the others
// work alone meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/compiler/inference_plan.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/pass.h"
#include "ingot/tensor/tensor.h"

namespace ingot::infer {

struct ExecutorOptions {
  int threads = 0;        // 0: the CPUs that this process may use
  size_t most_plans = 8;  // kept for different input shapes, however large they are
  // Of all plans together: so much memory may be kept for more of them, up to kMostSmallPlans.
  size_t small_plans_bytes = 16 << 20;
  passes::PassOptions passes = {};
  // Holds packed weights that may be used by other executors too; null: one of its own.
  std::shared_ptr<cpu::WeightStore> store = {};
  // Mapped files that Constants of the graph view, which need not be aligned there
  // (passes/align_constants.h).
  std::vector<std::span<const std::byte>> mapped_files = {};
  // Called with inputs whose types or shapes did not come before, or not of late; throws what the
  // caller of Run is to see.
  std::function<void(std::span<const Tensor>)> check = {};
};

inline constexpr size_t kMostSmallPlans = 256;

// Time spent in each kernel of a plan.
struct KernelTime {
  compiler::PlannedKernel kernel;
  int64_t nanoseconds = 0;  // of all runs together
};

class Executor {
 public:
  // Takes the graph over. `registry` must outlive the executor.
  Executor(std::unique_ptr<ir::Graph> graph, const ir::OpRegistry& registry,
           const ExecutorOptions& options = {});
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Inputs and outputs in the order of the graph. Throws Error(kInvalidInput) naming the input that
  // does not fit, what it is and what the graph wants.
  // `alone`: without the helper threads, for runs so short that waking them takes longer.
  std::vector<Tensor> Run(std::span<const Tensor> inputs, bool alone = false) const;
  // Into tensors of the right types; allocates nothing once the plan for these shapes is made.
  void Run(std::span<const Tensor> inputs, std::span<Tensor> outputs) const;

  // Runs `count` times with a clock around every kernel; parts of a batch one after the other.
  // Empty where the graph runs dynamically.
  std::vector<KernelTime> Profile(std::span<const Tensor> inputs, int count) const;

  // Whether these inputs have a plan; false: they run node by node, and `problem` says why.
  bool IsPlanned(std::span<const Tensor> inputs, std::string* problem = nullptr) const;

  const ir::Graph& graph() const { return *graph_; }
  int threads() const;
  size_t packed_bytes() const { return weights_->bytes(); }
  size_t arena_bytes(std::span<const Tensor> inputs) const;

 private:
  struct Entry;  // a plan, or the knowledge that there is none
  class Lease;   // of a context of an entry
  class TeamHold;

  std::shared_ptr<Entry> Find(std::span<const Tensor> inputs) const;
  std::shared_ptr<Entry> FindLocked(std::span<const Tensor> inputs) const;
  bool SplitBatch(std::span<const Tensor> inputs, const ir::Graph& graph, Entry& entry) const;
  void RunPlanned(Entry& entry, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  bool alone) const;
  // The graph for inputs of these types and shapes.
  std::unique_ptr<ir::Graph> GraphFor(std::span<const Tensor> inputs) const;
  std::shared_ptr<Entry> MakeEntry(std::span<const Tensor> inputs) const;
  void CheckInputs(std::span<const Tensor> inputs) const;
  void ForgetOldPlans() const;

  struct State;
  std::unique_ptr<ir::Graph> graph_;
  const ir::OpRegistry& registry_;
  ExecutorOptions options_;
  std::shared_ptr<cpu::PackedWeights> weights_;
  std::unique_ptr<State> state_;
};

// Copies results into memory of the caller. Throws Error: an output is given with another type or
// shape (kInvalidInput), or has strings (kUnsupported); then none is written.
void CopyOutputs(std::span<const std::string> names, std::span<const Tensor> results,
                 std::span<Tensor> outputs);

}  // namespace ingot::infer
