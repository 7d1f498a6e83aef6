// Monitor: improvements, patience, NaN and the state that checkpoints keep.
#include "ingot/train/monitor.h"

#include <limits>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::train {
namespace {

TEST(Monitor, FollowsALoss) {
  Monitor monitor("validation_loss", "auto", 0.01, 2);
  EXPECT_TRUE(monitor.Update(1.0, 10));
  EXPECT_TRUE(monitor.Update(0.5, 20));
  EXPECT_FALSE(monitor.Update(0.495, 30));  // better, but not by more than 0.01
  EXPECT_FALSE(monitor.Exhausted());
  EXPECT_FALSE(monitor.Update(0.6, 40));
  EXPECT_TRUE(monitor.Exhausted());
  EXPECT_EQ(monitor.state(), (MonitorState{"validation_loss", 0.5, 20, 2}));
}

TEST(Monitor, FollowsAnAccuracyAndTheModeThatIsAskedFor) {
  Monitor accuracy("validation_accuracy", "auto", 0, 0);
  EXPECT_TRUE(accuracy.Update(0.9, 1));
  EXPECT_FALSE(accuracy.Update(0.8, 2));
  EXPECT_TRUE(accuracy.Update(0.95, 3));
  for (int i = 0; i < 100; ++i) accuracy.Update(0.1, 4 + i);
  EXPECT_FALSE(accuracy.Exhausted());  // patience 0: for ever
  Monitor inverted("validation_accuracy", "min", 0, 0);
  EXPECT_TRUE(inverted.Update(0.9, 1));
  EXPECT_TRUE(inverted.Update(0.8, 2));
  EXPECT_THROW(Monitor("loss", "mni", 0, 0), Error);
}

TEST(Monitor, WhatIsNotFiniteIsNeverTheBest) {
  Monitor monitor("validation_loss", "auto", 0, 1);
  EXPECT_FALSE(monitor.Update(std::numeric_limits<double>::quiet_NaN(), 1));
  EXPECT_TRUE(monitor.Exhausted());
  EXPECT_TRUE(monitor.Update(3, 2));
  EXPECT_FALSE(monitor.Update(std::numeric_limits<double>::quiet_NaN(), 3));
  EXPECT_FALSE(monitor.Update(-std::numeric_limits<double>::infinity(), 4));
}

TEST(Monitor, StateIsRestoredForTheSameMetricOnly) {
  const MonitorState state{"validation_loss", 0.25, 7, 3};
  Monitor same("validation_loss", "auto", 0, 5);
  same.Restore(state);
  EXPECT_EQ(same.state(), state);
  EXPECT_FALSE(same.Update(0.3, 8));
  Monitor other("validation_accuracy", "auto", 0, 5);
  other.Restore(state);
  EXPECT_EQ(other.state(), MonitorState{});
}

}  // namespace
}  // namespace ingot::train
