// Progress lines: width, rate, time left, pipes.
#include "ingot/base/progress.h"

#include <gtest/gtest.h>

#include "ingot/base/bars.h"
#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

// A Progress that writes to a file and reads the time from `now`.
class ProgressTest : public testing::Test {
 protected:
  void SetUp() override {
    out_ = std::fopen((folder_ / "out").c_str(), "w");
    ASSERT_NE(out_, nullptr);
  }
  void TearDown() override { std::fclose(out_); }

  ProgressSettings Settings(bool is_terminal, int width = 80) {
    return {
        .out = out_, .is_terminal = is_terminal, .width = width, .clock = [this] { return now_; }};
  }
  std::string Written() { return ReadFile(folder_ / "out"); }

  TestFolder folder_;
  std::FILE* out_ = nullptr;
  double now_ = 100;
};

TEST_F(ProgressTest, DrawsALineAndTakesItAway) {
  Progress progress("epoch 1/2", 100, 0, Settings(true));
  now_ += 10;
  progress.Update(25, {{"loss", "0.5"}, {"", "1,000 samples/s"}});
  EXPECT_EQ(
      Written(),
      "\r\x1b[Kepoch 1/2 [======>                 ]  25%  30 s left  loss 0.5  1,000 samples/s");
  progress.Finish();
  EXPECT_TRUE(Written().ends_with("samples/s\r\x1b[K"));
  now_ += 10;
  progress.Update(50);
  EXPECT_TRUE(Written().ends_with("samples/s\r\x1b[K"));
}

TEST_F(ProgressTest, RedrawsAtMostTenTimesASecond) {
  Progress progress("work", 1000, 0, Settings(true));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(progress.Due(), i % 100 == 0) << i;
    progress.Update(i);
    now_ = 100 + (i + 1) * 1e-3 + 1e-9;
  }
  EXPECT_EQ(Split(Written(), '\r').size() - 1, 10u);
}

TEST_F(ProgressTest, FitsIntoNarrowTerminals) {
  for (int width = 1; width < 120; ++width) {
    std::FILE* out = std::fopen((folder_ / "narrow").c_str(), "w");
    ASSERT_NE(out, nullptr);
    {
      ProgressSettings settings = Settings(true, width);
      settings.out = out;
      Progress progress("epoch 1/2", 100, 0, settings);
      now_ += 10;
      progress.Update(99, {{"loss", "0.5"}, {"accuracy", "0.98"}});
    }
    std::fclose(out);
    const std::string line = Split(ReadFile(folder_ / "narrow"), '\r')[1].substr(3);
    EXPECT_LT(DisplayWidth(line), static_cast<size_t>(std::max(width, 2))) << line;
    EXPECT_EQ(line.find(" 99%") != std::string::npos, width >= 15) << line;
  }
}

TEST_F(ProgressTest, PipesGetPlainLinesNowAndThen) {
  Progress progress("epoch 1/2", 100, 0, Settings(false));
  for (int i = 0; i <= 100; ++i) {
    progress.Update(i, {{"loss", "0.5"}});
    now_ += 0.125;
  }
  progress.Finish();
  EXPECT_EQ(Written(),
            "epoch 1/2  40%  8 s left  loss 0.5\n"
            "epoch 1/2  80%  2 s left  loss 0.5\n");
}

TEST_F(ProgressTest, TimeLeftCountsFromWhereItBegan) {
  Progress progress("resumed", 100, 50, Settings(false));
  now_ += 10;
  progress.Update(75);
  EXPECT_EQ(Written(), "resumed  75%  10 s left\n");
}

TEST_F(ProgressTest, PrintedLinesStayAboveTheLiveOne) {
  Progress progress("work", 100, 0, Settings(true, 20));
  progress.Print("first");
  progress.Update(10);
  progress.Print("second");
  EXPECT_EQ(Written(),
            "first\n"
            "\r\x1b[Kwork  10%"
            "\r\x1b[Ksecond\n"
            "work  10%");
}

TEST_F(ProgressTest, UnknownTotalsCount) {
  Progress progress("rows", 0, 0, Settings(false));
  now_ += 6;
  progress.Update(12345, {{"", "2,000 rows/s"}});
  EXPECT_EQ(Written(), "rows 12,345  2,000 rows/s\n");
}

TEST(ProgressNullTest, ShowsNothingWithoutAFile) {
  Progress progress("work", 10, 0, {.out = nullptr});
  EXPECT_FALSE(progress.Due());
  progress.Update(5);
  progress.Print("text");
  progress.Finish();
}

}  // namespace
}  // namespace ingot
