// CheckpointStore: saving, keeping, replacing, and faults at every single operation on files.
#include "ingot/train/checkpoint_store.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/file_faults.h"
#include "ingot/base/test_folder.h"
#include "ingot/train/checkpoint_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

TEST(CheckpointName, RoundTrip) {
  EXPECT_EQ(CheckpointName(469), "step-00000469");
  EXPECT_EQ(StepOfCheckpointName("step-00000469"), 469);
  EXPECT_EQ(StepOfCheckpointName(CheckpointName(1234567890123)), 1234567890123);
  for (const char* name : {"step-", "step-469", "step-0000046x", "best", ".tmp-step-00000469",
                           "step--0000469", "step-000000469"}) {
    EXPECT_EQ(StepOfCheckpointName(name), std::nullopt) << name;
  }
}

TEST(CheckpointStore, KeepsTheNewestAndBestAndFinal) {
  const TestFolder folder;
  CheckpointStore store(RealFileSystem(), folder / "run/checkpoints", 2);
  EXPECT_TRUE(store.Steps().empty());
  for (int64_t step = 1; step <= 4; ++step) store.Save(ExampleCheckpoint(step));
  store.SaveAs(kBestCheckpoint, ExampleCheckpoint(2));
  store.SaveAs(kFinalCheckpoint, ExampleCheckpoint(4));
  store.SaveAs(kBestCheckpoint, ExampleCheckpoint(3));
  EXPECT_EQ(store.Steps(), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(RealFileSystem().List(store.directory()),
            (std::vector<std::string>{"best", "final", "step-00000003", "step-00000004"}));
  const Checkpoint best = ReadCheckpoint(store.directory() + "/best");
  EXPECT_FALSE(best.resumable);
  ExpectTensors(best.parameters, ExampleCheckpoint(3).parameters);
  EXPECT_FALSE(fs::exists(store.directory() + "/best/optimizer.safetensors"));
  EXPECT_TRUE(fs::exists(store.directory() + "/final/model.safetensors"));
}

TEST(CheckpointStore, NoCheckpointAtAll) {
  const TestFolder folder;
  try {
    CheckpointStore(RealFileSystem(), folder / "checkpoints", 1).LoadNewest();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_EQ(error.message(), "there is no checkpoint in " + folder / "checkpoints");
  }
}

TEST(CheckpointStore, LeftoversOfAKilledProcessAreIgnoredAndCleaned) {
  const TestFolder folder;
  CheckpointStore store(RealFileSystem(), folder.path(), 3);
  store.Save(ExampleCheckpoint(1));
  fs::create_directories(folder / ".tmp-step-00000002");
  std::ofstream(folder / ".tmp-step-00000002/model.safetensors") << "half of i";
  fs::create_directories(folder / ".tmp-removed-step-00000000");
  fs::rename(folder / "step-00000001", folder / ".replaced-step-00000001");
  EXPECT_THROW(store.LoadNewest(), Error);
  store.Clean();
  ExpectCheckpoint(store.LoadNewest().checkpoint, ExampleCheckpoint(1));
  EXPECT_EQ(RealFileSystem().List(folder.path()), (std::vector<std::string>{"step-00000001"}));
  // Where the successor arrived, what was set aside goes.
  fs::create_directories(folder / ".replaced-step-00000001");
  store.Clean();
  EXPECT_EQ(RealFileSystem().List(folder.path()), (std::vector<std::string>{"step-00000001"}));
}

TEST(CheckpointStore, AFullDiskIsNamed) {
  const TestFolder folder;
  CheckpointStore good(RealFileSystem(), folder.path(), 3);
  good.Save(ExampleCheckpoint(1));
  FaultyFileSystem faulty(
      RealFileSystem(),
      {.kind = Fault::Kind::kWrite, .at = 3, .error_number = ENOSPC, .cut_short = true});
  CheckpointStore store(faulty, folder.path(), 3);
  try {
    store.Save(ExampleCheckpoint(2));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr("cannot write the checkpoint " + folder.path() +
                                           "/step-00000002: cannot write to "));
    EXPECT_THAT(error.message(), HasSubstr("No space left on device"));
    EXPECT_THAT(error.hint(), HasSubstr("free some space"));
  }
  ExpectCheckpoint(good.LoadNewest().checkpoint, ExampleCheckpoint(1));
  EXPECT_EQ(RealFileSystem().List(folder.path()), (std::vector<std::string>{"step-00000001"}));
}

