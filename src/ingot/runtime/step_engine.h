// StepEngine: runs the compiled steps of a training or evaluation job on several threads.
//
// A step is a fixed set of stages of independent tasks (shards, tiles of parameters); threads claim
// tasks as they come free, and what a descheduled thread holds is computed again by another into
// private memory and published once. Who computes what never changes a bit of the result.
// In a steady state: no heap allocation, no lock, no thread of its own besides the workers; idle
// workers wait on a futex after at most a brief spin.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/tensor/tensor.h"

namespace ingot::runtime {

class Exchange;     // exchange.h
class StepProgram;  // made by compiler::CompileStep; immutable

// Writes one shard of a batch. Called from any worker, possibly twice for the same shard: it must
// be thread-safe, not allocate in a steady state, and write the same bytes every time.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Samples [first_sample, first_sample + count) of the batch of `step` into `inputs`, one pointer
  // for each data input of the program in its order; row i of an input is sample first_sample + i.
  virtual void Fill(int64_t step, int64_t first_sample, int64_t count,
                    std::span<void* const> inputs) const = 0;
};

// One run of consecutive steps.
struct StepRequest {
  int64_t first_step = 0;  // counted from 0 over the whole job
  int64_t count = 1;
  // The program (index in the engine's list) of a step; null: 0. A short last batch has its own.
  std::function<int(int64_t step)> program_of_step;
  const BatchSource* source = nullptr;
  // Writes the scalar inputs of a step, in the program's order (learning rate, ...); may be null
  // where the program has none.
  std::function<void(int64_t step, std::span<float> scalars)> scalars;
  int64_t steps_per_update = 1;  // "step", which optimizers count, is of updates
  int64_t update_lag = 0;        // updates are those of so many steps before
  uint64_t seed = 0;
  // Called once for each step, in order, by one thread at a time, when its sums are known: loss,
  // weight and metric sums in the program's order. May be null. Must not block.
  std::function<void(int64_t step, std::span<const float> sums)> on_sums;
  // Called once for each step with the row outputs (predictions) of the whole batch, before the
  // next step begins. May be null.
  std::function<void(int64_t step, std::span<const TensorView> rows)> on_rows;
  // Checked between steps; true ends the run after the step at hand. May be null.
  std::function<bool()> should_stop;
  bool stop_when_not_finite = true;  // before the update of a step whose loss is not finite
  Exchange* exchange = nullptr;      // for programs that several processes share
  // Looked at between kernels: true breaks the step at hand off with ExchangeBroken. May be null.
  const std::atomic<bool>* broken = nullptr;
};

struct StepResult {
  int64_t next_step = 0;  // the first step that was not done
  bool stopped = false;   // by should_stop
  // next_step's loss or gradients are not finite; the parameters are those before its update.
  bool not_finite = false;
  // A gradient was at fault, and some of the optimizer's state, which is updated in place, may have
  // moved already: what ReadState gives of it is not to be kept.
  bool state_touched = false;
};

// Counters since the engine was made; for tests and reports.
struct EngineCounters {
  int64_t steps = 0;
  int64_t tasks = 0;
  int64_t takeovers = 0;  // tasks computed again for a stalled thread and published
  int64_t discarded = 0;  // results that came too late
  int64_t sleeps = 0;     // futex waits
};

class StepEngine {
 public:
  // All programs share the parameters and state, which the first one names. `threads` >= 1
  // includes the calling thread. Throws Error(kOutOfMemory).
  StepEngine(std::vector<std::shared_ptr<const StepProgram>> programs, int threads);
  ~StepEngine();

  // Not reentrant. Errors thrown by the source or the callbacks end the run and are rethrown here.
  StepResult Run(const StepRequest& request);

  // Other programs over the same parameters and state, which keep their values; between runs.
  void ReplacePrograms(std::vector<std::shared_ptr<const StepProgram>> programs);

  // The parameters and optimizer state by name, between runs; row-major copies.
  std::vector<std::string> StateNames() const;
  Tensor ReadState(const std::string& name) const;
  // The bytes where they lie, not to be written to. They change with the next run, and outlive the
  // engine.
  Tensor ViewState(const std::string& name) const;
  void WriteState(const std::string& name, const Tensor& value);

  int threads() const;
  EngineCounters counters() const;
  uint64_t memory_bytes() const;  // state, arenas and boundary buffers

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ingot::runtime
