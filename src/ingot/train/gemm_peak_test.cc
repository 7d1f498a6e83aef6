// The rate of products: plausible, and remembered.
#include "ingot/train/gemm_peak.h"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/test_folder.h"

namespace ingot::train {
namespace {

TEST(GemmPeakTest, IsMeasuredOnceForEachNumberOfThreads) {
  const TestFolder folder;
  const std::string cache = folder / "cache";
  FileSystem& files = RealFileSystem();
  const GemmPeak none = FindGemmPeak(files, 1, false, cache);
  EXPECT_FALSE(none.gflops);
  EXPECT_NE(none.reason, "");
  const GemmPeak measured = FindGemmPeak(files, 1, true, cache);
  ASSERT_TRUE(measured.gflops);
  EXPECT_GT(*measured.gflops, 0);
  EXPECT_EQ(FindGemmPeak(files, 1, false, cache).gflops, measured.gflops);
  EXPECT_EQ(FindGemmPeak(files, 1, true, cache).gflops, measured.gflops);
  EXPECT_FALSE(FindGemmPeak(files, 2, false, cache).gflops);
  EXPECT_TRUE(FindGemmPeak(files, 2, true, cache).gflops);
  const auto json = nlohmann::json::parse(ReadFile(cache + "/" + kGemmPeakFile));
  EXPECT_EQ(json.size(), 2u);
}

TEST(GemmPeakTest, ADamagedCacheIsMeasuredAnew) {
  const TestFolder folder;
  std::ofstream(folder / kGemmPeakFile) << "[1, 2";
  EXPECT_FALSE(FindGemmPeak(RealFileSystem(), 1, false, folder / "").gflops);
  EXPECT_TRUE(FindGemmPeak(RealFileSystem(), 1, true, folder / "").gflops);
  EXPECT_TRUE(FindGemmPeak(RealFileSystem(), 1, false, folder / "").gflops);
}

// No folder can be made below a file.
TEST(GemmPeakTest, ACacheThatCannotBeWrittenIsNoError) {
  const TestFolder folder;
  std::ofstream(folder / "file") << "";
  EXPECT_TRUE(FindGemmPeak(RealFileSystem(), 1, true, folder / "file/cache").gflops);
}

}  // namespace
}  // namespace ingot::train
