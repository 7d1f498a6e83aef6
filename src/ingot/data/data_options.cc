// The data sets of a job.
#include "ingot/data/data_options.h"

#include <algorithm>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/data/prefetch.h"
#include "ingot/data/transforms.h"

namespace ingot::data {

namespace {

// Where relative names stand: data.folder, or beside the job file.
std::string BaseFolder(const DataOptions& options) {
  if (!options.folder.empty()) return options.folder;
  const ConfigNode& source = options.source;
  const bool names_files = source.is_map() && !source.entries().empty() &&
                           !source.entries()[0].second.is_null() && source.line() > 0;
  return names_files ? ParentDirectory(source.file()) : "";
}

void CheckSameFields(const Source& train, const Source& test) {
  for (const Field& field : train.fields()) {
    const Field& other = test.fields()[static_cast<size_t>(test.FieldIndex(field.name))];
    if (other.dtype == field.dtype && other.shape == field.shape) continue;
    throw Error(ErrorCode::kInvalidInput, "the training data have " + field.Describe() +
                                              " but the test data have " + other.Describe());
  }
}

std::shared_ptr<const Batches> InOrder(const std::shared_ptr<const Source>& source,
                                       const Selection& selection,
                                       const std::vector<Conversion>& conversions, int64_t batch) {
  if (source == nullptr || selection.size() == 0) return nullptr;
  BatchOptions options;
  options.batch = std::min(batch, selection.size());
  options.shuffle = false;
  return std::make_shared<Batches>(source, selection, conversions, options);
}

// The labels of mixed samples: shares of classes, or mixed numbers.
Conversion MixedLabels(const ConfigNode& augment, Conversion y, DType precision) {
  const Field& field = y.output();
  if (IsInteger(field.dtype) && field.classes > 0 && field.shape.size() == 1) {
    y.OneHot(field.classes);
  } else if (!IsFloat(field.dtype)) {
    augment.Fail("mixup and cutmix mix labels, which " + field.Describe() + " does not allow",
                 "labels must be one class a sample, or floats");
  }
  y.Cast(precision);
  return y;
}

std::shared_ptr<const WeightedSampler> MakeSampler(const ConfigNode& node, const DataSets& sets,
                                                   uint64_t seed) {
  const std::vector<int64_t> labels = LabelsOf(*sets.train, sets.train_selection, "data.sampling");
  const std::vector<double> of_class =
      ReadClassWeights(node, "balanced", sets.class_names, sets.y().classes, labels);
  std::vector<double> of_sample;
  for (const int64_t label : labels) of_sample.push_back(of_class[static_cast<size_t>(label)]);
  if (std::all_of(of_sample.begin(), of_sample.end(), [](double w) { return w == 0; })) {
    node.Fail("no sample of the training data has a weight above 0");
  }
  return std::make_shared<WeightedSampler>(of_sample, seed);
}

}  // namespace

ConfigNode DefaultTransforms(const Source& source) {
  const Field& x = source.fields()[static_cast<size_t>(source.FieldIndex("x"))];
  if (x.dtype != DType::kU8 || x.classes > 0) return ConfigNode::List({});
  return ConfigNode::List(
      {ConfigNode::Map({{"normalise", ConfigNode::Map({{"divide", ConfigNode::Scalar("255")}})}})});
}

const OptionTable<DataOptions>& DataTable() {
  static const auto table =
      OptionTable<DataOptions>("data", "where the samples come from and how batches are made")
          .AddNode("source", &DataOptions::source, "mnist, or NAME: {...}: see Sources of data")
          .Add("folder", &DataOptions::folder, "where the files are")
          .Add("batch", &DataOptions::batch, "samples in a batch", AtLeast(1))
          .Add("shuffle", &DataOptions::shuffle,
               "a new order in every epoch, which depends on the seed alone")
          .Add("drop_last", &DataOptions::drop_last,
               "leave out the last batch of an epoch where it is short")
          .Add("wrap", &DataOptions::wrap,
               "batches run on into the next pass over the data (needs shuffle: false)")
          .Add("limit", &DataOptions::limit, "train on the first so many samples", AtLeast(1))
          .Add("validation", &DataOptions::validation,
               "share of the training data that is kept for validation",
               Limits{.low = 0, .high = 0.999999, .low_exclusive = true})
          .Add("split_seed", &DataOptions::split_seed,
               "decides which samples those are (default: the job's seed)", AtLeast(0))
          .AddNode("transforms", &DataOptions::transforms,
                   "list of transforms (default: bytes are divided by 255)")
          .AddNode("augment", &DataOptions::augment,
                   "list of random changes of training samples, before the transforms: see "
                   "Augmentations")
          .AddNode("class_weights", &DataOptions::class_weights,
                   "what the loss of a sample is multiplied by: auto (classes count the same, "
                   "whatever their size), a list by class number, or a map by class name")
          .AddNode("sampling", &DataOptions::sampling,
                   "draw the samples of an epoch with replacement: balanced (classes equally "
                   "often), or a weight for each sample of a class as in class_weights (default: "
                   "every sample once)")
          .AddChoice("prefetch", &DataOptions::prefetch,
                     "assemble batches ahead on threads of their own; auto: where that pays",
                     {"auto", "on", "off"})
          .Add("prefetch_batches", &DataOptions::prefetch_batches, "how many ahead",
               Between(2, 1024))
          .Add("prefetch_threads", &DataOptions::prefetch_threads, "threads", Between(1, 256));
  return table;
}

void CastForNetwork(Conversion& conversion, DType precision) {
  const Field& field = conversion.output();
  const bool whole = IsInteger(field.dtype) && (field.name == "y" || field.classes > 0);
  conversion.Cast(whole ? DType::kI64 : precision);
}

DataSets OpenData(const DataOptions& options, uint64_t seed, DType precision,
                  const std::function<std::string()>& find_mnist) {
  OpenedSource opened = OpenNamedSource(options.source, {BaseFolder(options), find_mnist});
  DataSets sets;
  sets.options = options;
  sets.train = opened.train;
  sets.test = opened.test;
  sets.class_names = opened.class_names;
  sets.stored = opened.stored;
  sets.skipped = opened.skipped;
  sets.train_selection = Selection::All(sets.train->size());
  if (options.limit) sets.train_selection = sets.train_selection.First(*options.limit);
  if (options.validation) {
    std::tie(sets.train_selection, sets.validation_selection) = sets.train_selection.Split(
        *options.validation,
        options.split_seed ? static_cast<uint64_t>(*options.split_seed) : seed);
  }
  if (opened.fit) {
    for (auto& [name, text] : opened.fit(sets.train_selection)) {
      sets.stored[name] = std::move(text);
    }
  }
  if (sets.test != nullptr) {
    CheckSameFields(*sets.train, *sets.test);
    sets.test_selection = Selection::All(sets.test->size());
  }
  for (const char* name : {"x", "y"}) {
    sets.conversions.emplace_back(
        sets.train->fields()[static_cast<size_t>(sets.train->FieldIndex(name))]);
  }
  ApplyTransforms(
      options.transforms.is_null() ? DefaultTransforms(*sets.train) : options.transforms,
      {sets.conversions, *sets.train, sets.train_selection, &sets.stored});
  if (!options.augment.is_null()) {
    sets.augmenter =
        std::make_shared<Augmenter>(options.augment, sets.conversions[0].input(), seed);
    if (sets.augmenter->mixes()) {
      sets.mixed_y = MixedLabels(options.augment, sets.conversions[1], precision);
    }
  }
  for (Conversion& conversion : sets.conversions) {
    CastForNetwork(conversion, precision);
  }
  if (sets.mixed_y && !IsFloat(sets.x().dtype)) {
    options.augment.Fail("mixup and cutmix mix numbers, but the network's input is " +
                         sets.x().Describe());
  }
  if (!options.class_weights.is_null()) {
    sets.class_weights =
        ReadClassWeights(options.class_weights, "auto", sets.class_names, sets.y().classes,
                         LabelsOf(*sets.train, sets.train_selection, "data.class_weights"));
  }
  if (!options.sampling.is_null()) sets.sampler = MakeSampler(options.sampling, sets, seed);
  return sets;
}

std::shared_ptr<const Batches> DataSets::TrainingBatches(uint64_t seed, bool x_as_bytes) const {
  BatchOptions batch;
  batch.batch = options.batch;
  batch.shuffle = options.shuffle;
  batch.drop_last = options.drop_last;
  batch.wrap = options.wrap;
  batch.seed = seed;
  batch.augmenter = augmenter;
  batch.sampler = sampler;
  std::vector<Conversion> applied = conversions;
  if (mixed_y) applied[1] = *mixed_y;
  if (x_as_bytes) {
    INGOT_ASSERT(ScaleOfBytes(), "x is made of bytes by a multiplication alone");
    applied[0] = Conversion(applied[0].input());
    if (conversions[0].output().shape != applied[0].output().shape) applied[0].Flatten();
  }
  return std::make_shared<Batches>(train, train_selection, std::move(applied), batch);
}

std::shared_ptr<const Batches> DataSets::ValidationBatches(int64_t batch) const {
  return InOrder(train, validation_selection, conversions, batch);
}

std::shared_ptr<const Batches> DataSets::TestBatches(int64_t batch) const {
  return InOrder(test, test_selection, conversions, batch);
}

std::shared_ptr<const runtime::BatchSource> WithPrefetch(std::shared_ptr<const Batches> batches,
                                                         const DataOptions& options) {
  const bool ahead = options.prefetch == "on" || (options.prefetch == "auto" && !batches->cheap());
  if (!ahead) return batches;
  return std::make_shared<Prefetcher>(std::move(batches),
                                      static_cast<int>(options.prefetch_batches),
                                      static_cast<int>(options.prefetch_threads));
}

}  // namespace ingot::data
