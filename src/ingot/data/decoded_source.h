// DecodedSource: what sources have in common whose samples are decoded when they are asked for: one
// class a sample, a cache of what was decoded, and damaged samples that are left out.
//
// Fields: "x", whatever is decoded, and "y" i64 [], the class.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/data/record_cache.h"
#include "ingot/data/source.h"
#include "ingot/data/source_kind.h"

namespace ingot::data {

class DecodedSource : public Source {
 public:
  const std::vector<Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override;

  // By class number; empty where labels are numbers.
  const std::vector<std::string>& classes() const { return classes_; }
  // What is wrong with each sample that was left out.
  const std::vector<std::string>& skipped() const { return skipped_; }

 protected:
  // `hint` is for whoever meets a damaged sample.
  explicit DecodedSource(std::string hint) : hint_(std::move(hint)) {}

  // "x" of a record, fields()[0].bytes() of it.
  virtual void Decode(int64_t record, void* out) const = 0;
  virtual int64_t LabelOf(int64_t record) const = 0;

  // Of a source whose x is `x`, with memory for `cache` bytes of what is decoded. To be called
  // once.
  void SetFields(Field x, int64_t classes, uint64_t cache);
  // Decodes all records, once, and takes those from `records`, size() of them, that are damaged;
  // what is wrong with each of the records that there were.
  template <typename Record>
  std::vector<std::optional<Error>> LeaveOutDamaged(std::vector<Record>& records) {
    auto errors = FindDamaged();
    std::vector<Record> whole;
    for (size_t i = 0; i < records.size(); ++i) {
      if (!errors[i]) whole.push_back(std::move(records[i]));
    }
    records = std::move(whole);
    return errors;
  }

  std::vector<std::string> classes_;

 private:
  // Keeps what it decodes for the records that stay.
  std::vector<std::optional<Error>> FindDamaged();

  std::string hint_;
  std::vector<Field> fields_;
  std::vector<std::string> skipped_;
  std::unique_ptr<RecordCache> cache_;
};

// Both halves of the data: S(path, options, the training half or null).
template <typename S, typename Options>
OpenedSource OpenHalves(const Options& options, const OpenContext& context) {
  OpenedSource opened;
  auto train = std::make_shared<S>(context.Resolve(options.train), options, nullptr);
  opened.class_names = train->classes();
  opened.skipped = train->skipped();
  opened.train = train;
  if (!options.test.empty()) {
    auto test = std::make_shared<S>(context.Resolve(options.test), options, train.get());
    opened.skipped.insert(opened.skipped.end(), test->skipped().begin(), test->skipped().end());
    opened.test = test;
  }
  return opened;
}

}  // namespace ingot::data
