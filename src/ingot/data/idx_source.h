// IdxSource: images and labels in a pair of IDX files, as MNIST and its relatives are published.
//
// Fields: "x", the images as stored (u8 [28, 28] for MNIST), and "y", the labels (u8 []). Plain
// one-byte files are mapped, not read; gzip files are unpacked into memory.
#pragma once

#include <string>
#include <vector>

#include "ingot/data/source.h"

namespace ingot::data {

class IdxSource : public Source {
 public:
  // Labels must be in [0, classes); classes 0: whatever the largest label says.
  // Throws Error: what formats::ReadIdx throws; kInvalidInput where the numbers of images and
  // labels differ, the labels are not one integer each, or a label is out of range (naming its file
  // and sample); kNotFound where a file is missing.
  IdxSource(const std::string& images_path, const std::string& labels_path, int64_t classes = 0);

  int64_t size() const override { return memory_.size(); }
  const std::vector<Field>& fields() const override { return memory_.fields(); }
  void Read(int64_t record, int field, void* out) const override {
    memory_.Read(record, field, out);
  }
  ContiguousField Contiguous(int field) const override { return memory_.Contiguous(field); }
  std::string Where(int64_t record) const override { return memory_.Where(record); }

 private:
  MemorySource memory_;
};

// The pair of files of one half of a data set in a folder.
struct IdxFiles {
  std::string images;
  std::string labels;
};

// Finds PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte in `folder`, each plain or .gz (the
// plain one where both are there), PREFIX being "train" or "t10k". Throws Error(kNotFound) saying
// which names were looked for and where.
IdxFiles FindIdxFiles(const std::string& folder, const std::string& prefix);

}  // namespace ingot::data
