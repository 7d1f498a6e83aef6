// Loops of a team: every index once, errors, many owners.
#include "ingot/runtime/thread_team.h"

#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::runtime {
namespace {

TEST(ThreadTeam, RunsEveryIndexOnce) {
  ThreadTeam team(3);
  EXPECT_EQ(team.threads(), 3U);
  for (size_t count = 0; count < 300; ++count) {
    std::vector<std::atomic<int>> runs(count);
    std::atomic<bool> in_range{true};
    team.ForEach(count, [&](size_t index, size_t thread) {
      ++runs[index];
      if (thread >= 3) in_range = false;
    });
    for (const auto& run : runs) EXPECT_EQ(run.load(), 1);
    EXPECT_TRUE(in_range.load());
  }
}

TEST(ThreadTeam, ThrowsWhatABodyThrewAndGoesOn) {
  ThreadTeam team(2);
  for (int i = 0; i < 50; ++i) {
    EXPECT_THROW(team.ForEach(8,
                              [](size_t index, size_t) {
                                if (index == 3) throw Error(ErrorCode::kInvalidInput, "no");
                              }),
                 Error);
    std::atomic<int> runs{0};
    team.ForEach(8, [&](size_t, size_t) { ++runs; });
    EXPECT_EQ(runs.load(), 8);
  }
}

TEST(ThreadTeam, HasOneOwnerAtATime) {
  ThreadTeam team(2);
  ASSERT_TRUE(team.TryAcquire());
  std::thread([&] { EXPECT_FALSE(team.TryAcquire()); }).join();
  team.Release();
  std::thread([&] {
    EXPECT_TRUE(team.TryAcquire());
    team.Release();
  }).join();
}

TEST(ThreadTeam, UsesNoCpuWhenIdle) {
  ThreadTeam team(3);
  team.ForEach(3, [](size_t, size_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto cpu = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double before = cpu();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(cpu() - before, 0.01);
}

}  // namespace
}  // namespace ingot::runtime
