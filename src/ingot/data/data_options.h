// The `data:` section of a job, and the data sets that it describes.
//
//   data:
//     source: mnist                  # or idx, or csv: {train: iris.csv, label_type: class}
//     folder: /data/mnist            # where its files are
//     batch: 128
//     transforms: [{normalise: 255}]
//
// A new format is a class derived from Source and an entry in SourceKinds() (source_kinds.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/base/options.h"
#include "ingot/data/batches.h"
#include "ingot/data/conversion.h"
#include "ingot/data/selection.h"
#include "ingot/data/source.h"
#include "ingot/data/source_kind.h"
#include "ingot/runtime/step_engine.h"

namespace ingot::data {

struct DataOptions {
  ConfigNode source = ConfigNode::Scalar("mnist");
  std::string folder;
  int64_t batch = 32;
  bool shuffle = true;
  bool drop_last = false;
  bool wrap = false;
  std::optional<int64_t> limit;
  std::optional<double> validation;
  ConfigNode transforms;     // null: the source's default
  ConfigNode augment;        // null: none
  ConfigNode class_weights;  // null: every class has weight 1
  ConfigNode sampling;       // null: every sample once in an epoch
  std::optional<int64_t> split_seed;
  std::string prefetch = "auto";
  int64_t prefetch_batches = 4;
  int64_t prefetch_threads = 1;
};

const OptionTable<DataOptions>& DataTable();

// The transforms of a job that names none: images of bytes are divided by 255,
// tokens stay as they are.
ConfigNode DefaultTransforms(const Source& source);

// The data of a job, opened, with their transforms worked out. Cheap to copy.
struct DataSets {
  DataOptions options;
  std::shared_ptr<const Source> train;
  std::shared_ptr<const Source> test;  // null: none
  Selection train_selection;
  Selection validation_selection;  // of `train`; empty: none
  Selection test_selection;
  // One for each field, "x" then "y", for every half of the data alike.
  std::vector<Conversion> conversions;
  std::vector<std::string> class_names;
  std::map<std::string, std::string> stored;  // OpenedSource
  std::vector<std::string> skipped;           // the same
  // Of the training samples alone; null: none.
  std::shared_ptr<const Augmenter> augmenter;
  std::optional<Conversion> mixed_y;  // of y, where the augmenter mixes samples
  std::shared_ptr<const WeightedSampler> sampler;
  std::vector<double> class_weights;  // by class number; empty: all are 1

  // What the network gets for x and y.
  const Field& x() const { return conversions[0].output(); }
  const Field& y() const { return conversions[1].output(); }
  // y as it is in training, where labels may be mixed.
  const Field& training_y() const { return mixed_y ? mixed_y->output() : y(); }

  // Where x is bytes times a number: that number. Then training may take the bytes as they are.
  // Samples that are mixed are floats before.
  std::optional<float> ScaleOfBytes() const {
    return mixed_y ? std::nullopt : conversions[0].ScaleOfBytes();
  }

  // The training batches in the job's order; `x_as_bytes`: before they are scaled (ScaleOfBytes).
  // Throws Error(kInvalidInput) for a batch larger than the data.
  std::shared_ptr<const Batches> TrainingBatches(uint64_t seed, bool x_as_bytes = false) const;
  // In the order of the file, the last batch short, `batch` clamped to the number of samples. Null
  // where there is no such half.
  std::shared_ptr<const Batches> ValidationBatches(int64_t batch) const;
  std::shared_ptr<const Batches> TestBatches(int64_t batch) const;
};

// The last step of every conversion: numbers to `precision`; class numbers and tokens, which stay
// whole, to i64.
void CastForNetwork(Conversion& conversion, DType precision);

// Opens the sources, applies limit, split (by `seed`) and transforms, then casts: numbers to
// `precision`, class numbers and tokens to i64. Throws Error at the place of the fault in the job.
DataSets OpenData(const DataOptions& options, uint64_t seed, DType precision = DType::kF32,
                  const std::function<std::string()>& find_mnist = nullptr);

// What assembles the batches as the job's `prefetch` says: `batches` itself where that is cheap.
std::shared_ptr<const runtime::BatchSource> WithPrefetch(std::shared_ptr<const Batches> batches,
                                                         const DataOptions& options);

}  // namespace ingot::data
