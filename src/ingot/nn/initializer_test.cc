// Initializers: bounds, moments, orthogonality, and that the key decides every value.
#include "ingot/nn/initializer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::nn {
namespace {

using testing::HasSubstr;

std::vector<double> Values(const std::string& yaml, const Shape& shape, uint64_t seed = 1,
                           const std::string& name = "w") {
  return Initialize(ReadInitializer(ParseConfig(yaml, "init")), name, shape, FansOf(shape),
                    DType::kF64, seed)
      .ToDoubles();
}

struct Moments {
  double mean = 0;
  double deviation = 0;
  double largest = 0;
};

Moments MomentsOf(const std::vector<double>& values) {
  Moments moments;
  for (const double v : values) moments.mean += v / static_cast<double>(values.size());
  for (const double v : values) {
    moments.deviation += (v - moments.mean) * (v - moments.mean);
    moments.largest = std::max(moments.largest, std::abs(v));
  }
  moments.deviation = std::sqrt(moments.deviation / static_cast<double>(values.size()));
  return moments;
}

TEST(InitializerTest, FansOfShapes) {
  EXPECT_EQ(FansOf({784, 64}).in, 784);
  EXPECT_EQ(FansOf({784, 64}).out, 64);
  EXPECT_EQ(FansOf({3, 3, 8, 16}).in, 72);
  EXPECT_EQ(FansOf({3, 3, 8, 16}).out, 144);
  EXPECT_EQ(FansOf({5}).in, 5);
}

TEST(InitializerTest, UniformKindsFillTheirRange) {
  const Shape shape{200, 100};
  const std::vector<std::pair<std::string, double>> limits = {
      {"glorot_uniform", std::sqrt(6.0 / 300)}, {"he_uniform", std::sqrt(6.0 / 200)},
      {"lecun_uniform", std::sqrt(3.0 / 200)},  {"torch_uniform", 1 / std::sqrt(200.0)},
      {"uniform: {low: -2, high: 2}", 2},
  };
  for (const auto& [yaml, limit] : limits) {
    const Moments moments = MomentsOf(Values(yaml, shape));
    EXPECT_NEAR(moments.mean, 0, 0.02 * limit) << yaml;
    EXPECT_NEAR(moments.deviation, limit / std::sqrt(3.0), 0.01 * limit) << yaml;
    EXPECT_LE(moments.largest, limit) << yaml;
    EXPECT_GT(moments.largest, 0.999 * limit) << yaml;
  }
}

TEST(InitializerTest, NormalKindsHaveTheirDeviation) {
  const Shape shape{200, 100};
  const std::vector<std::pair<std::string, double>> deviations = {
      {"glorot_normal", std::sqrt(2.0 / 300)},
      {"he_normal", std::sqrt(2.0 / 200)},
      {"lecun_normal", std::sqrt(1.0 / 200)},
      {"normal", 0.05},
      {"normal: {std: 3}", 3},
      {"normal: 3", 3},
  };
  for (const auto& [yaml, deviation] : deviations) {
    const Moments moments = MomentsOf(Values(yaml, shape));
    EXPECT_NEAR(moments.mean, 0, 0.03 * deviation) << yaml;
    EXPECT_NEAR(moments.deviation, deviation, 0.02 * deviation) << yaml;
    EXPECT_GT(moments.largest, 3 * deviation) << yaml;
  }
  EXPECT_NEAR(MomentsOf(Values("normal: {mean: 7, std: 0.1}", shape)).mean, 7, 0.01);
}

TEST(InitializerTest, OrthogonalIsOrthogonal) {
  for (const Shape& shape : {Shape{7, 7}, Shape{5, 9}, Shape{9, 5}, Shape{2, 3, 4}}) {
    const std::vector<double> w = Values("orthogonal: {gain: 2}", shape);
    const auto columns = static_cast<size_t>(shape.dim(-1));
    const size_t rows = w.size() / columns;
    const bool wide = rows <= columns;
    const size_t small = std::min(rows, columns);
    const auto at = [&](size_t i, size_t k) {
      return wide ? w[i * columns + k] : w[k * columns + i];
    };
    for (size_t i = 0; i < small; ++i) {
      for (size_t j = 0; j < small; ++j) {
        double dot = 0;
        for (size_t k = 0; k < std::max(rows, columns); ++k) dot += at(i, k) * at(j, k);
        EXPECT_NEAR(dot, i == j ? 4 : 0, 1e-12) << shape.ToString();
      }
    }
  }
  EXPECT_THROW(Values("orthogonal", Shape{5}), Error);
}

TEST(InitializerTest, Constants) {
  EXPECT_EQ(Values("zeros", {2}), (std::vector<double>{0, 0}));
  EXPECT_EQ(Values("ones", {2}), (std::vector<double>{1, 1}));
  EXPECT_EQ(Values("constant: 3", {2}), (std::vector<double>{3, 3}));
}

TEST(InitializerTest, IsAFunctionOfSeedAndName) {
  const Shape shape{10, 10};
  EXPECT_EQ(Values("he_normal", shape, 1, "a"), Values("he_normal", shape, 1, "a"));
  EXPECT_NE(Values("he_normal", shape, 1, "a"), Values("he_normal", shape, 2, "a"));
  EXPECT_NE(Values("he_normal", shape, 1, "a"), Values("he_normal", shape, 1, "b"));
}

TEST(InitializerTest, WritesWhatItReads) {
  for (const std::string& name : InitializerNames()) {
    const Initializer initializer = ReadInitializer(ConfigNode::Scalar(name));
    EXPECT_EQ(initializer.kind, name);
    const ConfigNode written = WriteInitializer(initializer);
    EXPECT_EQ(WriteInitializer(ReadInitializer(written)).ToYaml(), written.ToYaml());
  }
}

TEST(InitializerTest, NamesTheNearest) {
  try {
    ReadInitializer(ParseConfig("glorot_unifrom", "job.yaml"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("job.yaml:1:1: unknown initializer 'glorot_unifrom'"));
    EXPECT_THAT(error.hint(), HasSubstr("glorot_uniform"));
  }
  try {
    ReadInitializer(ParseConfig("normal: {sdt: 1}", "job.yaml"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("sdt"));
  }
}

}  // namespace
}  // namespace ingot::nn