// Saves through a file system whose operation number n fails, for every n until none does. After
// each, what is on disk must be, whole, one of the two states that `check` accepts.
void FaultsEverywhere(Fault fault, int64_t keep, const std::function<void(CheckpointStore&)>& save,
                      const std::function<void(const CheckpointStore&, bool failed)>& check) {
  for (size_t n = 0;; ++n) {
    SCOPED_TRACE("fault at operation " + std::to_string(n));
    ASSERT_LT(n, 1000u);
    const TestFolder folder;
    CheckpointStore good(RealFileSystem(), folder.path(), keep);
    good.Save(ExampleCheckpoint(1));
    good.Save(ExampleCheckpoint(2));
    good.SaveAs(kBestCheckpoint, ExampleCheckpoint(2));
    fault.at = n;
    FaultyFileSystem faulty(RealFileSystem(), fault);
    CheckpointStore store(faulty, folder.path(), keep);
    bool failed = false;
    try {
      save(store);
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.code(), ErrorCode::kIo) << error.what();
    }
    // A later process, on a healthy disk.
    CheckpointStore later(RealFileSystem(), folder.path(), keep);
    later.Clean();
    check(later, failed);
    for (const std::string& name : RealFileSystem().List(folder.path())) {
      EXPECT_NE(name[0], '.') << name;
      ReadCheckpoint(folder / name);  // throws where it is not whole
    }
    if (!faulty.has_failed()) {
      EXPECT_FALSE(failed);
      EXPECT_GE(n, 1u);
      return;
    }
  }
}

class CheckpointFaults : public ::testing::TestWithParam<Fault> {};

std::string FaultName(const ::testing::TestParamInfo<Fault>& info) {
  const char* const kinds[] = {"Open", "Write", "Sync", "Rename", "Any"};
  return std::string(kinds[static_cast<size_t>(info.param.kind)]) +
         (info.param.crash ? "Crash" : "") + (info.param.cut_short ? "CutShort" : "");
}

INSTANTIATE_TEST_SUITE_P(
    All, CheckpointFaults,
    ::testing::Values(
        Fault{.kind = Fault::Kind::kAny}, Fault{.kind = Fault::Kind::kAny, .crash = true},
        Fault{.kind = Fault::Kind::kOpen}, Fault{.kind = Fault::Kind::kSync},
        Fault{.kind = Fault::Kind::kRename},
        Fault{.kind = Fault::Kind::kWrite, .error_number = ENOSPC, .cut_short = true},
        Fault{
            .kind = Fault::Kind::kWrite, .error_number = ENOSPC, .crash = true, .cut_short = true}),
    FaultName);

TEST_P(CheckpointFaults, SavingANewStep) {
  for (const int64_t keep : {1, 3}) {
    FaultsEverywhere(
        GetParam(), keep, [](CheckpointStore& store) { store.Save(ExampleCheckpoint(3)); },
        [](const CheckpointStore& store, bool failed) {
          const LoadedCheckpoint loaded = store.LoadNewest();
          EXPECT_TRUE(loaded.skipped.empty());
          const int64_t step = loaded.checkpoint.manifest.step;
          EXPECT_TRUE(step == 3 || (failed && step == 2)) << step;
          ExpectCheckpoint(loaded.checkpoint, ExampleCheckpoint(step));
        });
  }
}

