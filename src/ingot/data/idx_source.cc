// Reads and checks a pair of IDX files.
#include "ingot/data/idx_source.h"

#include <algorithm>
#include <filesystem>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
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
    for (const int64_t label : labels.ToInts()) classes = std::max(classes, label + 1);
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

}  // namespace ingot::data
