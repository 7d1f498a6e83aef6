// ingot train --find-learning-rate and --overfit-one-batch.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kJob = R"(epochs: 2
data:
  source: {synthetic: {shape: [8], classes: 3, samples: 64}}
  batch: 16
model:
  layers:
    - dense: {units: 32, activation: relu}
    - dense: 3
optimizer: {adam: {learning_rate: 0.01}}
)";

class TrainChecksTest : public ::testing::Test {
 protected:
  TrainChecksTest() { std::ofstream(folder_ / "job.yaml") << kJob; }
  Outcome Run(std::vector<std::string> options) {
    options.insert(options.begin(), {"train", folder_ / "job.yaml", "--quiet", "--threads", "1"});
    return RunProgram(options);
  }
  TestFolder folder_;
};

TEST_F(TrainChecksTest, FindsALearningRate) {
  const Outcome text = Run({"--find-learning-rate"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("the loss falls fastest at"));
  EXPECT_THAT(text.out, HasSubstr("--set optimizer.adam.learning_rate="));
  const Outcome json = Run({"--find-learning-rate", "--check-steps", "60", "--json"});
  const nlohmann::json found = nlohmann::json::parse(json.out);
  EXPECT_LE(found["trials"].size(), 60u);
  EXPECT_GT(found["suggested"].get<double>(), 1e-6);
  // Nothing is written.
  EXPECT_EQ(RealFileSystem().List(folder_.path()), std::vector<std::string>{"job.yaml"});
}

TEST_F(TrainChecksTest, SaysWhetherOneBatchCanBeLearned) {
  const Outcome learned = Run({"--overfit-one-batch"});
  EXPECT_EQ(learned.status, 0) << learned.out << learned.err;
  EXPECT_THAT(learned.out, HasSubstr("the network can learn it"));
  const Outcome stuck =
      Run({"--overfit-one-batch", "--set", "optimizer.adam.learning_rate=0", "--check-steps", "5"});
  EXPECT_EQ(stuck.status, 1);
  EXPECT_THAT(stuck.out, HasSubstr("does not learn even that"));
  EXPECT_EQ(Run({"--overfit-one-batch", "--find-learning-rate"}).status, 2);
}

}  // namespace
}  // namespace ingot::cli
