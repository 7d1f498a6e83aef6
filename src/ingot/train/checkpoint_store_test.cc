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

}  // namespace
}  // namespace ingot::train