TEST_P(CheckpointFaults, ReplacingAStep) {
  FaultsEverywhere(
      GetParam(), 3, [](CheckpointStore& store) { store.Save(ExampleCheckpoint(2, 0.5f)); },
      [](const CheckpointStore& store, bool failed) {
        const LoadedCheckpoint loaded = store.LoadNewest();
        EXPECT_TRUE(loaded.skipped.empty());
        const bool is_new = loaded.checkpoint.parameters[0].tensor.ToDoubles() ==
                                ExampleCheckpoint(2, 0.5f).parameters[0].tensor.ToDoubles() ||
                            loaded.checkpoint.parameters[1].tensor.ToDoubles() ==
                                ExampleCheckpoint(2, 0.5f).parameters[0].tensor.ToDoubles();
        EXPECT_TRUE(is_new || failed);
        ExpectCheckpoint(loaded.checkpoint, ExampleCheckpoint(2, is_new ? 0.5f : 0));
      });
}

TEST_P(CheckpointFaults, ReplacingTheBest) {
  FaultsEverywhere(
      GetParam(), 3,
      [](CheckpointStore& store) { store.SaveAs(kBestCheckpoint, ExampleCheckpoint(7)); },
      [](const CheckpointStore& store, bool failed) {
        const Checkpoint best = ReadCheckpoint(store.directory() + "/best");
        const int64_t step = best.manifest.step;
        EXPECT_TRUE(step == 7 || (failed && step == 2)) << step;
        ExpectTensors(best.parameters, ExampleCheckpoint(step).parameters);
        ExpectCheckpoint(store.LoadNewest().checkpoint, ExampleCheckpoint(2));
      });
}

// Does something else before one of its operations.
class InterruptedFileSystem : public FaultyFileSystem {
 public:
  InterruptedFileSystem(size_t at, std::function<void()> interruption)
      : FaultyFileSystem(RealFileSystem(), {.at = SIZE_MAX}),
        left_(at),
        interruption_(std::move(interruption)) {}
  bool was_interrupted() const { return was_interrupted_; }

  void CreateDirectories(const std::string& path) override {
    Pass();
    FaultyFileSystem::CreateDirectories(path);
  }
  std::unique_ptr<WritableFile> OpenForWrite(const std::string& path) override {
    Pass();
    return FaultyFileSystem::OpenForWrite(path);
  }
  void Rename(const std::string& from, const std::string& to) override {
    Pass();
    FaultyFileSystem::Rename(from, to);
  }
  void RemoveAll(const std::string& path) override {
    Pass();
    FaultyFileSystem::RemoveAll(path);
  }
  std::vector<std::string> List(const std::string& path) override {
    Pass();
    return FaultyFileSystem::List(path);
  }
  bool Exists(const std::string& path) override {
    Pass();
    return FaultyFileSystem::Exists(path);
  }

 private:
  void Pass() {
    if (was_interrupted_ || left_-- > 0) return;
    was_interrupted_ = true;
    interruption_();
  }
  size_t left_;
  std::function<void()> interruption_;
  bool was_interrupted_ = false;
};

