// Telemetry: sums over threads, bounded events, wrappers that change nothing.
#include "ingot/runtime/telemetry.h"

#include <thread>

#include <gtest/gtest.h>

#include "ingot/base/clock.h"
#include "ingot/runtime/step_program.h"

namespace ingot::runtime {
namespace {

void AddNow(Telemetry& telemetry, int item) {
  const uint64_t begin = Telemetry::Now();
  telemetry.Add(item, begin, Telemetry::Now());
}

TEST(TelemetryTest, TicksAreSeconds) {
  Telemetry telemetry;
  const int item = telemetry.Register({"a", "layer", "shard"});
  const double begin = MonotonicSeconds();
  const uint64_t tick = Telemetry::Now();
  while (MonotonicSeconds() - begin < 0.05) {
  }
  telemetry.Add(item, tick, Telemetry::Now());
  const double passed = MonotonicSeconds() - begin;
  const auto totals = telemetry.Totals();
  ASSERT_EQ(totals.size(), 1u);
  EXPECT_EQ(totals[0].calls, 1);
  EXPECT_GE(totals[0].seconds, 0.05 * 0.99);
  EXPECT_LE(totals[0].seconds, passed * 1.01);
}

TEST(TelemetryTest, ThreadsAddUp) {
  Telemetry telemetry;
  const int a = telemetry.Register({"a", "", "shard"});
  telemetry.Register({"never", "", "shard"});
  const int b = telemetry.Register({"b", "", "shard"});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) telemetry.Add(i % 4 == 0 ? b : a, 0, 10);
      });
    }
  }
  const auto totals = telemetry.Totals();
  ASSERT_EQ(totals.size(), 2u);
  EXPECT_EQ(totals[0].calls, 3000);
  EXPECT_EQ(totals[1].item.name, "b");
  EXPECT_NEAR(totals[0].seconds / totals[1].seconds, 3, 1e-3);
}

// A thread that served one telemetry must not write into the record of another.
TEST(TelemetryTest, OneThreadServesSeveral) {
  Telemetry first;
  Telemetry second;
  const int a = first.Register({"a", "", "shard"});
  const int b = second.Register({"b", "", "shard"});
  for (int i = 0; i < 3; ++i) {
    first.Add(a, 0, 1);
    second.Add(b, 0, 1);
    second.Add(b, 0, 1);
  }
  EXPECT_EQ(first.Totals()[0].calls, 3);
  EXPECT_EQ(second.Totals()[0].calls, 6);
}

TEST(TelemetryTest, EventsAreBounded) {
  Telemetry telemetry(3);
  const int item = telemetry.Register({"a", "", "shard"});
  AddNow(telemetry, item);
  EXPECT_TRUE(telemetry.Events().empty());
  telemetry.SetTracing(true);
  for (int i = 0; i < 5; ++i) AddNow(telemetry, item);
  telemetry.SetTracing(false);
  const auto events = telemetry.Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(telemetry.dropped_events(), 2);
  EXPECT_EQ(telemetry.Totals()[0].calls, 6);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GE(events[i].end, events[i].begin);
    if (i > 0) {
      EXPECT_GE(events[i].begin, events[i - 1].end);
    }
  }
}

class AddOne : public Kernel {
 public:
  void Run(std::span<void* const> operands, std::byte*) const override {
    ++*static_cast<int*>(operands[0]);
  }
  size_t scratch_bytes() const override { return 128; }
  std::string name() const override { return "add_one"; }
};

TEST(InstrumentTest, WrappersPassEverythingOn) {
  auto telemetry = std::make_shared<Telemetry>();
  StepProgram program;
  program.parts.resize(1);
  program.parts[0].routines.resize(1);
  std::vector<Instruction>& instructions = program.parts[0].routines[0].instructions;
  instructions.push_back({std::make_shared<AddOne>(), {}, "dense"});
  Instrument(program, telemetry);
  const Kernel& kernel = *instructions[0].kernel;
  EXPECT_EQ(kernel.name(), "add_one");
  EXPECT_EQ(kernel.scratch_bytes(), 128u);
  int value = 1;
  void* operand = &value;
  kernel.Run({&operand, 1}, nullptr);
  EXPECT_EQ(value, 2);
  const auto totals = telemetry->Totals();
  ASSERT_EQ(totals.size(), 1u);
  EXPECT_EQ(totals[0].item.name, "add_one");
  EXPECT_EQ(totals[0].item.layer, "dense");
  EXPECT_EQ(totals[0].item.stage, "shard");
}

}  // namespace
}  // namespace ingot::runtime
