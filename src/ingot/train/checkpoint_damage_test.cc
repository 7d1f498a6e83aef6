// Damage: truncation, flipped bits and missing or foreign files of a checkpoint are all found, and
// the newest whole checkpoint is used instead.
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/train/checkpoint_store.h"
#include "ingot/train/checkpoint_test_util.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class CheckpointDamageTest : public ::testing::Test {
 protected:
  CheckpointDamageTest() : store_(RealFileSystem(), folder_ / "checkpoints", 5) {
    store_.Save(ExampleCheckpoint(10));
    store_.Save(ExampleCheckpoint(20));
  }

  std::string Newest(const std::string& file) const {
    return store_.directory() + "/step-00000020/" + file;
  }

  // Expects that step 20 is passed over for a reason that contains `reason`.
  void ExpectFallback(const std::string& reason, const std::string& what) {
    const LoadedCheckpoint loaded = store_.LoadNewest();
    ExpectCheckpoint(loaded.checkpoint, ExampleCheckpoint(10));
    ASSERT_EQ(loaded.skipped.size(), 1u) << what;
    EXPECT_EQ(loaded.skipped[0].path, store_.directory() + "/step-00000020");
    EXPECT_THAT(loaded.skipped[0].reason, HasSubstr(reason)) << what;
  }

  static size_t Stride(size_t at, size_t size) { return at < 16 || at + 16 > size ? 1 : 7; }

  static void Write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  TestFolder folder_;
  CheckpointStore store_;
};

const char* const kFiles[] = {kModelFile, kOptimizerFile, kManifestName};

TEST_F(CheckpointDamageTest, TheNewestIsLoadedWhereNothingIsDamaged) {
  const LoadedCheckpoint loaded = store_.LoadNewest();
  ExpectCheckpoint(loaded.checkpoint, ExampleCheckpoint(20));
  EXPECT_TRUE(loaded.skipped.empty());
  EXPECT_EQ(loaded.path, store_.directory() + "/step-00000020");
}

TEST_F(CheckpointDamageTest, Truncation) {
  for (const char* file : kFiles) {
    const std::string bytes = ReadFile(Newest(file));
    // Every size near the ends, and some of those between.
    for (size_t size = 0; size < bytes.size(); size += Stride(size, bytes.size())) {
      Write(Newest(file), bytes.substr(0, size));
      ExpectFallback("is damaged", std::string(file) + " cut to " + std::to_string(size));
    }
    Write(Newest(file), bytes + '\0');
    ExpectFallback("is damaged", std::string(file) + " with a byte more");
    Write(Newest(file), bytes);
  }
  EXPECT_TRUE(store_.LoadNewest().skipped.empty());
}

TEST_F(CheckpointDamageTest, FlippedBits) {
  for (const char* file : kFiles) {
    const std::string bytes = ReadFile(Newest(file));
    // Another bit of each byte; the manifest's own test flips them all.
    for (size_t i = 0; i < bytes.size(); i += Stride(i, bytes.size())) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
      Write(Newest(file), damaged);
      ExpectFallback("is damaged", std::string(file) + " byte " + std::to_string(i));
    }
    Write(Newest(file), bytes);
  }
  EXPECT_TRUE(store_.LoadNewest().skipped.empty());
}

TEST_F(CheckpointDamageTest, AMissingFile) {
  for (const char* file : kFiles) {
    const std::string bytes = ReadFile(Newest(file));
    fs::remove(Newest(file));
    ExpectFallback(file, file);
    Write(Newest(file), bytes);
  }
}

TEST_F(CheckpointDamageTest, AManifestOfAnotherCheckpoint) {
  fs::copy_file(store_.directory() + "/step-00000010/manifest.json", Newest(kManifestName),
                fs::copy_options::overwrite_existing);
  ExpectFallback("its SHA-256 is not the one in the manifest", "manifest");
}

TEST_F(CheckpointDamageTest, AWholeCheckpointUnderAnotherName) {
  fs::remove_all(store_.directory() + "/step-00000020");
  fs::copy(store_.directory() + "/step-00000010", store_.directory() + "/step-00000020");
  ExpectFallback("its manifest is of step 10", "renamed");
}

TEST_F(CheckpointDamageTest, AnEmptyFolderAndAFileWithACheckpointsName) {
  fs::create_directories(store_.directory() + "/step-00000030");
  Write(store_.directory() + "/step-00000040", "hello");
  const LoadedCheckpoint loaded = store_.LoadNewest();
  ExpectCheckpoint(loaded.checkpoint, ExampleCheckpoint(20));
  EXPECT_EQ(loaded.skipped.size(), 2u);
}

TEST_F(CheckpointDamageTest, NoneIsWhole) {
  Write(store_.directory() + "/step-00000010/model.safetensors", "short");
  Write(Newest(kManifestName), "");
  try {
    store_.LoadNewest();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.message(), HasSubstr("none of the 2 checkpoints in " + store_.directory() +
                                           " is whole:\n  " + Newest(kManifestName)));
    EXPECT_THAT(error.message(), HasSubstr("step-00000010/model.safetensors is damaged: it has 5 "
                                           "bytes, not "));
    EXPECT_THAT(error.hint(), HasSubstr("--overwrite"));
  }
}

TEST_F(CheckpointDamageTest, SavingGoesOnBeforeADamagedOneAndReplacesIt) {
  Write(Newest(kModelFile), "");
  store_.Save(ExampleCheckpoint(15));  // the resumed run, which now saves more often
  EXPECT_EQ(store_.Steps(), (std::vector<int64_t>{10, 15}));
  store_.Save(ExampleCheckpoint(20));
  EXPECT_TRUE(store_.LoadNewest().skipped.empty());
}

}  // namespace
}  // namespace ingot::train