TEST(CheckpointStore, AWriterMayBeTakenOverFromAtAnyMoment) {
  for (size_t n = 0;; ++n) {
    SCOPED_TRACE("before operation " + std::to_string(n));
    ASSERT_LT(n, 1000u);
    const TestFolder folder;
    CheckpointStore second(RealFileSystem(), folder.path(), 2, "second");
    InterruptedFileSystem files(n, [&second] {
      second.Begin();
      second.Save(ExampleCheckpoint(3));
      second.SaveAs(kBestCheckpoint, ExampleCheckpoint(3));
    });
    CheckpointStore first(files, folder.path(), 2, "first");
    CheckpointStore before(RealFileSystem(), folder.path(), 2, "first");
    before.Begin();
    for (const int64_t step : {1, 2}) before.Save(ExampleCheckpoint(step));
    before.SaveAs(kBestCheckpoint, ExampleCheckpoint(1));
    // What was on its way when the process stood still, and what it does before it knows.
    first.SaveAs(kBestCheckpoint, ExampleCheckpoint(2));
    first.Save(ExampleCheckpoint(4));
    const bool was_interrupted = files.was_interrupted();
    EXPECT_EQ(before.IsTakenOver(), was_interrupted);
    second.End();
    before.End();
    if (!was_interrupted) {
      ExpectCheckpoint(before.LoadNewest().checkpoint, ExampleCheckpoint(4));
      return;
    }
    EXPECT_EQ(ReadCheckpoint(folder / "best").manifest.step, 3);
    const LoadedCheckpoint loaded = second.LoadNewest();
    EXPECT_TRUE(loaded.skipped.empty());
    ExpectCheckpoint(loaded.checkpoint, ExampleCheckpoint(3));
    for (const std::string& name : RealFileSystem().List(folder.path())) {
      EXPECT_NE(name[0], '.') << name;
      ReadCheckpoint(folder / name);  // throws where it is not whole
    }
  }
}

TEST(CheckpointStore, WhoComesBackTakesOverAgain) {
  const TestFolder folder;
  CheckpointStore first(RealFileSystem(), folder.path(), 2, "first");
  CheckpointStore second(RealFileSystem(), folder.path(), 2, "second");
  first.Begin();
  second.Begin();
  first.SaveAs(kBestCheckpoint, ExampleCheckpoint(1));
  EXPECT_FALSE(fs::exists(folder / "best"));
  first.Begin();
  first.Clean();  // leaves it the one that writes
  first.SaveAs(kBestCheckpoint, ExampleCheckpoint(2));
  second.SaveAs(kBestCheckpoint, ExampleCheckpoint(3));
  EXPECT_EQ(ReadCheckpoint(folder / "best").manifest.step, 2);
}

// Whoever of the two is interrupted by the other.
TEST(CheckpointStore, OneMayEndWhileAnotherTakesOver) {
  for (const bool ends_meanwhile : {false, true}) {
    for (size_t n = 0, interrupted = 1; interrupted != 0; ++n) {
      SCOPED_TRACE("before operation " + std::to_string(n));
      ASSERT_LT(n, 1000u);
      const TestFolder folder;
      CheckpointStore first(RealFileSystem(), folder.path(), 2, "first");
      CheckpointStore second(RealFileSystem(), folder.path(), 2, "second");
      first.Begin();
      first.SaveAs(kBestCheckpoint, ExampleCheckpoint(1));
      fs::rename(folder / "best", folder / ".writer-first/replaced-best");
      InterruptedFileSystem files(n, [&] { ends_meanwhile ? first.End() : second.Begin(); });
      CheckpointStore other(files, folder.path(), 2, ends_meanwhile ? "second" : "first");
      ends_meanwhile ? other.Begin() : other.End();
      interrupted = files.was_interrupted() ? 1 : 0;
      if (interrupted == 0) {
        ends_meanwhile ? first.End() : second.Begin();
      }
      EXPECT_FALSE(second.IsTakenOver());
      second.End();
      EXPECT_EQ(RealFileSystem().List(folder.path()), (std::vector<std::string>{"best"}));
    }
  }
}

TEST(CheckpointStore, WhatAWriterSetAsideComesBack) {
  const TestFolder folder;
  CheckpointStore first(RealFileSystem(), folder.path(), 2, "first");
  first.Begin();
  first.SaveAs(kBestCheckpoint, ExampleCheckpoint(1));
  fs::rename(folder / "best", folder / ".writer-first/replaced-best");
  CheckpointStore(RealFileSystem(), folder.path(), 2).Clean();
  EXPECT_EQ(RealFileSystem().List(folder.path()), (std::vector<std::string>{"best"}));
}

}  // namespace
}  // namespace ingot::train
