// The sources by name, and the data sets of a job.
#include "ingot/data/data_options.h"

#include <algorithm>
#include <filesystem>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/named_node.h"
#include "ingot/data/csv_source.h"
#include "ingot/data/idx_source.h"
#include "ingot/data/mnist_download.h"
#include "ingot/data/prefetch.h"
#include "ingot/data/transforms.h"

namespace ingot::data {

namespace {

struct MnistSourceOptions {};

const OptionTable<MnistSourceOptions>& MnistTable() {
  static const OptionTable<MnistSourceOptions> table(
      "mnist", "handwritten digits, 28 x 28: the four IDX files in data.folder, or downloaded");
  return table;
}

struct IdxOptions {
  std::string train_images;
  std::string train_labels;
  std::string test_images;
  std::string test_labels;
  int64_t classes = 0;
};

const OptionTable<IdxOptions>& IdxTable() {
  static const auto table =
      OptionTable<IdxOptions>("idx", "images and labels in IDX files, plain or gzip")
          .Add("train_images", &IdxOptions::train_images,
               "default: train-images-idx3-ubyte in data.folder")
          .Add("train_labels", &IdxOptions::train_labels,
               "default: train-labels-idx1-ubyte in data.folder")
          .Add("test_images", &IdxOptions::test_images, "default: none, unless all are")
          .Add("test_labels", &IdxOptions::test_labels, "default: none, unless all are")
          .Add("classes", &IdxOptions::classes, "labels are below this (default: as they say)",
               AtLeast(0));
  return table;
}

std::string Resolve(const OpenContext& context, const std::string& path) {
  if (context.folder.empty() || path.empty() || std::filesystem::path(path).is_absolute()) {
    return path;
  }
  return (std::filesystem::path(context.folder) / path).string();
}

OpenedSource OpenFolder(const std::string& folder, int64_t classes) {
  const IdxFiles train = FindIdxFiles(folder, "train");
  const IdxFiles test = FindIdxFiles(folder, "t10k");
  auto train_source = std::make_shared<IdxSource>(train.images, train.labels, classes);
  const int64_t found = train_source->fields()[1].classes;
  return {train_source, std::make_shared<IdxSource>(test.images, test.labels, found), {}};
}

OpenedSource OpenMnist(const MnistSourceOptions&, const OpenContext& context) {
  std::string folder = context.folder;
  if (folder.empty()) {
    folder =
        context.find_mnist ? context.find_mnist() : AcquireMnist(MnistOptionsFromEnvironment());
  }
  constexpr int64_t kDigits = 10;
  return OpenFolder(folder, kDigits);
}

OpenedSource OpenIdx(const IdxOptions& options, const OpenContext& context) {
  const bool named = !options.train_images.empty() || !options.train_labels.empty();
  if (!named && options.test_images.empty() && options.test_labels.empty()) {
    return OpenFolder(context.folder.empty() ? "." : context.folder, options.classes);
  }
  if (options.train_images.empty() || options.train_labels.empty() ||
      options.test_images.empty() != options.test_labels.empty()) {
    throw Error(ErrorCode::kInvalidInput, "images and labels need a file each",
                "give train_images with train_labels, and test_images with test_labels");
  }
  OpenedSource opened;
  auto train = std::make_shared<IdxSource>(Resolve(context, options.train_images),
                                           Resolve(context, options.train_labels), options.classes);
  opened.train = train;
  if (!options.test_images.empty()) {
    opened.test = std::make_shared<IdxSource>(Resolve(context, options.test_images),
                                              Resolve(context, options.test_labels),
                                              train->fields()[1].classes);
  }
  return opened;
}

OpenedSource OpenCsv(const CsvSourceOptions& options, const OpenContext& context) {
  OpenedSource opened;
  auto train = std::make_shared<CsvSource>(Resolve(context, options.train), options);
  opened.class_names = train->classes();
  opened.train = train;
  if (!options.test.empty()) {
    opened.test = std::make_shared<CsvSource>(Resolve(context, options.test), options, train.get());
  }
  return opened;
}

template <typename Options>
SourceKind Kind(const OptionTable<Options>& table,
                OpenedSource (*open)(const Options&, const OpenContext&)) {
  return {table.name(), table.summary(), [&table] { return table.Help(table.name()); },
          [&table, open](const ConfigNode& node, const OpenContext& context) {
            return open(table.Read(node), context);
          }};
}

OpenedSource OpenNamed(const ConfigNode& node, const OpenContext& context) {
  const NamedNode named = ReadNamed(node, "a source of data");
  std::vector<std::string> names;
  for (const SourceKind& kind : SourceKinds()) {
    if (kind.name == named.name) {
      try {
        return kind.open(named.options, context);
      } catch (const Error& error) {
        // What is wrong inside a file says so itself.
        const bool inside = error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kIo;
        throw inside ? error : AtNode(node, error);
      }
    }
    names.push_back(kind.name);
  }
  FailUnknownName(node, "source", named.name, names);
}

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

}  // namespace

ConfigNode DefaultTransforms(const Source& source) {
  const Field& x = source.fields()[static_cast<size_t>(source.FieldIndex("x"))];
  if (x.dtype != DType::kU8) return ConfigNode::List({});
  return ConfigNode::List(
      {ConfigNode::Map({{"normalise", ConfigNode::Map({{"divide", ConfigNode::Scalar("255")}})}})});
}

const OptionTable<DataOptions>& DataTable() {
  static const auto table =
      OptionTable<DataOptions>("data", "where the samples come from and how batches are made")
          .AddNode("source", &DataOptions::source, "mnist, idx, or csv: {...}")
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
          .AddNode("transforms", &DataOptions::transforms,
                   "list of transforms (default: bytes are divided by 255)")
          .AddChoice("prefetch", &DataOptions::prefetch,
                     "assemble batches ahead on threads of their own; auto: where that pays",
                     {"auto", "on", "off"})
          .Add("prefetch_batches", &DataOptions::prefetch_batches, "how many ahead",
               Between(2, 1024))
          .Add("prefetch_threads", &DataOptions::prefetch_threads, "threads", Between(1, 256));
  return table;
}

const std::vector<SourceKind>& SourceKinds() {
  static const std::vector<SourceKind> kinds = {
      Kind(MnistTable(), OpenMnist),
      Kind(IdxTable(), OpenIdx),
      Kind(CsvSourceTable(), OpenCsv),
  };
  return kinds;
}

DataSets OpenData(const DataOptions& options, uint64_t seed, DType precision,
                  const std::function<std::string()>& find_mnist) {
  OpenedSource opened = OpenNamed(options.source, {BaseFolder(options), find_mnist});
  DataSets sets;
  sets.options = options;
  sets.train = opened.train;
  sets.test = opened.test;
  sets.class_names = opened.class_names;
  sets.train_selection = Selection::All(sets.train->size());
  if (options.limit) sets.train_selection = sets.train_selection.First(*options.limit);
  if (options.validation) {
    std::tie(sets.train_selection, sets.validation_selection) =
        sets.train_selection.Split(*options.validation, seed);
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
      {sets.conversions, *sets.train, sets.train_selection});
  for (Conversion& conversion : sets.conversions) {
    const Field& field = conversion.output();
    const bool label = field.name == "y" && IsInteger(field.dtype);
    conversion.Cast(label ? DType::kI64 : precision);
  }
  return sets;
}

std::shared_ptr<const Batches> DataSets::TrainingBatches(uint64_t seed) const {
  BatchOptions batch;
  batch.batch = options.batch;
  batch.shuffle = options.shuffle;
  batch.drop_last = options.drop_last;
  batch.wrap = options.wrap;
  batch.seed = seed;
  return std::make_shared<Batches>(train, train_selection, conversions, batch);
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
