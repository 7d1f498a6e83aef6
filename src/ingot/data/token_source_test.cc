// Windows of tokens: labels one token on, mapped files, tokenized texts and their cache.
#include "ingot/data/token_source.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/data/data_options.h"
#include "ingot/formats/npy.h"

namespace ingot::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kCorpus = INGOT_SOURCE_DIR "/tests/data/text/corpus.txt";

DataSets Open(const std::string& source) {
  return OpenData(
      DataTable().Read(ParseConfig("batch: 1\nshuffle: false\nsource: " + source, "job.yaml")), 1);
}

std::string Message(const std::string& source) {
  try {
    Open(source);
  } catch (const Error& error) {
    return error.message();
  }
  return "nothing was thrown";
}

std::vector<std::vector<int64_t>> Step(const Batches& batches, int64_t step) {
  const auto length = static_cast<size_t>(batches.outputs()[0].shape.size());
  std::vector<std::vector<int64_t>> rows(2, std::vector<int64_t>(length));
  batches.Fill(step, 0, 1, std::vector<void*>{rows[0].data(), rows[1].data()});
  return rows;
}

TEST(TokenSourceTest, WindowsOfARawFile) {
  const TestFolder folder;
  const std::vector<uint16_t> tokens = {5, 6, 7, 300, 9, 10, 11, 12};
  std::ofstream(folder / "t.u16", std::ios::binary)
      .write(reinterpret_cast<const char*>(tokens.data()), 16);
  DataSets sets = Open("{tokens: {train: " + (folder / "t.u16") + ", length: 3}}");
  EXPECT_EQ(sets.x().Describe(), "x i64[3]");
  EXPECT_EQ(sets.x().classes, 301);
  EXPECT_EQ(sets.y().classes, 301);
  EXPECT_EQ(sets.train->size(), 2);
  auto batches = sets.TrainingBatches(1);
  EXPECT_TRUE(batches->cheap());
  EXPECT_THAT(Step(*batches, 1), ElementsAre(ElementsAre(300, 9, 10), ElementsAre(9, 10, 11)));
  sets = Open("{tokens: {train: " + (folder / "t.u16") + ", length: 3, stride: 1}}");
  EXPECT_EQ(sets.train->size(), 5);
  batches = sets.TrainingBatches(1);
  EXPECT_THAT(Step(*batches, 4), ElementsAre(ElementsAre(9, 10, 11), ElementsAre(10, 11, 12)));
  EXPECT_THAT(batches->Where(4), HasSubstr("t.u16, token 4"));
}

TEST(TokenSourceTest, SaysWhatIsWrong) {
  const TestFolder folder;
  std::ofstream(folder / "t.u16") << "abc";
  std::ofstream(folder / "t.bin") << "abcd";
  const auto with = [&](const std::string& name, const std::string& more) {
    return Message("{tokens: {train: " + (folder / name) + more + "}}");
  };
  EXPECT_THAT(with("t.u16", ""), HasSubstr("3 bytes, which is no multiple of 2"));
  EXPECT_THAT(with("t.bin", ""), HasSubstr("does not say the type"));
  EXPECT_THAT(with("t.bin", ", dtype: u8, length: 4"), HasSubstr("a sample needs 5"));
  EXPECT_THAT(with("t.bin", ", dtype: u8, length: 2, vocabulary: 99"),
              HasSubstr("token 99 at position 2 is not in [0, 99)"));
  const auto array = formats::EncodeNpy(Tensor::Of<int64_t>({4}, {1, 2, INT64_MAX, 3}));
  std::ofstream(folder / "t.npy") << formats::AsText(array);
  EXPECT_THAT(with("t.npy", ", length: 2"),
              HasSubstr("t.npy, token at position 2: 9223372036854775807 is too large"));
  EXPECT_THAT(with("t.npy", ", length: 9223372036854775807"),
              HasSubstr("expected a number from 1 to 1073741824"));
  EXPECT_THAT(with("none.u8", ""), HasSubstr("none.u8"));
}

TEST(TokenSourceTest, TextAsBytes) {
  const DataSets sets = Open("{text: {train: " + kCorpus + ", length: 16, test_share: 0.25}}");
  EXPECT_EQ(sets.x().classes, 256);
  const std::string text = ReadFile(kCorpus);
  const auto rows = Step(*sets.TrainingBatches(1), 2);
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(rows[0][i], static_cast<uint8_t>(text[32 + i]));
    EXPECT_EQ(rows[1][i], static_cast<uint8_t>(text[33 + i]));
  }
  ASSERT_NE(sets.test, nullptr);
  const auto tokens = static_cast<int64_t>(text.size());
  EXPECT_EQ(sets.train->size(), (tokens - tokens / 4 - 1) / 16);
  EXPECT_EQ(sets.test->size(), (tokens / 4 - 1) / 16);
  EXPECT_TRUE(formats::Tokenizer::ParseJson(sets.stored.at(kTokenizerEntry), "stored").is_bytes());
}

TEST(TokenSourceTest, TextInTrainedTokens) {
  const TestFolder folder;
  const std::string source =
      "{text: {train: " + kCorpus +
      ", length: 16, tokenizer: bpe, vocabulary: 300, cache: " + (folder / "cache") + "}}";
  const DataSets sets = Open(source);
  EXPECT_EQ(sets.x().classes, 300);
  const auto tokenizer = formats::Tokenizer::ParseJson(sets.stored.at(kTokenizerEntry), "stored");
  const auto rows = Step(*sets.TrainingBatches(1), 0);
  const std::vector<uint32_t> ids(rows[0].begin(), rows[0].end());
  EXPECT_EQ(ReadFile(kCorpus).find(tokenizer.Decode(ids)), 0u);
  // The second time nothing is written, and the same tokens come.
  const auto names = RealFileSystem().List(folder / "cache");
  EXPECT_EQ(names.size(), 2u);
  EXPECT_EQ(Step(*Open(source).TrainingBatches(1), 0), rows);
  EXPECT_EQ(RealFileSystem().List(folder / "cache"), names);
}

TEST(TokenSourceTest, TextInTokensOfAFile) {
  const TestFolder folder;
  const DataSets sets =
      Open("{text: {train: " + kCorpus + ", length: 8, tokenizer: " +
           INGOT_SOURCE_DIR "/tests/data/text/tokenizer.json, cache: " + (folder / "cache") + "}}");
  EXPECT_EQ(sets.x().classes, 389);
}

}  // namespace
}  // namespace ingot::data
