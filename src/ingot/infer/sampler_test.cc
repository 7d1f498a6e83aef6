// Draws: their distribution, what top-k and top-p leave out, and that they repeat.
#include "ingot/infer/sampler.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::infer {
namespace {

const std::vector<float> kScores = {0.0F, 2.0F, 1.0F, -1.0F};

SamplingOptions Options(double temperature, int64_t top_k, double top_p, uint64_t seed = 0) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  options.seed = seed;
  return options;
}

std::vector<double> Shares(const SamplingOptions& options, int draws = 40000) {
  Sampler sampler(options);
  std::vector<double> shares(kScores.size());
  for (int i = 0; i < draws; ++i) {
    shares[static_cast<size_t>(sampler.Draw(kScores, i))] += 1.0 / draws;
  }
  return shares;
}

TEST(SamplerTest, FollowsTheSoftmaxAtATemperature) {
  for (const double temperature : {0.5, 1.0, 3.0}) {
    const auto shares = Shares(Options(temperature, 0, 1, 3));
    double sum = 0;
    for (const float score : kScores) sum += std::exp(static_cast<double>(score) / temperature);
    for (size_t i = 0; i < kScores.size(); ++i) {
      EXPECT_NEAR(shares[i], std::exp(static_cast<double>(kScores[i]) / temperature) / sum, 0.012);
    }
  }
}

TEST(SamplerTest, TopKAndTopPLeaveTheRestOut) {
  const auto two = Shares(Options(1, 2, 1));
  EXPECT_EQ(two[0] + two[3], 0);
  EXPECT_NEAR(two[1], std::exp(2.0) / (std::exp(2.0) + std::exp(1.0)), 0.012);
  // Probabilities 0.644, 0.237, 0.087, 0.032: the first two reach 0.8, the first alone 0.6.
  const auto most = Shares(Options(1, 0, 0.8));
  EXPECT_EQ(most[0] + most[3], 0);
  EXPECT_GT(most[2], 0.2);
  EXPECT_EQ(Shares(Options(1, 0, 0.6))[1], Shares(Options(0, 0, 1))[1]);
  EXPECT_NEAR(Shares(Options(0, 0, 1))[1], 1, 1e-9);
}

TEST(SamplerTest, SeedAndPositionDecide) {
  Sampler a(Options(1, 0, 1, 7)), b(Options(1, 0, 1, 7)), c(Options(1, 0, 1, 8));
  int other = 0;
  for (int64_t i = 99; i >= 0; --i)
    EXPECT_EQ(a.Draw(kScores, i), Sampler(Options(1, 0, 1, 7)).Draw(kScores, i));
  for (int64_t i = 0; i < 100; ++i) other += b.Draw(kScores, i) != c.Draw(kScores, i) ? 1 : 0;
  EXPECT_GT(other, 20);
}

TEST(SamplerTest, FaultsAreNamed) {
  EXPECT_THROW(Sampler(Options(-1, 0, 1)), Error);
  EXPECT_THROW(Sampler(Options(1, -1, 1)), Error);
  EXPECT_THROW(Sampler(Options(1, 0, 0)), Error);
  Sampler sampler(SamplingOptions{});
  const std::vector<float> bad = {0, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(sampler.Draw(bad, 0), Error);
}

}  // namespace
}  // namespace ingot::infer
