// Where the time went: phases, families, and the trace of a run.
#include "ingot/train/time_table.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/clock.h"
#include "ingot/train/trace_file.h"

namespace ingot::train {
namespace {

double Sum(const std::vector<TimeRow>& rows) {
  return std::accumulate(rows.begin(), rows.end(), 0.0,
                         [](double sum, const TimeRow& row) { return sum + row.seconds; });
}

double Of(const std::vector<TimeRow>& rows, const std::string& name) {
  for (const TimeRow& row : rows) {
    if (row.name == name) return row.seconds;
  }
  return -1;
}

TEST(PhaseClockTest, PhasesAddUpToTheProcessesTime) {
  PhaseClock clock;
  clock.Switch(Phase::kOther);
  {
    const PhaseScope steps(clock, Phase::kSteps);
    const PhaseScope inner(clock, Phase::kCheckpoint);
  }
  const double before = SecondsSinceProcessStart();
  const auto seconds = clock.Seconds();
  const double after = SecondsSinceProcessStart();
  const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  EXPECT_GE(sum, before - 1e-9);
  EXPECT_LE(sum, after + 1e-9);
  EXPECT_EQ(clock.Switch(Phase::kSteps), Phase::kOther);
}

TEST(TimeTableTest, StepsAreDividedByWhatThreadsDid) {
  std::array<double, kPhases> phases = {};
  phases[static_cast<size_t>(Phase::kStartUp)] = 1;
  phases[static_cast<size_t>(Phase::kSteps)] = 10;
  phases[static_cast<size_t>(Phase::kOther)] = 0.5;
  const std::vector<runtime::TelemetryTotal> totals = {{{"matmul_f32", "a", "shard"}, 8, 1},
                                                       {{"matmul_f32", "b", "shard"}, 4, 1},
                                                       {{"batch", "", "data"}, 2, 1}};
  const std::vector<TimeRow> rows = TimeTable(phases, totals, 2);
  EXPECT_DOUBLE_EQ(Of(rows, "products"), 6);
  EXPECT_DOUBLE_EQ(Of(rows, "data"), 1);
  EXPECT_DOUBLE_EQ(Of(rows, "waiting and hand-over"), 3);
  EXPECT_DOUBLE_EQ(Of(rows, "start-up"), 1);
  EXPECT_EQ(rows.front().name, "products");
  EXPECT_EQ(rows.back().name, "other");
  EXPECT_DOUBLE_EQ(Sum(rows), 11.5);
  EXPECT_THAT(TimeTableText(rows), ::testing::HasSubstr("products"));
}

TEST(TimeTableTest, WaitingForDataIsARowOfItsOwn) {
  std::array<double, kPhases> phases = {};
  phases[static_cast<size_t>(Phase::kSteps)] = 10;
  const std::vector<runtime::TelemetryTotal> totals = {{{"matmul_f32", "a", "shard"}, 8, 1},
                                                       {{"batch", "", "data"}, 6, 1}};
  const std::vector<TimeRow> rows = TimeTable(phases, totals, 2, 5);
  EXPECT_DOUBLE_EQ(Of(rows, "data"), 0.5);
  EXPECT_DOUBLE_EQ(Of(rows, "waiting for data"), 2.5);
  EXPECT_DOUBLE_EQ(Sum(rows), 10);
}

TEST(TimeTableTest, ThreadsCannotBeBusyForLongerThanTheSteps) {
  std::array<double, kPhases> phases = {};
  phases[static_cast<size_t>(Phase::kSteps)] = 1;
  const std::vector<TimeRow> rows = TimeTable(phases, {{{"conv", "", "shard"}, 2.0001, 1}}, 2);
  EXPECT_NEAR(Sum(rows), 1, 1e-12);
  EXPECT_EQ(Of(rows, "waiting and hand-over"), -1);
}

TEST(FamilyTest, NamesOfKernels) {
  const auto family = [](const char* name, const char* stage = "shard") {
    return FamilyOf({name, "layer", stage});
  };
  EXPECT_EQ(family("matmul_f32"), "products");
  EXPECT_EQ(family("reference ingot.ConvWeightGradient"), "convolution");
  EXPECT_EQ(family("reference ingot.MaxPoolGradient"), "pooling");
  EXPECT_EQ(family("reference LayerNormalization"), "normalisation");
  EXPECT_EQ(family("attention_f32"), "attention");
  EXPECT_EQ(family("reference LSTM"), "recurrence");
  EXPECT_EQ(family("softmax_cross_entropy_f32"), "softmax and loss");
  EXPECT_EQ(family("elementwise: relu"), "elementwise");
  EXPECT_EQ(family("reference ingot.GeluGradient"), "elementwise");
  EXPECT_EQ(family("something new"), "other kernels");
  EXPECT_EQ(family("adam_f32", "update"), "update");
  EXPECT_EQ(family("shard_matmul_f32", "reduce"), "products");
  EXPECT_EQ(family("tree_sum_f32", "reduce"), "gradients over shards");
  EXPECT_EQ(FamilyOf({"top_k_hits_f32", "metric (accuracy)", "shard"}), "metrics");
}

TEST(TraceTest, TasksHoldTheirKernels) {
  runtime::Telemetry telemetry(100);
  const int batch = telemetry.Register({"batch", "", "data"});
  const int kernel = telemetry.Register({"matmul_f32", "dense \"1\"", "shard"});
  const int reduce = telemetry.Register({"tree_sum_f32", "dense.weight", "reduce"});
  const int update = telemetry.Register({"adam_f32", "dense.weight", "update"});
  telemetry.SetTracing(true);
  for (const int item : {batch, kernel, kernel, batch, kernel, reduce, update, reduce, update}) {
    const uint64_t begin = runtime::Telemetry::Now();
    telemetry.Add(item, begin, runtime::Telemetry::Now());
  }
  const auto trace = nlohmann::json::parse(TraceJson(telemetry));
  EXPECT_EQ(trace["otherData"]["dropped_events"], 0);
  std::vector<std::string> names;
  nlohmann::json task;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "M") continue;
    ASSERT_EQ(event["ph"], "X");
    if (event["cat"] == "task") {
      names.push_back(event["name"]);
      task = event;
      continue;
    }
    EXPECT_GE(event["ts"].get<double>(), task["ts"].get<double>());
    EXPECT_LE(event["ts"].get<double>() + event["dur"].get<double>(),
              task["ts"].get<double>() + task["dur"].get<double>() + 0.0021);
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("shard", "shard", "tile dense.weight", "tile dense.weight"));
  EXPECT_EQ(trace["traceEvents"][3]["args"]["layer"], "dense \"1\"");
  EXPECT_EQ(trace["traceEvents"][3]["cat"], "products");
}

}  // namespace
}  // namespace ingot::train
