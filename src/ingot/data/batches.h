// Batches: the batch of any step, assembled straight into the step's input buffers.
//
// What a step sees is a pure function of the source, the options and the step number: nothing is
// remembered between steps, so a run resumes anywhere exactly, and any thread may assemble any part
// of any batch, twice if need be. Immutable; Fill is thread-safe and does not allocate.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/data/augment/augmenter.h"
#include "ingot/data/class_weights.h"
#include "ingot/data/conversion.h"
#include "ingot/data/selection.h"
#include "ingot/data/source.h"
#include "ingot/data/stage_times.h"
#include "ingot/runtime/step_engine.h"

namespace ingot::data {

struct BatchOptions {
  int64_t batch = 32;      // samples in a batch
  bool shuffle = true;     // another order in every epoch, by (seed, epoch); else the file's order
  bool drop_last = false;  // leave out the last batch of an epoch where it would be short
  // Batches run on from one pass over the data into the next, so that none is short; only in the
  // order of the file. An epoch is then batch * ceil(samples / batch) samples.
  bool wrap = false;
  uint64_t seed = 0;
  // Changes the samples, and mixes them where it says so; may be null.
  std::shared_ptr<const Augmenter> augmenter = nullptr;
  // Draws the samples of an epoch instead of going through all of them; may be null.
  std::shared_ptr<const WeightedSampler> sampler = nullptr;
};

class Batches : public runtime::BatchSource {
 public:
  // One conversion for each data input of the network, in their order; conversions[i] reads the
  // field of the source with the name of its input(). Throws Error(kInvalidInput) for a batch below
  // 1 or above the number of samples, for a field whose type is not the conversion's, and for
  // wrap together with shuffle.
  Batches(std::shared_ptr<const Source> source, Selection selection,
          std::vector<Conversion> conversions, BatchOptions options);

  int64_t samples() const { return selection_.size(); }
  int64_t batch() const { return options_.batch; }
  // What the network gets: one field for each data input, shapes without the batch.
  const std::vector<Field>& outputs() const { return outputs_; }

  int64_t StepsPerEpoch() const { return steps_per_epoch_; }
  int64_t EpochOf(int64_t step) const { return step / steps_per_epoch_; }
  // The number of samples in the batch of a step: batch(), or fewer in the short last one.
  int64_t BatchOf(int64_t step) const;
  // The size of the short last batch; batch() where there is none.
  int64_t LastBatch() const { return BatchOf(steps_per_epoch_ - 1); }
  // The samples of steps [0, step).
  int64_t SamplesBefore(int64_t step) const;

  // The record numbers of a step's batch, in its order, for messages.
  std::vector<int64_t> SamplesOf(int64_t step) const;
  // Where those records stand in the source.
  std::string Where(int64_t record) const { return source_->Where(record); }

  // Errors of the source or a conversion name the record.
  void Fill(int64_t step, int64_t first_sample, int64_t count,
            std::span<void* const> inputs) const override;

  // Whether assembling costs so little that it is best done by the workers themselves.
  bool cheap() const;
  const Source& source() const { return *source_; }
  // Of all samples assembled so far; null where that is cheap.
  const StageTimes* stage_times() const { return stage_times_.get(); }

 private:
  // The order of one epoch.
  class Order;
  struct Input {
    int field = 0;
    ContiguousField contiguous;
    size_t output_bytes = 0;
  };

  void FillRow(int64_t epoch, int64_t record, int64_t row, std::span<void* const> inputs,
               StageLap* lap) const;
  // One field of a record, augmented where it is the picture, converted into `out`. Errors name
  // the record, be it one of the batch or one that is mixed into it.
  void FillInput(int64_t epoch, int64_t record, size_t input, void* out, StageLap* lap) const;
  void ReadInput(int64_t epoch, int64_t record, size_t input, void* out, StageLap* lap) const;
  void MixIn(const Augmenter::Mix& mix, int64_t epoch, int64_t record, int64_t row,
             std::span<void* const> inputs, StageLap* lap) const;
  void* RowOf(std::span<void* const> inputs, size_t input, int64_t row) const {
    return static_cast<std::byte*>(inputs[input]) +
           static_cast<size_t>(row) * inputs_[input].output_bytes;
  }
  void MakeStages();
  void Prefetch(int64_t record) const;

  std::shared_ptr<const Source> source_;
  Selection selection_;
  std::vector<Conversion> conversions_;
  BatchOptions options_;
  std::vector<Field> outputs_;
  std::vector<Input> inputs_;
  size_t scratch_bytes_ = 0;  // of the largest sample as it comes from its source
  std::shared_ptr<StageTimes> stage_times_;
  int64_t steps_per_epoch_ = 0;
};

}  // namespace ingot::data
