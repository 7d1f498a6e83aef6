// Exchanges of coded values between threads: all workers come to the same bits, again and again,
// and what a codec loses is made good by the next exchanges.
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "ingot/dist/group_exchange.h"
#include "ingot/dist/local_transport_test_util.h"

namespace ingot::dist {
namespace {

using Values = std::vector<float>;

constexpr size_t kElements = 3000;
constexpr size_t kPlainElements = 10;

struct Outcome {
  std::vector<Values> sums;  // of each exchange
  uint64_t bytes_sent = 0;
};

Values Random(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  Values values(kPlainElements + kElements);
  for (float& value : values) value = normal(random);
  return values;
}

// Each worker gives the same values in each of `times` exchanges.
std::vector<Outcome> Exchange(Codec codec, int workers, int times) {
  const auto wire = std::make_shared<LocalWire>();
  std::vector<Outcome> outcomes(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < workers; ++rank) {
    threads.emplace_back([&, rank] {
      ExchangePlan plan = MakeExchangePlan(DealShards(workers, workers), workers);
      plan.AddSegment("bias", DType::kF32, kPlainElements * sizeof(float));
      plan.AddSegment("weight", DType::kF32, kElements * sizeof(float), codec);
      plan.top_k = 0.05;
      std::vector<std::byte> shared(plan.Place(0, rank));
      GroupExchange exchange(std::make_unique<LocalTransport>(wire, rank), rank, workers);
      exchange.SetPlans({{plan}, {}, {}});
      const Values values = Random(static_cast<uint32_t>(rank));
      Outcome& outcome = outcomes[static_cast<size_t>(rank)];
      for (int i = 0; i < times; ++i) {
        std::byte* partial = shared.data() + plan.partials;
        std::memcpy(partial + plan.segments[1].offset, values.data(),
                    kPlainElements * sizeof(float));
        std::memcpy(partial + plan.segments[2].offset, values.data() + kPlainElements,
                    kElements * sizeof(float));
        exchange.Run(0, i, shared.data(), false);
        Values sums(kPlainElements + kElements);
        std::memcpy(sums.data(), shared.data() + plan.segments[1].offset,
                    kPlainElements * sizeof(float));
        std::memcpy(sums.data() + kPlainElements, shared.data() + plan.segments[2].offset,
                    kElements * sizeof(float));
        outcome.sums.push_back(std::move(sums));
      }
      outcome.bytes_sent = exchange.exchange_bytes_sent();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

// How far the mean of the exchanges is from the true sum, of whose length it is a share.
double Distance(const Outcome& outcome, int workers) {
  std::vector<Values> given;
  for (int rank = 0; rank < workers; ++rank) given.push_back(Random(static_cast<uint32_t>(rank)));
  double distance = 0;
  double length = 0;
  for (size_t e = 0; e < kPlainElements + kElements; ++e) {
    double truth = 0;
    for (const Values& values : given) truth += static_cast<double>(values[e]);
    double mean = 0;
    for (const Values& sums : outcome.sums) mean += static_cast<double>(sums[e]);
    mean /= static_cast<double>(outcome.sums.size());
    distance += (mean - truth) * (mean - truth);
    length += truth * truth;
  }
  return std::sqrt(distance / length);
}

TEST(CodedExchange, AllWorkersComeToTheSameBitsAgain) {
  for (const Codec codec : {Codec::kBf16, Codec::kFp16, Codec::kTopK, Codec::kOneBit}) {
    for (const int workers : {2, 3, 4}) {
      const std::vector<Outcome> outcomes = Exchange(codec, workers, 3);
      const std::vector<Outcome> again = Exchange(codec, workers, 3);
      for (size_t rank = 0; rank < outcomes.size(); ++rank) {
        EXPECT_EQ(outcomes[rank].sums, outcomes[0].sums) << "rank " << rank;
        EXPECT_EQ(again[rank].sums, outcomes[0].sums) << "rank " << rank;
      }
    }
  }
}

TEST(CodedExchange, RoundedSumsAreNear) {
  EXPECT_LT(Distance(Exchange(Codec::kBf16, 3, 1)[0], 3), 0.005);
  EXPECT_LT(Distance(Exchange(Codec::kFp16, 3, 1)[0], 3), 0.0005);
}

TEST(CodedExchange, WhatIsLostIsMadeGood) {
  for (const Codec codec : {Codec::kTopK, Codec::kOneBit}) {
    const double once = Distance(Exchange(codec, 2, 1)[0], 2);
    const double often = Distance(Exchange(codec, 2, 60)[0], 2);
    EXPECT_GT(once, 0.3);
    EXPECT_LT(often, once / 4);
  }
}

TEST(CodedExchange, Bytes) {
  const auto sent = [](Codec codec) {
    return static_cast<double>(Exchange(codec, 2, 1)[0].bytes_sent);
  };
  const double plain = sent(Codec::kPlain);
  EXPECT_LT(sent(Codec::kBf16), 0.52 * plain);
  EXPECT_LT(sent(Codec::kFp16), 0.52 * plain);
  EXPECT_LT(sent(Codec::kTopK), 0.12 * plain);
  EXPECT_LT(sent(Codec::kOneBit), 0.05 * plain);
}

}  // namespace
}  // namespace ingot::dist
