// TarSource: samples in tar shards, in the layout of WebDataset: the files of a sample lie one
// after another and share their name up to the first dot, the key: cats/17.jpg, cats/17.cls.
//
// Fields: "x", a picture u8 [channels, height, width] (jpg, jpeg, png) or an array (npy), and "y"
// i64 [], its class: a number (cls), a text (txt), or a member of an object (json). The shards are
// mapped and indexed once, a few dozen bytes a sample, so that any sample can be read at any time
// and shuffling is as exact as with other sources.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingot/base/options.h"
#include "ingot/data/picture.h"
#include "ingot/data/record_cache.h"
#include "ingot/data/source.h"
#include "ingot/formats/bytes.h"

namespace ingot::data {

// The options of `source: {tar: {...}}`.
struct TarOptions : PictureOptions {
  std::string train;
  std::string test;
  std::string x;  // an ending; "": the first of the known ones that the first sample has
  std::string y = "cls";
  std::string json_key = "label";
  int64_t classes = 0;
  std::string on_error = "fail";  // or "skip"
  std::string cache = "256MiB";
};

const OptionTable<TarOptions>& TarTable();

class TarSource : public Source {
 public:
  // `like` (may be null) is the training half: its classes and its size are used for these shards
  // too. Throws Error: kNotFound for a shard that is not there; kCorrupt for a damaged archive and
  // a label that is none; kInvalidInput for a sample without x or y and for a class that `like` (or
  // `classes`) does not have.
  TarSource(const std::string& pattern, const TarOptions& options, const TarSource* like = nullptr);

  int64_t size() const override { return static_cast<int64_t>(samples_.size()); }
  const std::vector<Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override;
  // "train-000.tar: cats/17.jpg".
  std::string Where(int64_t record) const override;
  // Of the names of the shards, their sizes, the labels, and the bytes of some samples.
  uint64_t Digest() const override;

  // By class number; empty for labels that are numbers.
  const std::vector<std::string>& classes() const { return classes_; }
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  class Indexer;

  struct Shard {
    std::string path;
    formats::Blob blob;
  };
  struct Sample {
    uint32_t shard = 0;
    uint64_t at = 0;  // of x in the shard, behind its header
    uint64_t size = 0;
    int64_t label = 0;
  };

  void FindShape(const TarSource* like);
  void LeaveOutDamaged();
  formats::Blob BytesOf(const Sample& sample) const;
  void ReadX(const Sample& sample, void* out) const;
  std::string NameOf(const Sample& sample) const;

  TarOptions options_;
  PictureReader reader_;
  bool is_picture_ = false;
  std::vector<Shard> shards_;
  std::vector<Sample> samples_;
  std::vector<std::string> classes_;
  std::vector<Field> fields_;
  std::vector<std::string> skipped_;
  std::unique_ptr<RecordCache> cache_;
};

}  // namespace ingot::data
