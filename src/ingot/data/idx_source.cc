// Reads and checks a pair of IDX files; the sources mnist and idx.
#include "ingot/data/idx_source.h"

#include <algorithm>
#include <filesystem>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/data/class_numbers.h"
#include "ingot/data/mnist_download.h"
#include "ingot/data/source_kind.h"
#include "ingot/formats/idx.h"

namespace ingot::data {

namespace {

MemorySource Load(const std::string& images_path, const std::string& labels_path, int64_t classes) {
  Tensor images = formats::ReadIdx(images_path);
  Tensor labels = formats::ReadIdx(labels_path);
  if (labels.shape().rank() != 1 || !IsInteger(labels.dtype())) {
    throw Error(ErrorCode::kInvalidInput,
                labels_path + ": labels are " + labels.Describe() +
                    ", expected one whole number for each sample",
                "are images and labels the wrong way round?");
  }
  if (images.shape().rank() < 2) {
    throw Error(ErrorCode::kInvalidInput,
                images_path + ": images are " + images.Describe() +
                    ", expected at least two axes, the first one for the samples",
                "are images and labels the wrong way round?");
  }
  if (images.shape()[0] != labels.shape()[0]) {
    throw Error(ErrorCode::kInvalidInput,
                images_path + " holds " + WithThousands(images.shape()[0]) + " images but " +
                    labels_path + " holds " + WithThousands(labels.shape()[0]) + " labels",
                "do both files belong to the same half of the same data set?");
  }
  if (images.shape()[0] == 0) {
    throw Error(ErrorCode::kInvalidInput, images_path + " holds no images");
  }
  if (classes == 0) {
    for (const int64_t label : labels.ToInts()) {
      if (label >= classes) classes = ClassesUpTo(label, [&] { return labels_path; });
    }
  }
  MemorySource memory({"x", "y"}, {std::move(images), std::move(labels)}, images_path);
  try {
    memory.SetClasses("y", classes);
  } catch (const Error& error) {
    throw error.In(labels_path);
  }
  return memory;
}

std::string FindOne(const std::string& folder, const std::string& name) {
  const std::filesystem::path plain = std::filesystem::path(folder) / name;
  const std::filesystem::path packed = plain.string() + ".gz";
  std::error_code ignored;
  if (std::filesystem::exists(plain, ignored)) return plain.string();
  if (std::filesystem::exists(packed, ignored)) return packed.string();
  const bool there = std::filesystem::is_directory(folder, ignored);
  throw Error(ErrorCode::kNotFound,
              there ? "folder '" + folder + "' holds neither " + name + " nor " + name + ".gz"
                    : "there is no folder '" + folder + "' (looked for " + name + " and " + name +
                          ".gz in it)",
              "put the four IDX files there: train-images-idx3-ubyte, train-labels-idx1-ubyte, "
              "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or with .gz");
}

}  // namespace

IdxSource::IdxSource(const std::string& images_path, const std::string& labels_path,
                     int64_t classes)
    : memory_(Load(images_path, labels_path, classes)) {}

IdxFiles FindIdxFiles(const std::string& folder, const std::string& prefix) {
  return {FindOne(folder, prefix + "-images-idx3-ubyte"),
          FindOne(folder, prefix + "-labels-idx1-ubyte")};
}

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

OpenedSource OpenFolder(const std::string& folder, int64_t classes) {
  const IdxFiles train = FindIdxFiles(folder, "train");
  const IdxFiles test = FindIdxFiles(folder, "t10k");
  auto train_source = std::make_shared<IdxSource>(train.images, train.labels, classes);
  const int64_t found = train_source->fields()[1].classes;
  return {train_source, std::make_shared<IdxSource>(test.images, test.labels, found), {}, {}, {}};
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
  auto train = std::make_shared<IdxSource>(context.Resolve(options.train_images),
                                           context.Resolve(options.train_labels), options.classes);
  opened.train = train;
  if (!options.test_images.empty()) {
    opened.test = std::make_shared<IdxSource>(context.Resolve(options.test_images),
                                              context.Resolve(options.test_labels),
                                              train->fields()[1].classes);
  }
  return opened;
}

}  // namespace

SourceKind MnistSourceKind() {
  return DefineSource(MnistTable(), OpenMnist);
}

SourceKind IdxSourceKind() {
  return DefineSource(IdxTable(), OpenIdx);
}

}  // namespace ingot::data
