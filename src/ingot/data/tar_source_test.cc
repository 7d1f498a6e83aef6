// Tar shards: names of shards, samples of several files, labels of every kind, damage.
#include "ingot/data/tar_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/base/test_folder.h"
#include "ingot/data/data_options.h"
#include "ingot/data/picture_test_util.h"
#include "ingot/data/shard_pattern.h"
#include "ingot/formats/npy.h"
#include "ingot/formats/tar.h"
#include "ingot/formats/tar_test_util.h"

namespace ingot::data {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

using Files = std::vector<std::pair<std::string, std::string>>;

class TarSourceTest : public testing::Test {
 protected:
  void WriteShard(const std::string& name, const Files& files) {
    std::vector<std::pair<std::string, std::span<const std::byte>>> views;
    for (const auto& [file, text] : files) views.emplace_back(file, formats::AsBytes(text));
    const std::vector<std::byte> bytes = formats::EncodeTar(views);
    WriteTestFile(folder_ / name, formats::AsText(bytes));
  }

  DataSets Open(const std::string& options) {
    return OpenData(
        DataTable().Read(ParseConfig("{batch: 1, folder: " + folder_.path() +
                                         ", shuffle: false, source: {tar: " + options + "}}",
                                     "job.yaml")),
        1);
  }

  Error Fault(const std::string& options) {
    return ErrorOf([&] { Open(options); });
  }

  static std::vector<int64_t> Labels(const Source& source) {
    std::vector<int64_t> labels(static_cast<size_t>(source.size()));
    for (size_t i = 0; i < labels.size(); ++i) source.Read(static_cast<int64_t>(i), 1, &labels[i]);
    return labels;
  }

