// A training that diverges names the first bad op, its layer and the step, in networks of any kind.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"

namespace ingot::cli {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// Trains with a learning rate that no network stands, or weights that are too large from the start.
Outcome Diverge(const std::string& source, const std::string& layers,
                const std::string& learning_rate) {
  const TestFolder folder;
  std::ofstream(folder / "job.yaml")
      << "epochs: 0\nsteps: 20\nevaluate: false\ndata: {source: {synthetic: " << source
      << "}, batch: 4}\nmodel: {layers: [" << layers
      << "]}\nloss: softmax_cross_entropy\nmetrics: []\noptimizer: {sgd: {learning_rate: "
      << learning_rate << "}}\n";
  return RunProgram({"train", folder / "job.yaml", "--out", folder / "run", "--threads", "2"});
}

TEST(NumericFaultsOfNetworksTest, ATransformer) {
  const Outcome outcome = Diverge(
      "{shape: [6], vocabulary: 16, labels: next_token, samples: 8}",
      "{embedding: {vocabulary: 16, width: 8}}, {position_embedding: {}}, {transformer_block: "
      "{heads: 2, causal: true}}, {dense: {units: 16}}",
      "1e30");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, AllOf(ContainsRegex("step [0-9]+"), HasSubstr("layer 2.attention")));
}

}  // namespace
}  // namespace ingot::cli
