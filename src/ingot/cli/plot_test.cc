// ingot plot on run directories made by hand.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"
#include "ingot/formats/image.h"

namespace ingot::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class PlotTest : public ::testing::Test {
 protected:
  std::string MakeRun(const std::string& name, double factor) const {
    const std::string folder = folder_ / name;
    RealFileSystem().CreateDirectories(folder);
    std::ofstream(folder + "/job.yaml") << "epochs: 1\n";
    std::ofstream metrics(folder + "/metrics.jsonl");
    for (int step = 1; step <= 20; ++step) {
      metrics << "{\"kind\":\"train\",\"step\":" << step
              << ",\"epoch\":0,\"seconds\":" << 0.1 * step << ",\"loss\":" << factor / step
              << ",\"learning_rate\":0.5}\n";
    }
    metrics << "{\"kind\":\"validation\",\"step\":10,\"epoch\":1,\"seconds\":1.5,\"loss\":0.3}\n"
            << "{\"kind\":\"validation\",\"step\":20,\"epoch\":2,\"seconds\":2.5,\"loss\":null}\n"
            << "{\"kind\":\"test\",\"step\":20,\"epoch\":2,\"seconds\":2.6,\"loss\":0.2";
    return folder;
  }
  TestFolder folder_;
};

TEST_F(PlotTest, TextHasAPanelForEachMetric) {
  const Outcome outcome = RunProgram({"plot", MakeRun("a", 2)});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("loss  o training  x validation\n"), HasSubstr("step"),
                                 Not(HasSubstr("learning_rate")), Not(HasSubstr("test"))));
  EXPECT_THAT(RunProgram({"plot", folder_ / "a", "--metric", "learning_rate"}).out,
              HasSubstr("learning_rate"));
}

TEST_F(PlotTest, JsonIsWhatWasRecorded) {
  const Outcome outcome = RunProgram({"plot", MakeRun("a", 2), "--json", "--smooth", "0.5"});
  const auto series = nlohmann::json::parse(outcome.out)["runs"][0]["series"];
  ASSERT_EQ(series.size(), 2u);
  EXPECT_EQ(series[0]["name"], "train/loss");
  EXPECT_EQ(series[0]["value"][1], 1.0);
  EXPECT_DOUBLE_EQ(series[0]["smoothed"][1].get<double>(), (0.5 * 2 + 1) / 1.5);
  EXPECT_EQ(series[1]["name"], "validation/loss");
  EXPECT_TRUE(series[1]["value"][1].is_null());
}

TEST_F(PlotTest, RunsAreComparedInAPicture) {
  const std::string png = folder_ / "two.png";
  const Outcome outcome =
      RunProgram({"plot", MakeRun("a", 2), MakeRun("b", 1), "--log", "--out", png});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Tensor image = formats::ReadPng(png);
  EXPECT_EQ(image.shape(), (Shape{760, 1800, 3}));
  const std::string svg = folder_ / "two.svg";
  EXPECT_EQ(RunProgram({"plot", folder_ / "a", folder_ / "b", "--out", svg}).status, 0);
  EXPECT_THAT(ReadFile(svg), AllOf(HasSubstr(">a training<"), HasSubstr(">b validation<")));
}

TEST_F(PlotTest, FaultsAreNamed) {
  const std::string run = MakeRun("a", 1);
  EXPECT_THAT(
      RunProgram({"plot", run, "--metric", "los"}).err,
      AllOf(HasSubstr("no run has recorded the metric 'los'"), HasSubstr("did you mean 'loss'?")));
  EXPECT_THAT(RunProgram({"plot", run, "--out", "x.jpg"}).err, HasSubstr(".svg or curves.png"));
  EXPECT_THAT(RunProgram({"plot"}).err, HasSubstr("needs RUN..."));
  EXPECT_THAT(RunProgram({"plot", run, "--smooth", "1"}).err,
              HasSubstr("--smooth: expected a number from 0 to 0.999, got '1'"));
  EXPECT_THAT(RunProgram({"plot", folder_ / "none"}).err, HasSubstr("does not exist"));
  std::ofstream(run + "/metrics.jsonl") << "{\"kind\":\"train\",\"step\":1}\nrubbish\n";
  EXPECT_THAT(RunProgram({"plot", run}).err, HasSubstr("metrics.jsonl:2: this is no record"));
  std::ofstream(run + "/metrics.jsonl") << "";
  EXPECT_THAT(RunProgram({"plot", run}).err, HasSubstr("has recorded nothing"));
}

}  // namespace
}  // namespace ingot::cli
