// Prefetcher: assembles batches ahead of the steps on threads of its own, for transforms that cost
// more than a copy. Cheap ones are best assembled by the step's workers themselves
// (Batches::cheap).
//
// What a step sees is exactly what Batches gives, whatever the threads do: a batch that is not
// ready is waited for, and one that is long past (asked for by a worker that had been stalled) is
// assembled by the caller. Runs may begin and begin again at any step. Fill is thread-safe and does
// not allocate in a steady state; memory is `depth` batches. An error belongs to its step and is
// thrown to whoever asks for that step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ingot/data/batches.h"
#include "ingot/runtime/step_engine.h"

namespace ingot::data {

class Prefetcher : public runtime::BatchSource {
 public:
  // `depth` >= 2 batches are held, `threads` >= 1 assemble them.
  Prefetcher(std::shared_ptr<const Batches> batches, int depth, int threads);
  // Stops and joins its threads; no Fill may be under way.
  ~Prefetcher() override;
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  void Fill(int64_t step, int64_t first_sample, int64_t count,
            std::span<void* const> inputs) const override;

  // Batches that the threads have assembled so far; for tests.
  int64_t assembled() const;
  // How long callers have waited for batches that were not ready, all of them together.
  double waited_seconds() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace ingot::data
