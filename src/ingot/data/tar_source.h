// TarSource: samples in tar shards, in the layout of WebDataset: the files of a sample lie one
// after another and share their name up to the first dot, the key: cats/17.jpg, cats/17.cls.
//
// Fields: "x", a picture u8 [channels, height, width] (jpg, jpeg, png) or an array (npy), and "y"
// i64 [], its class: a number (cls), a text (txt), or a member of an object (json). The shards are
// mapped and indexed once, a few dozen bytes a sample, so that any sample can be read at any time
// and shuffling is as exact as with other sources.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ingot/base/options.h"
#include "ingot/data/decoded_source.h"
#include "ingot/data/picture.h"
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

class TarSource : public DecodedSource {
 public:
  // `like` (may be null) is the training half: its classes and its size are used for these shards
  // too. Throws Error: kNotFound for a shard that is not there; kCorrupt for a damaged archive and
  // a label that is none; kInvalidInput for a sample without x or y and for a class that `like` (or
  // `classes`) does not have.
  TarSource(const std::string& pattern, const TarOptions& options, const TarSource* like);

  int64_t size() const override { return static_cast<int64_t>(samples_.size()); }
  // "train-000.tar: cats/17.jpg".
  std::string Where(int64_t record) const override;
  // Of the names of the shards, their sizes, the labels, and the bytes of some samples.
  uint64_t Digest() const override;

 private:
  class Indexer;

  struct Shard {
    std::string path;
    formats::Blob blob;
  };
  struct Sample {
    uint32_t shard = 0;
    uint64_t entry = 0;  // where the headers of x begin in the shard
    uint64_t at = 0;     // of x itself
    uint64_t size = 0;
    int64_t label = 0;
  };

  void Decode(int64_t record, void* out) const override;
  int64_t LabelOf(int64_t record) const override {
    return samples_[static_cast<size_t>(record)].label;
  }
  Field FindX(const TarSource* like);
  formats::Blob BytesOf(const Sample& sample) const;
  std::string NameOf(const Sample& sample) const;

  TarOptions options_;
  PictureReader reader_;
  bool is_picture_ = false;
  std::vector<Shard> shards_;
  std::vector<Sample> samples_;
};

}  // namespace ingot::data
