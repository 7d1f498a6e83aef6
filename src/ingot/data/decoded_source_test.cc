// How often samples are decoded: once each where memory allows.
#include "ingot/data/decoded_source.h"

#include <array>
#include <atomic>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/data/conversion.h"
#include "ingot/data/transforms.h"

namespace ingot::data {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr int64_t kDamaged = -1;

// A record is its number, four times over; decodes are counted.
class CountedSource : public DecodedSource {
 public:
  CountedSource(std::vector<int64_t> records, bool skip, uint64_t cache)
      : DecodedSource("a hint"), records_(std::move(records)), decodes_(records_.size()) {
    SetFields({.name = "x", .dtype = DType::kU8, .shape = Shape{4}}, 2, cache);
    if (skip) LeaveOutDamaged(records_);
  }

  int64_t size() const override { return static_cast<int64_t>(records_.size()); }
  std::string Where(int64_t record) const override { return std::to_string(record); }
  std::vector<int> Decodes() const { return {decodes_.begin(), decodes_.end()}; }

 private:
  void Decode(int64_t record, void* out) const override {
    const int64_t value = records_[static_cast<size_t>(record)];
    if (value == kDamaged) throw Error(ErrorCode::kCorrupt, Where(record) + ": damaged");
    ++decodes_[static_cast<size_t>(value)];
    std::memset(out, static_cast<int>(value), 4);
  }
  int64_t LabelOf(int64_t record) const override { return record % 2; }

  std::vector<int64_t> records_;
  mutable std::vector<std::atomic<int>> decodes_;  // by value
};

// The values of all records, each read twice.
std::vector<int> ReadAll(const Source& source) {
  std::vector<int> values;
  for (int64_t record = 0; record < source.size(); ++record) {
    for (int time = 0; time < 2; ++time) {
      std::array<uint8_t, 4> bytes = {};
      source.Read(record, 0, bytes.data());
      EXPECT_THAT(bytes, Each(bytes[0]));
      values.push_back(bytes[0]);
    }
  }
  return values;
}

void Standardise(const Source& source) {
  FieldStatistics(source, Selection::All(source.size()), Conversion(source.fields()[0]));
}

TEST(DecodedSourceTest, LookingForDamageAndStandardisingDecodeOnce) {
  const CountedSource source({0, kDamaged, 1, 2, kDamaged, 3}, true, 1 << 10);
  EXPECT_THAT(source.Decodes(), ElementsAre(1, 1, 1, 1, 0, 0));
  Standardise(source);
  EXPECT_THAT(ReadAll(source), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(source.Decodes(), ElementsAre(1, 1, 1, 1, 0, 0));
  EXPECT_THAT(source.skipped(), ElementsAre("1: damaged", "4: damaged"));
}

TEST(DecodedSourceTest, WhatFindsNoRoomIsDecodedAgain) {
  // Room for three records, of which one is damaged: the place that it leaves is taken when a
  // record is read.
  const CountedSource source({0, kDamaged, 1, 2, 3}, true, 12);
  EXPECT_THAT(source.Decodes(), ElementsAre(1, 1, 1, 1, 0));
  EXPECT_THAT(ReadAll(source), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(source.Decodes(), ElementsAre(1, 1, 2, 3, 0));
  EXPECT_THAT(ReadAll(source), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(source.Decodes(), ElementsAre(1, 1, 2, 5, 0));
}

TEST(DecodedSourceTest, WithoutALookForDamageNothingIsDecodedAhead) {
  const CountedSource source({0, 1, kDamaged}, false, 1 << 10);
  EXPECT_THAT(source.Decodes(), ElementsAre(0, 0, 0));
  std::array<uint8_t, 4> bytes;
  const Error error = ErrorOf([&] { source.Read(2, 0, bytes.data()); });
  EXPECT_EQ(error.message(), "2: damaged");
  EXPECT_EQ(error.hint(), "a hint");
}

}  // namespace
}  // namespace ingot::data