  const std::string jpeg_ = ReadFile(kFormatsFolder + "waves.jpg");
  TestFolder folder_;
};

TEST_F(TarSourceTest, PicturesWithClassNumbersOverShards) {
  WriteShard("t-00.tar", {{"a/1.jpg", jpeg_},
                          {"a/1.cls", "2"},
                          {"a/2.cls", "0\n"},
                          {"a/2.png", PlainPng(5, 5, 1, 2, 3)},
                          {"a/2.note.md", "passed over"}});
  WriteShard("t-01.tar", {{"3.jpeg", jpeg_}, {"3.cls", "1"}, {"README", "no sample"}});
  const DataSets sets = Open("{train: \"t-{00..01}.tar\", size: 4}");
  EXPECT_EQ(sets.train->fields()[0].Describe(), "x u8[3, 4, 4]");
  EXPECT_EQ(sets.y().classes, 3);
  EXPECT_THAT(Labels(*sets.train), ElementsAre(2, 0, 1));
  EXPECT_THAT(sets.train->Where(1), EndsWith("t-00.tar: a/2.png"));
  EXPECT_THAT(sets.train->Where(2), EndsWith("t-01.tar: 3.jpeg"));
  std::vector<uint8_t> pixels(48);
  sets.train->Read(1, 0, pixels.data());
  EXPECT_EQ(pixels[0], 1);
  EXPECT_EQ(pixels[16], 2);
  // The same by wildcard.
  EXPECT_EQ(Open("{train: \"*.tar\", size: 4}").train->Digest(), sets.train->Digest());
}

TEST_F(TarSourceTest, TextsAndJsonAsLabels) {
  WriteShard("t.tar", {{"1.jpg", jpeg_},
                       {"1.txt", "owl\n"},
                       {"1.json", "{\"label\": 4, \"kind\": \"b\"}"},
                       {"2.jpg", jpeg_},
                       {"2.txt", "cat"},
                       {"2.json", "{\"label\": 1, \"kind\": \"a\"}"}});
  const DataSets texts = Open("{train: t.tar, y: txt}");
  EXPECT_THAT(texts.class_names, ElementsAre("cat", "owl"));
  EXPECT_THAT(Labels(*texts.train), ElementsAre(1, 0));
  EXPECT_EQ(texts.train->fields()[0].shape, (Shape{3, 36, 48}));
  const DataSets numbers = Open("{train: t.tar, y: json}");
  EXPECT_THAT(Labels(*numbers.train), ElementsAre(4, 1));
  EXPECT_EQ(numbers.y().classes, 5);
  EXPECT_THAT(Open("{train: t.tar, y: json, json_key: kind}").class_names, ElementsAre("a", "b"));
  WriteShard("test.tar", {{"1.jpg", jpeg_}, {"1.txt", "owls"}});
  const Error error = Fault("{train: t.tar, test: test.tar, y: txt}");
  EXPECT_THAT(error.message(), HasSubstr("test.tar: 1.jpg: class 'owls' does not occur"));
  EXPECT_THAT(error.hint(), HasSubstr("did you mean 'owl'?"));
}

TEST_F(TarSourceTest, ArraysAsSamples) {
  const auto npy = [](std::initializer_list<float> values) {
    const auto n = static_cast<int64_t>(values.size());
    const std::vector<std::byte> bytes = formats::EncodeNpy(Tensor::Of<float>(Shape{n}, values));
    return std::string(formats::AsText(bytes));
  };
  WriteShard("t.tar", {{"1.npy", npy({1, 2, 3})},
                       {"1.cls", "0"},
                       {"2.npy", npy({4, 5, 6})},
                       {"2.cls", "1"},
                       {"3.npy", npy({4, 5})},
                       {"3.cls", "1"}});
  const DataSets sets = Open("{train: t.tar}");
  EXPECT_EQ(sets.x().Describe(), "x f32[3]");
  std::vector<float> x(3);
  sets.train->Read(1, 0, x.data());
  EXPECT_THAT(x, ElementsAre(4, 5, 6));
  EXPECT_THAT(ErrorOf([&] { sets.train->Read(2, 0, x.data()); }).message(),
              HasSubstr("t.tar: 3.npy is f32[2], but the first sample is"));
}

TEST_F(TarSourceTest, DamagedSamples) {
  WriteShard("t.tar", {{"1.jpg", jpeg_},
                       {"1.cls", "0"},
                       {"2.jpg", jpeg_.substr(0, jpeg_.size() / 2)},
                       {"2.cls", "1"}});
  const DataSets sets = Open("{train: t.tar, size: 4}");
  std::vector<uint8_t> pixels(48);
  const Error error = ErrorOf([&] { sets.train->Read(1, 0, pixels.data()); });
  EXPECT_THAT(error.message(), HasSubstr("t.tar: 2.jpg: damaged JPEG image"));
  EXPECT_THAT(error.hint(), HasSubstr("data.source.tar.on_error: skip"));
  const DataSets rest = Open("{train: t.tar, size: 4, on_error: skip}");
  EXPECT_EQ(rest.train->size(), 1);
  ASSERT_EQ(rest.skipped.size(), 1u);
  EXPECT_THAT(rest.skipped[0], HasSubstr("t.tar: 2.jpg"));
}

TEST_F(TarSourceTest, TheSizeIsThatOfTheFirstWholeSample) {
  WriteShard("t.tar", {{"1.png", "no picture"},
                       {"1.cls", "0"},
                       {"2.png", PlainPng(5, 7, 1, 2, 3)},
                       {"2.cls", "1"}});
  const DataSets sets = Open("{train: t.tar, on_error: skip}");
  EXPECT_EQ(sets.train->fields()[0].shape, (Shape{3, 5, 7}));
  EXPECT_THAT(Labels(*sets.train), ElementsAre(1));
  EXPECT_THAT(Fault("{train: t.tar}").message(), HasSubstr("t.tar: 1.png: neither a PNG nor"));
  WriteShard("none.tar", {{"1.png", "no picture"}, {"1.cls", "0"}});
  EXPECT_THAT(Fault("{train: none.tar, on_error: skip}").message(),
              HasSubstr("every sample is damaged; the first: "));
}

TEST_F(TarSourceTest, LongNamesAreKeysAndAreNamed) {
  using formats::PaxRecord;
  using formats::TarMember;
  const std::string gnu(200, 'g');
  const std::string pax(200, 'p');
  std::string shard;
  for (const auto& [ending, text] : Files{{".png", PlainPng(4, 4, 1, 2, 3)}, {".cls", "1"}}) {
    shard += TarMember("././@LongLink", gnu + ending + '\0', 'L') + TarMember("cut", text);
  }
  for (const auto& [ending, text] : Files{{".png", PlainPng(4, 4, 4, 5, 6)}, {".cls", "0"}}) {
    shard += TarMember("h", PaxRecord("path", pax + ending), 'x') + TarMember("cut", text);
  }
  WriteTestFile(folder_ / "t.tar", shard);
  const DataSets sets = Open("{train: t.tar}");
  EXPECT_THAT(Labels(*sets.train), ElementsAre(1, 0));
  EXPECT_THAT(sets.train->Where(0), EndsWith("t.tar: " + gnu + ".png"));
  EXPECT_THAT(sets.train->Where(1), EndsWith("t.tar: " + pax + ".png"));
}

TEST_F(TarSourceTest, FaultsAreNamed) {
  WriteShard("t.tar", {{"1.jpg", jpeg_}, {"1.cls", "cat"}});
  EXPECT_THAT(Fault("{train: t.tar}").message(),
              HasSubstr("t.tar: 1.cls holds 'cat', expected a class number"));
  WriteShard("t.tar", {{"1.jpg", jpeg_}, {"2.jpg", jpeg_}, {"2.cls", "1"}});
  EXPECT_THAT(Fault("{train: t.tar}").message(), HasSubstr("t.tar: sample '1' has no .cls"));
  WriteShard("t.tar", {{"1.jpg", jpeg_}, {"1.cls", "7"}});
  EXPECT_THAT(Fault("{train: t.tar, classes: 5}").message(),
              HasSubstr("t.tar: 1.jpg: label 7 is not in [0, 5)"));
  WriteShard("t.tar", {{"1.jpg", jpeg_}, {"1.cls", "9223372036854775807"}});
  EXPECT_THAT(Fault("{train: t.tar}").message(),
              HasSubstr("t.tar: 1.jpg: 9223372036854775807 is too large"));
  EXPECT_THAT(Fault("{train: absent.tar}").message(), HasSubstr("absent.tar"));
  EXPECT_THAT(Fault("{train: \"no-*.tar\"}").message(), HasSubstr("no file matches"));
  WriteShard("t.tar", {{"1.txt", "a"}});
  EXPECT_THAT(Fault("{train: t.tar}").message(), HasSubstr("holds no sample"));
  WriteTestFile(folder_ / "t.tar", std::string(700, 'x'));
  EXPECT_EQ(Fault("{train: t.tar}").code(), ErrorCode::kCorrupt);
}

TEST(ShardPatternTest, BracesCountAndList) {
  EXPECT_THAT(ExpandPattern("a-{08..11}.tar"),
              ElementsAre("a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"));
  EXPECT_THAT(ExpandPattern("{a,b{1,2}}.tar"), ElementsAre("a.tar", "b1.tar", "b2.tar"));
  EXPECT_THAT(ExpandPattern("plain.tar"), ElementsAre("plain.tar"));
  EXPECT_THROW(ExpandPattern("a{1..x}.tar"), Error);
  EXPECT_THROW(ExpandPattern("a{5..2}.tar"), Error);
  EXPECT_THROW(ExpandPattern("a{1,2.tar"), Error);
  EXPECT_THROW(ExpandPattern("a{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}.tar"), Error);
}

}  // namespace
}  // namespace ingot::data
