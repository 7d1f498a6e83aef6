// Exchanges between threads: the sums are those of the one tree, bit for bit; flags and breaks
// reach everyone.
#include "ingot/dist/group_exchange.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/dist/local_transport_test_util.h"

namespace ingot::dist {
namespace {

using Values = std::vector<float>;

// The values of each shard, and their sum by the tree.
std::vector<Values> RandomShards(int shards, size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> exponent(-20, 20);
  std::vector<Values> values(static_cast<size_t>(shards), Values(count));
  for (Values& shard : values) {
    for (float& value : shard)
      value = std::exp2(exponent(random)) * (random() % 2 == 0 ? 1.f : -1.f);
  }
  return values;
}

Values TreeSum(std::vector<Values> x) {
  for (size_t stride = 1; stride < x.size(); stride *= 2) {
    for (size_t i = 0; i + stride < x.size(); i += 2 * stride) {
      for (size_t e = 0; e < x[i].size(); ++e) x[i][e] += x[i + stride][e];
    }
  }
  return x[0];
}

ExchangePlan MakePlan(int shards, int workers, int rank, size_t count) {
  ExchangePlan plan = MakeExchangePlan(DealShards(shards, workers), shards);
  plan.AddSegment("values", DType::kF32, count * sizeof(float));
  plan.Place(0, rank);
  return plan;
}

struct Outcome {
  Values sums;
  bool not_finite = false;
  std::vector<int> ranks;
  uint64_t bytes_sent = 0;
};

// All workers exchange once; `faulty`: the rank that has met NaN, or -1.
std::vector<Outcome> ExchangeOnce(const std::vector<Values>& shards, int workers, int faulty) {
  const int count = static_cast<int>(shards.size());
  const size_t elements = shards[0].size();
  const auto wire = std::make_shared<LocalWire>();
  std::vector<Outcome> outcomes(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < workers; ++rank) {
    threads.emplace_back([&, rank] {
      const ExchangePlan plan = MakePlan(count, workers, rank, elements);
      std::vector<std::byte> shared(plan.bytes * (1 + plan.subtrees.size()));
      const int first = plan.first_subtree[static_cast<size_t>(rank)];
      for (int s = 0; s < plan.subtrees_of(rank); ++s) {
        const ShardRange range = plan.subtrees[static_cast<size_t>(first + s)];
        const Values partial = TreeSum({shards.begin() + range.begin, shards.begin() + range.end});
        std::memcpy(
            shared.data() + plan.partials + static_cast<uint64_t>(s) * plan.bytes + kFlagBytes,
            partial.data(), elements * sizeof(float));
      }
      GroupExchange exchange(std::make_unique<LocalTransport>(wire, rank), rank, workers);
      exchange.SetPlans({{plan}, {}, {}});
      Outcome& outcome = outcomes[static_cast<size_t>(rank)];
      outcome.not_finite = exchange.Run(0, 0, shared.data(), rank == faulty);
      outcome.ranks = exchange.not_finite_ranks();
      outcome.bytes_sent = exchange.bytes_sent();
      outcome.sums.resize(elements);
      std::memcpy(outcome.sums.data(), shared.data() + kFlagBytes, elements * sizeof(float));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

TEST(GroupExchange, SumsAreThoseOfTheOneTree) {
  for (const int shards : {1, 2, 3, 6, 8, 13}) {
    for (const size_t elements : {size_t{1}, size_t{100}, size_t{5000}}) {
      const auto values = RandomShards(shards, elements, static_cast<uint32_t>(shards) * 7919u);
      const Values expected = TreeSum(values);
      for (int workers = 1; workers <= shards; ++workers) {
        for (const Outcome& outcome : ExchangeOnce(values, workers, -1)) {
          ASSERT_EQ(std::memcmp(outcome.sums.data(), expected.data(), elements * sizeof(float)), 0)
              << shards << " shards, " << workers << " workers, " << elements << " elements";
          ASSERT_FALSE(outcome.not_finite);
        }
      }
    }
  }
}

TEST(GroupExchange, AlignedWorkersSendNoMoreThanARing) {
  constexpr size_t kElements = 100'000;
  const auto values = RandomShards(8, kElements, 1);
  for (const int workers : {2, 4, 8}) {
    uint64_t sent = 0;
    for (const Outcome& outcome : ExchangeOnce(values, workers, -1)) sent += outcome.bytes_sent;
    const double ring = 2.0 * (workers - 1) * kElements * sizeof(float);
    EXPECT_LE(static_cast<double>(sent), 1.05 * ring) << workers << " workers";
  }
}

// Two exchanges a step, asked for in front of it; the first step ends before its second exchange.
TEST(GroupExchange, WhatIsAskedForAheadComesToItsOwnExchange) {
  constexpr int kWorkers = 3;
  constexpr size_t kElements = 5000;
  const auto wire = std::make_shared<LocalWire>();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kWorkers; ++rank) {
    threads.emplace_back([&, rank] {
      ExchangePlan first = MakePlan(kWorkers, kWorkers, rank, kElements);
      ExchangePlan second = first;
      second.Place(first.partials + first.bytes, rank);
      std::vector<std::byte> shared(second.partials + second.bytes);
      GroupExchange exchange(std::make_unique<LocalTransport>(wire, rank), rank, kWorkers);
      exchange.SetPlans({{first, second}, {}, {}});
      const std::vector<uint32_t> indices = {0, 1};
      const auto run = [&](uint32_t index, int64_t step) {
        const ExchangePlan& plan = index == 0 ? first : second;
        const Values own(kElements, static_cast<float>((step + 1) * (rank + 1)) + index);
        std::memcpy(shared.data() + plan.partials + kFlagBytes, own.data(),
                    kElements * sizeof(float));
        exchange.Run(index, step, shared.data(), false);
        Values sums(kElements);
        std::memcpy(sums.data(), shared.data() + plan.reduced + kFlagBytes,
                    kElements * sizeof(float));
        const Values expected(kElements, static_cast<float>((step + 1) * 6) + 3 * index);
        wrong += sums == expected ? 0 : 1;
      };
      for (int64_t step = 0; step < 4; ++step) {
        exchange.Expect(indices, shared.data());
        run(0, step);
        if (step > 0) run(1, step);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(GroupExchange, EveryoneLearnsWhoMetNaN) {
  for (const Outcome& outcome : ExchangeOnce(RandomShards(8, 10, 2), 4, 2)) {
    EXPECT_TRUE(outcome.not_finite);
    EXPECT_THAT(outcome.ranks, testing::ElementsAre(2));
  }
}

TEST(GroupExchange, ABreakEndsAWait) {
  const auto wire = std::make_shared<LocalWire>();
  const ExchangePlan plan = MakePlan(2, 2, 0, 10);
  std::vector<std::byte> shared(plan.bytes * 3);
  GroupExchange exchange(std::make_unique<LocalTransport>(wire, 0), 0, 2);
  exchange.SetPlans({{plan}, {}, {}});
  std::thread breaker([&] {
    while (exchange.status().waiting_for != 1) std::this_thread::yield();
    exchange.Break("rank 1 is lost");
  });
  EXPECT_THROW(exchange.Run(0, 0, shared.data(), false), runtime::ExchangeBroken);
  breaker.join();
  EXPECT_THROW(exchange.Run(0, 1, shared.data(), false), runtime::ExchangeBroken);
}

}  // namespace
}  // namespace ingot::dist
