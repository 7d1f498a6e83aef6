// Futures, parallel loops, errors and nesting.
#include "ingot/base/thread_pool.h"

#include <atomic>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

TEST(ThreadPoolTest, SubmitGivesResultsAndExceptions) {
  for (const size_t threads : {0, 1, 3}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    auto seven = pool.Submit([] { return 7; });
    auto nothing = pool.Submit([] {});
    auto error = pool.Submit([]() -> int { throw Error(ErrorCode::kIo, "disk"); });
    auto moved = pool.Submit([value = std::make_unique<int>(5)] { return *value; });
    EXPECT_EQ(seven.get(), 7);
    nothing.get();
    EXPECT_THROW(error.get(), Error);
    EXPECT_EQ(moved.get(), 5);
  }
}

TEST(ThreadPoolTest, OneThreadKeepsTheOrder) {
  std::string order;
  {
    ThreadPool pool(1);
    for (char c = 'a'; c <= 'z'; ++c) pool.Submit([&order, c] { order += c; });
  }
  // The destructor ran everything.
  EXPECT_EQ(order, "abcdefghijklmnopqrstuvwxyz");
}

TEST(ThreadPoolTest, WorkIsDoneByOtherThreads) {
  ThreadPool pool(2);
  // Both tasks wait for each other, so that two threads must be at work.
  std::promise<void> first;
  std::promise<void> second;
  auto a = pool.Submit([&] {
    first.set_value();
    second.get_future().wait();
    return std::this_thread::get_id();
  });
  auto b = pool.Submit([&] {
    second.set_value();
    first.get_future().wait();
    return std::this_thread::get_id();
  });
  const std::set<std::thread::id> ids = {a.get(), b.get(), std::this_thread::get_id()};
  EXPECT_EQ(ids.size(), 3u);
}

TEST(ThreadPoolTest, ParallelForCallsEachIndexOnce) {
  for (const size_t threads : {0, 1, 4}) {
    ThreadPool pool(threads);
    for (const size_t n : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> calls(n);
      pool.ParallelFor(n, [&](size_t i) { calls[i].fetch_add(1); });
      for (size_t i = 0; i < n; ++i) EXPECT_EQ(calls[i].load(), 1);
    }
  }
}

TEST(ThreadPoolTest, ParallelForThrowsTheLowestError) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    try {
      pool.ParallelFor(100, [](size_t i) {
        if (i >= 7) throw std::runtime_error(std::to_string(i));
      });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "7");
    }
  }
  // The pool goes on.
  EXPECT_EQ(pool.Submit([] { return 1; }).get(), 1);
}

TEST(ThreadPoolTest, ParallelForInsideTasksDoesNotBlock) {
  ThreadPool pool(2);
  std::atomic<int> sum{0};
  pool.ParallelFor(8, [&](size_t) { pool.ParallelFor(8, [&](size_t) { sum.fetch_add(1); }); });
  EXPECT_EQ(sum.load(), 64);
  auto outer = pool.Submit([&] { pool.ParallelFor(8, [&](size_t) { sum.fetch_add(1); }); });
  outer.get();
  EXPECT_EQ(sum.load(), 72);
}

TEST(ThreadPoolTest, ParallelForDoesNotWaitForABusyPool) {
  ThreadPool pool(1);
  std::promise<void> release;
  auto busy = pool.Submit([&] { release.get_future().wait(); });
  int calls = 0;
  pool.ParallelFor(5, [&](size_t) { ++calls; });  // the only thread is held: all by the caller
  EXPECT_EQ(calls, 5);
  release.set_value();
  busy.get();
}

}  // namespace
}  // namespace ingot
