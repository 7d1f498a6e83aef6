// ImageFolderSource: pictures in folders, one for each class: FOLDER/CLASS/*.jpg, *.jpeg, *.png,
// and in the folders below.
//
// Fields: "x" u8 [channels, height, width], and "y" i64 [], the class: the folders' names in the
// order of their bytes. Pictures are read when they are asked for; those that fit into `cache` are
// kept as they were decoded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/base/options.h"
#include "ingot/data/decoded_source.h"
#include "ingot/data/picture.h"

namespace ingot::data {

// The options of `source: {images: {...}}`.
struct ImageFolderOptions : PictureOptions {
  std::string train;
  std::string test;
  std::string on_error = "fail";  // or "skip"
  std::string cache = "256MiB";
};

const OptionTable<ImageFolderOptions>& ImageFolderTable();

class ImageFolderSource : public DecodedSource {
 public:
  // `like` (may be null) is the training half: its classes and its size are used for this folder
  // too. With on_error: skip every picture is decoded once, and those that cannot be are left out.
  // Throws Error: kNotFound where the folder does not exist; kInvalidInput for a folder without
  // classes, a class without pictures, and one that `like` does not have.
  ImageFolderSource(const std::string& folder, const ImageFolderOptions& options,
                    const ImageFolderSource* like);

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  std::string Where(int64_t record) const override;
  // Of names, sizes and some of the bytes: decoding thousands of pictures would take too long.
  uint64_t Digest() const override;

 private:
  struct File {
    std::string path;  // below folder_
    int64_t label = 0;
  };

  void Decode(int64_t record, void* out) const override;
  int64_t LabelOf(int64_t record) const override {
    return files_[static_cast<size_t>(record)].label;
  }
  void FindFiles(const ImageFolderSource* like);
  void SkipDamaged();
  std::string PathOf(const File& file) const { return folder_ + "/" + file.path; }

  std::string folder_;
  PictureReader reader_;
  std::vector<File> files_;
};

}  // namespace ingot::data
