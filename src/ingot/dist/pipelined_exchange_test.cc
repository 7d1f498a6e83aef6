// Exchanges in the background: what comes back is the sum of the step that many steps ago, for all
// workers, and a break reaches whoever waits.
#include "ingot/dist/pipelined_exchange.h"

#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/dist/local_transport_test_util.h"

namespace ingot::dist {
namespace {

struct Worker {
  Worker(const std::shared_ptr<LocalWire>& wire, int rank, int workers) {
    plan = MakeExchangePlan(DealShards(workers, workers), workers);
    plan.AddSegment("values", DType::kF32, sizeof(float));
    shared.resize(plan.Place(64, rank));
    if (workers == 1) return;
    exchange = std::make_unique<GroupExchange>(std::make_unique<LocalTransport>(wire, rank), rank,
                                               workers);
    exchange->SetPlans({PipelinedExchange::InnerPlans({plan}, rank), {}, {}});
  }
  void Put(float value) {
    std::memcpy(shared.data() + plan.partials + plan.segments[1].offset, &value, sizeof(value));
  }
  float Get() const {
    float value = 0;
    std::memcpy(&value, shared.data() + plan.reduced + plan.segments[1].offset, sizeof(value));
    return value;
  }
  ExchangePlan plan;
  std::vector<std::byte> shared;
  std::unique_ptr<GroupExchange> exchange;
};

// What each worker takes in a round of five steps from 10 on, in which worker r gives step + r / 8.
std::vector<std::vector<float>> Taken(int workers, int64_t staleness) {
  const auto wire = std::make_shared<LocalWire>();
  std::vector<std::vector<float>> taken(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < workers; ++rank) {
    threads.emplace_back([&, rank] {
      Worker worker(wire, rank, workers);
      const PipelineSteps steps{10, 15, staleness};
      PipelinedExchange pipeline(worker.exchange.get(), {worker.plan}, steps, rank);
      for (int64_t step = 10; step < 15 + staleness; ++step) {
        worker.Put(static_cast<float>(step) + static_cast<float>(rank) / 8);
        pipeline.Run(0, step, worker.shared.data(), false);
        taken[static_cast<size_t>(rank)].push_back(worker.Get());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return taken;
}

TEST(PipelinedExchange, SumsComeBackSomeStepsLater) {
  for (const auto& taken : Taken(1, 2)) {
    EXPECT_THAT(taken, testing::ElementsAre(0, 0, 10, 11, 12, 13, 14));
  }
  for (const auto& taken : Taken(2, 1)) {
    EXPECT_THAT(taken, testing::ElementsAre(0, 20.125f, 22.125f, 24.125f, 26.125f, 28.125f));
  }
  for (const auto& taken : Taken(3, 5)) {
    EXPECT_THAT(taken,
                testing::ElementsAre(0, 0, 0, 0, 0, 30.375f, 33.375f, 36.375f, 39.375f, 42.375f));
  }
}

TEST(PipelinedExchange, ABreakReachesWhoWaits) {
  const auto wire = std::make_shared<LocalWire>();
  Worker worker(wire, 0, 2);  // the other never comes
  PipelinedExchange pipeline(worker.exchange.get(), {worker.plan}, {0, 5, 1}, 0);
  pipeline.Run(0, 0, worker.shared.data(), false);
  std::thread breaker([&] { worker.exchange->Break("rank 1 is lost"); });
  EXPECT_THROW(pipeline.Run(0, 1, worker.shared.data(), false), runtime::ExchangeBroken);
  breaker.join();
}

TEST(PipelinedExchange, LeavingInTheMiddleDoesNotWaitForTheOthers) {
  const auto wire = std::make_shared<LocalWire>();
  Worker worker(wire, 0, 2);
  {
    PipelinedExchange pipeline(worker.exchange.get(), {worker.plan}, {0, 5, 2}, 0);
    pipeline.Run(0, 0, worker.shared.data(), false);
  }
  EXPECT_TRUE(worker.exchange->broken().load());
}

}  // namespace
}  // namespace ingot::dist
