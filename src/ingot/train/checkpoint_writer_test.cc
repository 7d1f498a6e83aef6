// CheckpointWriter: one write in flight, its errors at the next call, its stall measured.
#include "ingot/train/checkpoint_writer.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/file_faults.h"
#include "ingot/base/test_folder.h"
#include "ingot/train/checkpoint_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

CheckpointRequest Request(int64_t step) {
  CheckpointRequest request;
  request.checkpoint = ExampleCheckpoint(step);
  return request;
}

TEST(CheckpointWriter, WritesWhatIsAskedFor) {
  const TestFolder folder;
  CheckpointStore store(RealFileSystem(), folder.path(), 2);
  {
    CheckpointWriter writer(store);
    writer.Wait();
    for (int64_t step = 1; step <= 5; ++step) writer.Save(Request(step));
    CheckpointRequest last = Request(6);
    last.as_best = true;
    last.as_final = true;
    last.complete = [](Manifest& manifest) { manifest.data_digest = "late"; };
    writer.Save(std::move(last));
    writer.Wait();
    EXPECT_EQ(writer.written(), 6);
  }
  EXPECT_EQ(store.Steps(), (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(ReadCheckpoint(folder / "final").manifest.data_digest, "late");
  EXPECT_EQ(ReadCheckpoint(folder / "best").manifest.step, 6);
}

TEST(CheckpointWriter, TheDestructorFinishesTheWriteInFlight) {
  const TestFolder folder;
  CheckpointStore store(RealFileSystem(), folder.path(), 2);
  {
    CheckpointWriter writer(store);
    writer.Save(Request(3));
  }
  ExpectCheckpoint(store.LoadNewest().checkpoint, ExampleCheckpoint(3));
}

TEST(CheckpointWriter, SaveReturnsAtOnceAndTheSecondOneWaits) {
  const TestFolder folder;
  CheckpointStore store(RealFileSystem(), folder.path(), 2);
  CheckpointWriter writer(store);
  std::atomic<bool> go = false;
  std::atomic<bool> first_is_done = false;
  CheckpointRequest slow = Request(1);
  slow.complete = [&](Manifest&) {
    while (!go) std::this_thread::yield();
    first_is_done = true;
  };
  writer.Save(std::move(slow));
  EXPECT_FALSE(first_is_done);  // Save came back while the write cannot have begun
  const double stalled = writer.stall_seconds();
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    go = true;
  });
  writer.Save(Request(2));
  EXPECT_TRUE(first_is_done);
  EXPECT_GE(writer.stall_seconds() - stalled, 0.015);
  release.join();
  writer.Wait();
  EXPECT_EQ(writer.written(), 2);
}

TEST(CheckpointWriter, AnErrorSurfacesOnceAtTheNextCall) {
  const TestFolder folder;
  CheckpointStore good(RealFileSystem(), folder.path(), 2);
  good.Save(ExampleCheckpoint(1));
  FaultyFileSystem faulty(
      RealFileSystem(),
      {.kind = Fault::Kind::kWrite, .at = 2, .error_number = ENOSPC, .cut_short = true});
  CheckpointStore store(faulty, folder.path(), 2);
  CheckpointWriter writer(store);
  writer.Save(Request(2));
  try {
    writer.Save(Request(3));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr("step-00000002"));
    EXPECT_THAT(error.message(), HasSubstr("No space left on device"));
  }
  writer.Wait();  // said once
  EXPECT_EQ(writer.written(), 0);
  EXPECT_EQ(good.Steps(), (std::vector<int64_t>{1}));
}

}  // namespace
}  // namespace ingot::train
