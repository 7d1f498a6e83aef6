// Places of a mesh, and values that meet and pass between them: over messages between threads.
#include "ingot/dist/mesh.h"

#include <array>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

#include "ingot/dist/group_exchange.h"
#include "ingot/dist/local_transport_test_util.h"

namespace ingot::dist {
namespace {

TEST(MeshTest, RanksAndPlaces) {
  const MeshShape shape{2, 3, 2};
  EXPECT_EQ(shape.workers(), 12);
  for (int rank = 0; rank < shape.workers(); ++rank) {
    EXPECT_EQ(shape.rank_of(shape.place_of(rank)), rank);
  }
  const MeshPlace place = shape.place_of(7);
  EXPECT_EQ(shape.data_group(place), (std::vector<int>{1, 7}));
  EXPECT_EQ(shape.tensor_group(place), (std::vector<int>{6, 7, 8}));
  EXPECT_EQ(shape.pipeline_group(place), (std::vector<int>{7, 10}));
}

// Two shards of two rows of two numbers each.
class TestValues : public runtime::StepValues {
 public:
  explicit TestValues(float first) {
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = first + static_cast<float>(i);
  }
  std::span<std::byte> Rows(const runtime::SlotValue&, int shard) const override {
    auto* bytes = reinterpret_cast<std::byte*>(numbers.data());
    return {bytes + static_cast<size_t>(shard) * 4 * sizeof(float), 4 * sizeof(float)};
  }
  std::byte* shared() const override { return nullptr; }
  std::byte* State(uint32_t) const override { return nullptr; }
  mutable std::array<float, 8> numbers{};
};

runtime::StepProgram TwoShards() {
  runtime::StepProgram program;
  program.shard_begin = {0, 2, 4};
  program.parts.resize(1);
  program.parts[0].slot_row_bytes = {2 * sizeof(float)};
  return program;
}

// Every rank of the mesh sums its rows.
std::vector<std::array<float, 8>> SumOnce(const MeshShape& shape, int ranks) {
  const auto wire = std::make_shared<LocalWire>();
  std::vector<std::array<float, 8>> results(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const runtime::StepProgram program = TwoShards();
      const TransferPlan plan = MakeTransferPlan(program, {runtime::MeshValue()}, {0, 2}, shape,
                                                 shape.place_of(rank), TransferHalf::kFirst);
      GroupExchange exchange(std::make_unique<LocalTransport>(wire, rank), rank, ranks);
      exchange.SetPlans({{}, {plan}, {}});
      const TestValues values(static_cast<float>(100 * rank));
      exchange.Transfer(0, 0, values);
      results[static_cast<size_t>(rank)] = values.numbers;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST(MeshTest, SumsOverTheTensorAxis) {
  const auto results = SumOnce({2, 2, 1}, 4);
  for (size_t i = 0; i < 8; ++i) {
    const auto at = static_cast<float>(i);
    EXPECT_EQ(results[0][i], 100 + 2 * at);
    EXPECT_EQ(results[1][i], 100 + 2 * at);
    EXPECT_EQ(results[2][i], 500 + 2 * at);
    EXPECT_EQ(results[3][i], 500 + 2 * at);
  }
}

TEST(MeshTest, RowsGoToTheNextStage) {
  const MeshShape shape{1, 1, 2};
  const auto wire = std::make_shared<LocalWire>();
  const runtime::StepProgram program = TwoShards();
  const auto plan_of = [&](int rank, runtime::MeshValue::What what, TransferHalf half) {
    runtime::MeshValue value;
    value.what = what;
    return MakeTransferPlan(program, {value}, {0, 2}, shape, shape.place_of(rank), half);
  };
  using What = runtime::MeshValue::What;
  const TestValues first(1);
  const TestValues second(1000);
  std::thread next([&] {
    GroupExchange exchange(std::make_unique<LocalTransport>(wire, 1), 1, 2);
    exchange.SetPlans({{},
                       {plan_of(1, What::kComes, TransferHalf::kFirst),
                        plan_of(1, What::kGoes, TransferHalf::kFirst)},
                       {}});
    exchange.Transfer(0, 0, second);
    for (float& number : second.numbers) number *= 10;
    exchange.Transfer(1, 0, second);
  });
  GroupExchange exchange(std::make_unique<LocalTransport>(wire, 0), 0, 2);
  exchange.SetPlans({{},
                     {plan_of(0, What::kTurns, TransferHalf::kFirst),
                      plan_of(0, What::kTurns, TransferHalf::kSecond)},
                     {}});
  exchange.Transfer(0, 0, first);
  exchange.Transfer(1, 0, first);
  next.join();
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(first.numbers[i], 10 * (1 + static_cast<float>(i)));
  }
}

}  // namespace
}  // namespace ingot::dist
