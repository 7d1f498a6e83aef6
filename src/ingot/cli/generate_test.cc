// ingot generate with a small transformer over bytes.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kJob = R"(epochs: 0
steps: 2
evaluate: false
data:
  source: {synthetic: {shape: [12], vocabulary: 256, labels: next_token, samples: 8}}
  batch: 4
model:
  layers:
    - {embedding: {vocabulary: 256, width: 16}}
    - {position_embedding: {}}
    - {transformer_block: {heads: 2, causal: true}}
    - {dense: {units: 256}}
loss: softmax_cross_entropy
metrics: []
)";

class GenerateTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TestFolder;
    std::ofstream(*folder_ / "gpt.yaml") << kJob;
    const Outcome outcome =
        RunProgram({"train", *folder_ / "gpt.yaml", "--out", Run(), "--threads", "1"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string Run() { return *folder_ / "run"; }
  static std::string Text(std::vector<std::string> options) {
    options.insert(options.begin(), {"generate", Run(), "--prompt", "ab"});
    const Outcome outcome = RunProgram(options);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }
  static TestFolder* folder_;
};
TestFolder* GenerateTest::folder_ = nullptr;

TEST_F(GenerateTest, TheSameSeedWritesTheSameText) {
  const std::string text = Text({"--tokens", "30", "--seed", "5"});
  EXPECT_TRUE(text.starts_with("ab"));
  EXPECT_EQ(text.size(), 2u + 30 + 1);  // longer than the context of 12
  EXPECT_EQ(Text({"--tokens", "30", "--seed", "5", "--threads", "2"}), text);
  EXPECT_NE(Text({"--tokens", "30", "--seed", "6"}), text);
  // What was written before does not depend on how much is written in all.
  EXPECT_EQ(Text({"--tokens", "7", "--seed", "5"}), text.substr(0, 9) + "\n");
}

TEST_F(GenerateTest, TheLikeliestNeedsNoSeed) {
  const std::string greedy = Text({"--tokens", "5", "--temperature", "0"});
  EXPECT_EQ(Text({"--tokens", "5", "--top-k", "1", "--seed", "9"}), greedy);
}

TEST_F(GenerateTest, JsonHoldsTheText) {
  const auto json = nlohmann::json::parse(Text({"--tokens", "5", "--temperature", "0", "--json"}));
  EXPECT_EQ(json["prompt"], "ab");
  EXPECT_EQ(json["tokens"], 5);
}

TEST_F(GenerateTest, TheTokenizerIsThatOfTheTrainingData) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the sea and the sand, ";
  std::ofstream(*folder_ / "words.txt") << text;
  const std::string run = *folder_ / "words";
  const Outcome trained = RunProgram(
      {"train", *folder_ / "gpt.yaml", "--out", run, "--data", folder_->path(), "--set",
       "data.source={text: {train: words.txt, length: 12, tokenizer: bpe, vocabulary: 262, cache: "
       "cache}}",
       "--set", "model.layers[0].embedding.vocabulary=262", "--set",
       "model.layers[3].dense.units=262"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Outcome outcome = RunProgram({"generate", run, "--prompt", "the ", "--tokens", "20"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(outcome.out.starts_with("the "));
}

TEST_F(GenerateTest, FaultsAreNamed) {
  EXPECT_THAT(RunProgram({"generate", Run(), "--temperature", "-1"}).err,
              HasSubstr("--temperature: expected a number from 0"));
  EXPECT_EQ(RunProgram({"generate", Run(), "--tokenizer", *folder_ / "gpt.yaml"}).status, 2);
  const std::string image = *folder_ / "image";
  std::ofstream(*folder_ / "image.yaml")
      << "epochs: 0\nsteps: 1\nevaluate: false\ndata: {source: {synthetic: {shape: [4], samples: "
         "8}}, batch: 4}\nmodel: {layers: [dense: 10]}\n";
  ASSERT_EQ(RunProgram({"train", *folder_ / "image.yaml", "--out", image}).status, 0);
  EXPECT_THAT(RunProgram({"generate", image}).err, HasSubstr("it cannot continue a text"));
}

}  // namespace
}  // namespace ingot::cli
