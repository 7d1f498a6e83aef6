// What a command line means, and what is said where it means nothing.
#include "ingot/cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Values {
  std::string job;
  std::string extra;
  std::string out;
  std::string stage = "step";
  std::optional<int64_t> threads;
  std::vector<std::string> set;
  bool json = false;
};

Options::Parsed Parse(const std::vector<std::string>& arguments, Values& values) {
  Options options({.name = "try", .summary = "tries", .details = "", .example = "ingot try x"});
  options.Positional("JOB", &values.job, "the job");
  options.Positional("EXTRA", &values.extra, "more", false);
  options.Text("--out", &values.out, "DIR", "a folder");
  options.Choice("--stage", &values.stage, "which", {"forward", "step"});
  options.Number("--threads", &values.threads, "N", "threads", 1);
  options.Texts("--set", &values.set, "KEY=VALUE", "sets");
  options.Flag("--json", &values.json, "JSON");
  return options.Parse(arguments);
}

// The message and the hint of the Error, or "" where there was none.
std::string FaultOf(const std::vector<std::string>& arguments) {
  Values values;
  try {
    Parse(arguments, values);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.message() + " / " + error.hint();
  }
  return "";
}

TEST(OptionsTest, StoresWhatIsGiven) {
  Values values;
  EXPECT_EQ(Parse({"a.yaml", "--out=dir", "--threads", "3", "--json", "--set", "a=1", "b", "--set",
                   "c=[1, 2]"},
                  values),
            Options::Parsed::kRun);
  EXPECT_EQ(values.job, "a.yaml");
  EXPECT_EQ(values.extra, "b");
  EXPECT_EQ(values.out, "dir");
  EXPECT_EQ(values.threads, 3);
  EXPECT_THAT(values.set, ElementsAre("a=1", "c=[1, 2]"));
  EXPECT_TRUE(values.json);
  EXPECT_EQ(values.stage, "step");
}

TEST(OptionsTest, LeavesDefaultsAlone) {
  Values values;
  Parse({"a.yaml"}, values);
  EXPECT_FALSE(values.threads.has_value());
  EXPECT_FALSE(values.json);
  EXPECT_TRUE(values.set.empty());
}

TEST(OptionsTest, TheLastOfARepeatedOptionCounts) {
  Values values;
  Parse({"a", "--out", "x", "--out", "y"}, values);
  EXPECT_EQ(values.out, "y");
}

TEST(OptionsTest, ValuesMayLookLikeOptions) {
  Values values;
  Parse({"a", "--set", "seed=-1", "--out", "-"}, values);
  EXPECT_EQ(values.out, "-");
  EXPECT_THAT(values.set, ElementsAre("seed=-1"));
}

TEST(OptionsTest, HelpWinsOverFaults) {
  Values values;
  EXPECT_EQ(Parse({"--help"}, values), Options::Parsed::kHelp);
  EXPECT_EQ(Parse({"-h"}, values), Options::Parsed::kHelp);
}

TEST(OptionsTest, UnknownOptionsGetTheNearest) {
  EXPECT_EQ(FaultOf({"a", "--thread=2"}),
            "unknown option '--thread' for `ingot try` / did you mean '--threads'?");
  EXPECT_THAT(FaultOf({"a", "--jsn"}), HasSubstr("did you mean '--json'?"));
  EXPECT_EQ(FaultOf({"a", "--frobnicate"}),
            "unknown option '--frobnicate' for `ingot try` / see `ingot try --help`");
  EXPECT_THAT(FaultOf({"a", "-j"}), HasSubstr("unknown option '-j'"));
}

TEST(OptionsTest, SaysWhatIsMissing) {
  EXPECT_EQ(FaultOf({}), "`ingot try` needs JOB (the job) / see `ingot try --help`");
  EXPECT_EQ(FaultOf({"a", "--out"}), "--out needs a value / see `ingot try --help`");
  EXPECT_EQ(FaultOf({"a", "--out", ""}), "--out: the value is empty / ");
}

TEST(OptionsTest, RefusesWhatIsTooMuch) {
  EXPECT_THAT(FaultOf({"a", "b", "c"}), HasSubstr("unexpected argument 'c' for `ingot try`"));
  EXPECT_THAT(FaultOf({"a", "--json=yes=no"}), ::testing::Not(""));
}

TEST(OptionsTest, NumbersAreWholeAndInRange) {
  for (const char* text : {"0", "-1", "two", "1.5", "", "99999999999999999999", "3x"}) {
    EXPECT_EQ(
        FaultOf({"a", "--threads", text}),
        std::string("--threads: expected a whole number of 1 or more, got '") + text + "' / ");
  }
}

TEST(OptionsTest, ChoicesAreNamed) {
  EXPECT_EQ(FaultOf({"a", "--stage", "stpe"}),
            "--stage: expected one of forward, step, got 'stpe' / did you mean 'step'?");
  EXPECT_EQ(FaultOf({"a", "--stage", "xyzzy"}),
            "--stage: expected one of forward, step, got 'xyzzy' / ");
}

TEST(OptionsTest, HelpShowsEverything) {
  Values values;
  Options options(
      {.name = "try", .summary = "tries", .details = "More.", .example = "ingot try x"});
  options.Positional("JOB", &values.job, "the job");
  options.Positional("OTHER", &values.job, "another one", false);
  options.Number("--threads", &values.threads, "N", "how many threads", 1);
  const std::string help = options.Help();
  for (const char* text :
       {"ingot try: tries.", "More.", "Usage: ingot try [OPTIONS] JOB [OTHER]", "--threads N",
        "how many threads", "--help", "Example:\n  ingot try x\n"}) {
    EXPECT_THAT(help, HasSubstr(text));
  }
}

}  // namespace
}  // namespace ingot::cli
