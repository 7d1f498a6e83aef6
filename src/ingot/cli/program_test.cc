// Verbs by name, and how every end of a verb becomes a message and an exit status.
#include "ingot/cli/program.h"

#include <new>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/test_program.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Ends in the way that its argument names.
class Fail : public Verb {
 public:
  void Declare(Options& options) override { options.Positional("HOW", &how_, "how"); }
  int Run(const Streams& streams) override {
    if (how_ == "input") throw Error(ErrorCode::kInvalidInput, "it is wrong", "mend it");
    if (how_ == "absent") throw Error(ErrorCode::kNotFound, "it is not there");
    if (how_ == "corrupt") throw Error(ErrorCode::kCorrupt, "it is damaged");
    if (how_ == "io") throw Error(ErrorCode::kIo, "the disk is full");
    if (how_ == "interrupted") throw Error(ErrorCode::kInterrupted, "stopped");
    if (how_ == "internal") throw Error(ErrorCode::kInternal, "oh");
    if (how_ == "memory") throw std::bad_alloc();
    if (how_ == "standard") throw std::runtime_error("unexpected");
    streams.Out("fine\n");
    return kOk;
  }

 private:
  std::string how_;
};

Outcome RunFail(const std::string& how) {
  Program program;
  program.Add<Fail>({.name = "fail", .summary = "fails", .details = "", .example = "ingot fail x"});
  return RunProgram({"fail", how}, program);
}

TEST(ProgramTest, ErrorsBecomeMessagesAndStatuses) {
  EXPECT_EQ(RunFail("not").status, 0);
  EXPECT_EQ(RunFail("not").out, "fine\n");
  EXPECT_EQ(RunFail("input").status, 2);
  EXPECT_EQ(RunFail("input").err, "error: it is wrong\nhint: mend it\n");
  EXPECT_EQ(RunFail("absent").status, 2);
  EXPECT_EQ(RunFail("absent").err, "error: it is not there\n");
  EXPECT_EQ(RunFail("corrupt").status, 2);
  EXPECT_EQ(RunFail("io").status, 1);
  EXPECT_EQ(RunFail("interrupted").status, 130);
  EXPECT_EQ(RunFail("internal").status, 1);
  EXPECT_EQ(RunFail("internal").err, "error: a defect of Ingot: oh\n");
}

TEST(ProgramTest, NoExceptionEscapes) {
  EXPECT_EQ(RunFail("memory").status, 1);
  EXPECT_THAT(RunFail("memory").err, StartsWith("error: out of memory\nhint: "));
  EXPECT_EQ(RunFail("standard").status, 1);
  EXPECT_EQ(RunFail("standard").err, "error: a defect of Ingot: unexpected\n");
}

TEST(ProgramTest, OutputThatIsLostIsAFailure) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> full(std::fopen("/dev/full", "w"),
                                                             &std::fclose);
  if (full == nullptr) GTEST_SKIP() << "there is no /dev/full here";
  const Capture err;
  EXPECT_EQ(StandardProgram().Run({"--version"}, {full.get(), err.file()}), 1);
  EXPECT_THAT(err.Text(), HasSubstr("error: cannot write the output: No space left"));
}

TEST(ProgramTest, VersionIsThatOfTheBuild) {
  const Outcome outcome = RunProgram({"--version"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, std::string("ingot ") + kVersion + "\n");
  EXPECT_THAT(ReadFile(INGOT_SOURCE_DIR "/CMakeLists.txt"),
              HasSubstr(std::string("project(ingot VERSION ") + kVersion + " "));
}

TEST(ProgramTest, HelpListsAllVerbs) {
  for (const char* word : {"--help", "-h", "help"}) {
    const Outcome outcome = RunProgram({word});
    EXPECT_EQ(outcome.status, 0);
    for (const char* verb : {"data", "eval", "graph", "info", "job", "predict", "train"}) {
      EXPECT_THAT(outcome.out, HasSubstr(std::string("\n  ") + verb + " "));
    }
  }
  const Outcome nothing = RunProgram({});
  EXPECT_EQ(nothing.status, 2);
  EXPECT_THAT(nothing.err, HasSubstr("Usage: ingot VERB"));
}

TEST(ProgramTest, EveryVerbHasHelpWithAnExample) {
  for (const char* verb : {"data", "eval", "graph", "info", "job", "predict", "train"}) {
    const Outcome outcome = RunProgram({verb, "--help"});
    EXPECT_EQ(outcome.status, 0) << verb;
    EXPECT_THAT(outcome.out, HasSubstr(std::string("Example:\n  ingot ") + verb)) << verb;
    EXPECT_EQ(RunProgram({"help", verb}).out, outcome.out);
  }
}

TEST(ProgramTest, UnknownVerbsGetTheNearest) {
  EXPECT_EQ(RunProgram({"trian"}).status, 2);
  EXPECT_EQ(RunProgram({"trian"}).err,
            "error: unknown verb 'trian'\nhint: did you mean 'train'?\n");
  const std::string unknown = RunProgram({"frobnicate"}).err;
  EXPECT_THAT(unknown, HasSubstr("hint: expected one of: help, "));
  for (const char* verb : {"data", "eval", "graph", "predict", "run", "train"}) {
    EXPECT_THAT(unknown, HasSubstr(std::string(", ") + verb)) << verb;
  }
  EXPECT_THAT(RunProgram({"help", "evla"}).err, HasSubstr("did you mean 'eval'?"));
  EXPECT_THAT(RunProgram({"--verison"}).err, HasSubstr("did you mean '--version'?"));
  EXPECT_THAT(RunProgram({"--threads", "2"}).err, HasSubstr("options come after the verb"));
}

TEST(InfoTest, SaysWhatThereIs) {
  const Outcome outcome = RunProgram({"info"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* row :
       {"ingot ", "CPU ", "kernels for ", "threads ", "memory ", "libraries ", "cache folder "}) {
    EXPECT_THAT(outcome.out, HasSubstr(row));
  }
  const auto json = nlohmann::json::parse(RunProgram({"info", "--json"}).out);
  EXPECT_EQ(json["version"], kVersion);
  EXPECT_GE(json["threads"].get<int>(), 1);
  EXPECT_FALSE(json["kernel_instruction_sets"].empty());
  EXPECT_TRUE(json["libraries"].contains("zlib"));
}

}  // namespace
}  // namespace ingot::cli
