// RunningSums, StepTimer and TimedSource: the small bookkeeping of a run.
#include "ingot/train/running_sums.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/train/step_timer.h"

namespace ingot::train {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(RunningSums, MeansOfWhatWasAdded) {
  RunningSums sums({"loss_sum", "weight_sum", "rmse_sum"});
  EXPECT_TRUE(std::isnan(sums.Means()[0].second));
  sums.Add(std::vector<float>{4, 2, 8});
  sums.Add(std::vector<float>{2, 1, 19});
  EXPECT_EQ(sums.weight(), 3);
  EXPECT_THAT(sums.Means(), ElementsAre(Pair("loss", 2.0), Pair("rmse", 3.0)));
  sums.Clear();
  EXPECT_EQ(sums.weight(), 0);
}

TEST(RunningSums, StateIsFiniteAndComesBack) {
  RunningSums sums({"loss_sum", "weight_sum", "mae_sum"});
  sums.Add(std::vector<float>{0.1f, 1, std::numeric_limits<float>::infinity()});
  const auto state = sums.State();
  EXPECT_EQ(state.count("mae_sum"), 0u);
  RunningSums again({"loss_sum", "weight_sum", "accuracy_sum"});
  again.Restore(state);
  EXPECT_THAT(again.Means(),
              ElementsAre(Pair("loss", static_cast<double>(0.1f)), Pair("accuracy", 0.0)));
}

TEST(StepTimer, MedianAndTotal) {
  StepTimer timer;
  EXPECT_EQ(timer.Median(), 0);
  timer.Start();
  for (int i = 0; i < 70'000; ++i) timer.Lap();
  EXPECT_GE(timer.Median(), 0);
  EXPECT_GT(timer.total_seconds(), 0);
  EXPECT_LE(timer.Median(), timer.total_seconds());
}

class CountingSource : public runtime::BatchSource {
 public:
  void Fill(int64_t step, int64_t first_sample, int64_t count,
            std::span<void* const> inputs) const override {
    for (int64_t i = 0; i < count; ++i) {
      static_cast<int64_t*>(inputs[0])[i] = 100 * step + first_sample + i;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
};

TEST(TimedSource, PassesOnAndEstimatesTheTime) {
  const CountingSource source;
  const TimedSource timed(source);
  EXPECT_EQ(timed.Seconds(0, 0), 0);
  int64_t rows[2] = {};
  void* inputs[] = {rows};
  for (int64_t step = 0; step < 32; ++step) timed.Fill(step, 3, 2, inputs);
  EXPECT_THAT(rows, ElementsAre(3103, 3104));
  EXPECT_GT(timed.Seconds(0, 32), 0);
  // Steps 0 and 16 were measured; between 1 and 16 none was.
  EXPECT_EQ(timed.Seconds(1, 16), 0);
}

}  // namespace
}  // namespace ingot::train
