// Synthetic data: repeatable, the same bits in memory and computed, and learnable.
#include "ingot/data/synthetic_source.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/data/data_options.h"

namespace ingot::data {
namespace {

using testing::HasSubstr;

template <typename T>
std::vector<T> Record(const Source& source, int64_t record, int field) {
  const Field& f = source.fields()[static_cast<size_t>(field)];
  std::vector<T> values(static_cast<size_t>(f.shape.size()));
  source.Read(record, field, values.data());
  return values;
}

TEST(SyntheticSourceTest, MemoryAndComputationAgree) {
  for (const char* labels : {"class", "number", "next_token", "same"}) {
    for (const char* dtype : {"f32", "f64", "u8", "i64"}) {
      SyntheticOptions options{.shape = {7}, .dtype = dtype, .labels = labels, .seed = 3};
      if (std::string(labels) == "next_token") options.vocabulary = 11;
      const SyntheticSource memory(options, 5, 20);
      const SyntheticSource computed(options, 0, 25, 0);
      ASSERT_NE(memory.Contiguous(0).data, nullptr);
      ASSERT_EQ(computed.Contiguous(0).data, nullptr);
      for (int64_t i = 0; i < 20; ++i) {
        for (int f = 0; f < 2; ++f) {
          const size_t bytes = memory.fields()[static_cast<size_t>(f)].bytes();
          std::vector<std::byte> a(bytes);
          std::vector<std::byte> b(bytes);
          memory.Read(i, f, a.data());
          computed.Read(i + 5, f, b.data());
          EXPECT_EQ(a, b) << labels << " " << dtype << " record " << i << " field " << f;
        }
      }
    }
  }
}

TEST(SyntheticSourceTest, NumbersAreStandard) {
  const SyntheticSource source({.shape = {100, 100}, .labels = "same"}, 0, 1);
  const std::vector<float> x = Record<float>(source, 0, 0);
  double sum = 0;
  double squares = 0;
  for (const float v : x) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  EXPECT_NEAR(sum / 1e4, 0, 0.04);
  EXPECT_NEAR(squares / 1e4, 1, 0.04);
  EXPECT_EQ(x, Record<float>(source, 0, 1));
}

TEST(SyntheticSourceTest, NextTokensFollow) {
  const SyntheticSource source({.shape = {64}, .vocabulary = 50, .labels = "next_token"}, 0, 8);
  EXPECT_EQ(source.fields()[0].classes, 50);
  EXPECT_EQ(source.fields()[1].classes, 50);
  int follows = 0;
  for (int64_t i = 0; i < 8; ++i) {
    const auto x = Record<int64_t>(source, i, 0);
    const auto y = Record<int64_t>(source, i, 1);
    for (size_t t = 0; t < 64; ++t) {
      EXPECT_GE(x[t], 0);
      EXPECT_LT(x[t], 50);
      if (t + 1 < 64) {
        EXPECT_EQ(y[t], x[t + 1]);
      }
      follows += y[t] == (5 * x[t] + 1) % 50 ? 1 : 0;
    }
  }
  EXPECT_GT(follows, 330);  // three quarters of 512, and by chance
  EXPECT_LT(follows, 460);
}

TEST(SyntheticSourceTest, ClassesCanBeToldApart) {
  const SyntheticSource source({.shape = {64}, .classes = 2}, 0, 200);
  // The means of the classes as estimated on half of the samples classify the other half.
  std::vector<double> difference(64);
  for (int64_t i = 0; i < 100; ++i) {
    const auto x = Record<float>(source, i, 0);
    const double sign = Record<int64_t>(source, i, 1)[0] == 0 ? 1 : -1;
    for (size_t e = 0; e < 64; ++e) difference[e] += sign * x[e];
  }
  int right = 0;
  double middle = 0;
  std::vector<double> scores;
  for (int64_t i = 100; i < 200; ++i) {
    const auto x = Record<float>(source, i, 0);
    scores.push_back(std::inner_product(x.begin(), x.end(), difference.begin(), 0.0));
    middle += scores.back() / 100;
  }
  for (size_t i = 0; i < 100; ++i) {
    const bool zero = Record<int64_t>(source, static_cast<int64_t>(i) + 100, 1)[0] == 0;
    right += (scores[i] > middle) == zero ? 1 : 0;
  }
  EXPECT_GE(right, 85);
}

DataSets Open(const std::string& yaml) {
  return OpenData(DataTable().Read(ParseConfig(yaml, "job.yaml")), 1);
}

TEST(SyntheticSourceTest, OpensFromAJob) {
  DataSets sets = Open("source: {synthetic: {shape: [3, 4, 4], dtype: u8, test_samples: 7}}");
  EXPECT_EQ(sets.train->size(), 1024);
  EXPECT_EQ(sets.test->size(), 7);
  EXPECT_EQ(sets.x().Describe(), "x f32[3, 4, 4]");
  EXPECT_EQ(sets.y().classes, 10);
  sets = Open("source: {synthetic: {shape: [16], vocabulary: 256, labels: next_token}}");
  EXPECT_EQ(sets.x().Describe(), "x i64[16]");
  EXPECT_EQ(sets.x().classes, 256);
  EXPECT_EQ(sets.y().Describe(), "y i64[16]");
  EXPECT_EQ(sets.y().classes, 256);
  EXPECT_TRUE(sets.TrainingBatches(1)->cheap());
}

TEST(SyntheticSourceTest, RefusesWhatDoesNotFit) {
  const auto message = [](const std::string& options) -> std::string {
    try {
      Open("source: {synthetic: " + options + "}");
    } catch (const Error& error) {
      return error.message();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message("{labels: next_token}"), HasSubstr("a sequence of tokens"));
  EXPECT_THAT(message("{labels: number, vocabulary: 5}"), HasSubstr("numbers"));
  EXPECT_THAT(message("{vocabulary: 1}"), HasSubstr("one token"));
  EXPECT_THAT(message("{shape: [65536, 65536]}"), HasSubstr("2^31"));
  EXPECT_THAT(message("{shape: [0]}"), HasSubstr("shape"));
  EXPECT_THAT(message("{samples: 9223372036854775807}"),
              HasSubstr("synthetic.samples: expected a number from 1 to 1e+15"));
}

}  // namespace
}  // namespace ingot::data
