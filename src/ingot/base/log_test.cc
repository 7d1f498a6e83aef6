// Levels, targets and threads of the log.
#include "ingot/base/log.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/base/text.h"

namespace ingot {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(LogTest, ShowsUpToItsLevel) {
  std::vector<std::string> lines;
  Logger log(LogLevel::kInfo, nullptr);
  log.SetTerminalWriter([&](std::string_view line) { lines.emplace_back(line); });
  log.Error("one");
  log.Warning("two");
  log.Info("three");
  log.Debug("four");
  EXPECT_EQ(lines, (std::vector<std::string>{"error: one", "warning: two", "three"}));
  EXPECT_TRUE(log.Wants(LogLevel::kInfo));
  EXPECT_FALSE(log.Wants(LogLevel::kDebug));
}

TEST(LogTest, WritesToTheTerminalAndToAFile) {
  const TestFolder folder;
  std::FILE* terminal = std::fopen((folder / "terminal").c_str(), "w");
  ASSERT_NE(terminal, nullptr);
  {
    Logger log(LogLevel::kWarning, terminal);
    log.OpenFile(folder / "log.txt");
    EXPECT_TRUE(log.Wants(LogLevel::kDebug));
    log.Warning("disk is slow");
    log.Debug("detail");
  }
  std::fclose(terminal);
  EXPECT_EQ(ReadFile(folder / "terminal"), "warning: disk is slow\n");
  const std::vector<std::string> lines = Split(ReadFile(folder / "log.txt"), '\n');
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], MatchesRegex("....-..-..T..:..:..\\....Z warning disk is slow"));
  EXPECT_THAT(lines[1], MatchesRegex("....-..-..T..:..:..\\....Z debug detail"));
  // A second logger goes on behind what is there.
  Logger again(LogLevel::kError, nullptr);
  again.OpenFile(folder / "log.txt");
  again.Info("resumed");
  again.CloseFile();
  EXPECT_EQ(Split(ReadFile(folder / "log.txt"), '\n').size(), 4u);
}

TEST(LogTest, LinesOfThreadsDoNotMix) {
  const TestFolder folder;
  Logger log(LogLevel::kError, nullptr);
  log.OpenFile(folder / "log.txt");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 100; ++i) log.Info(std::string(50, static_cast<char>('a' + t)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  log.CloseFile();
  std::vector<int> counts(4, 0);
  for (const std::string& line : Split(ReadFile(folder / "log.txt"), '\n')) {
    for (int t = 0; t < 4; ++t) {
      if (line.ends_with(" info " + std::string(50, static_cast<char>('a' + t)))) ++counts[t];
    }
  }
  EXPECT_EQ(counts, (std::vector<int>{100, 100, 100, 100}));
}

TEST(LogTest, AFullDiskDoesNotEndTheWork) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  std::vector<std::string> lines;
  Logger log(LogLevel::kError, nullptr);
  log.SetTerminalWriter([&](std::string_view line) { lines.emplace_back(line); });
  log.OpenFile("/dev/full");
  log.Info("one");
  log.Info("two");
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "warning: cannot write to '/dev/full': No space left on device; the log "
                       "goes on without the file"}));
}

TEST(LogTest, AnUnwritableFileIsAnError) {
  Logger log(LogLevel::kError, nullptr);
  try {
    log.OpenFile("/no-such-folder/log.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("cannot open for writing '/no-such-folder/log.txt'"));
  }
}

}  // namespace
}  // namespace ingot
