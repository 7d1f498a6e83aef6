// Pictures in folders: what is found, in which order, and what is said where something is wrong.
#include "ingot/data/image_folder_source.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/base/test_folder.h"
#include "ingot/data/data_options.h"
#include "ingot/data/picture_test_util.h"

namespace ingot::data {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

DataSets Open(const std::string& source, const std::string& data = "") {
  return OpenData(
      DataTable().Read(ParseConfig(
          "{batch: 2, shuffle: false, source: {images: " + source + "}" + data + "}", "job.yaml")),
      1);
}

std::string Message(const std::string& source) {
  return ErrorOf([&] { Open(source); }).message();
}

// Two classes of two pictures, in files of several kinds.
class ImageFolderTest : public testing::Test {
 protected:
  ImageFolderTest() {
    WriteTestFile(folder_ / "zebra/1.png", PlainPng(4, 6, 200, 100, 50));
    WriteTestFile(folder_ / "zebra/deep/er/2.PNG", PlainPng(9, 9, 201, 101, 51));
    WriteTestFile(folder_ / "ape/b.jpeg", ReadFile(kFormatsFolder + "waves.jpg"));
    WriteTestFile(folder_ / "ape/a.jpg", ReadFile(kFormatsFolder + "waves_grey.jpg"));
    WriteTestFile(folder_ / "ape/notes.txt", "no picture");
    WriteTestFile(folder_ / ".cache/x.png", "hidden");
    WriteTestFile(folder_ / "ape/.b.jpeg", "hidden");
  }

  std::string Train(const std::string& more = "") const {
    return "{train: " + folder_.path() + ", size: 4" + more + "}";
  }

  TestFolder folder_;
};

TEST_F(ImageFolderTest, ClassesAreTheFoldersSorted) {
  const DataSets sets = Open(Train());
  EXPECT_THAT(sets.class_names, ElementsAre("ape", "zebra"));
  EXPECT_EQ(sets.train->fields()[0].Describe(), "x u8[3, 4, 4]");
  EXPECT_EQ(sets.train->fields()[1].classes, 2);
  ASSERT_EQ(sets.train->size(), 4);
  EXPECT_THAT(sets.train->Where(0), EndsWith("/ape/a.jpg"));
  EXPECT_THAT(sets.train->Where(1), EndsWith("/ape/b.jpeg"));
  EXPECT_THAT(sets.train->Where(3), EndsWith("/zebra/deep/er/2.PNG"));
  const auto batches = sets.TrainingBatches(1);
  EXPECT_FALSE(batches->cheap());
  std::vector<float> x(2 * 3 * 16);
  std::vector<int64_t> y(2);
  batches->Fill(1, 0, 2, std::vector<void*>{x.data(), y.data()});
  EXPECT_THAT(y, ElementsAre(1, 1));
  EXPECT_FLOAT_EQ(x[0], 200 / 255.0f);
  EXPECT_FLOAT_EQ(x[16], 100 / 255.0f);
  EXPECT_FLOAT_EQ(x[48], 201 / 255.0f);
}

TEST_F(ImageFolderTest, TheCacheGivesTheSameBytes) {
  const DataSets cached = Open(Train());
  const DataSets every_time = Open(Train(", cache: \"0\""));
  const DataSets first_two = Open(Train(", cache: \"96\""));
  for (int64_t record = 0; record < 4; ++record) {
    std::vector<uint8_t> a(48), b(48), c(48), again(48);
    cached.train->Read(record, 0, a.data());
    cached.train->Read(record, 0, again.data());
    every_time.train->Read(record, 0, b.data());
    first_two.train->Read(record, 0, c.data());
    first_two.train->Read(record, 0, c.data());
    EXPECT_EQ(a, again);
    EXPECT_EQ(a, b);
    EXPECT_EQ(a, c);
  }
  // What was decoded is there even when the file is gone.
  std::vector<uint8_t> pixels(48);
  std::filesystem::remove(folder_ / "zebra/1.png");
  EXPECT_NO_THROW(cached.train->Read(2, 0, pixels.data()));
  EXPECT_EQ(ErrorOf([&] { every_time.train->Read(2, 0, pixels.data()); }).code(),
            ErrorCode::kNotFound);
}

TEST_F(ImageFolderTest, ADamagedPictureEndsTheRunAndIsNamed) {
  const std::string whole = ReadFile(kFormatsFolder + "waves.jpg");
  WriteTestFile(folder_ / "ape/b.jpeg", whole.substr(0, whole.size() / 2));
  const auto batches = Open(Train()).TrainingBatches(1);
  std::vector<float> x(2 * 3 * 16);
  std::vector<int64_t> y(2);
  const Error error = ErrorOf([&] {
    batches->Fill(0, 0, 2, std::vector<void*>{x.data(), y.data()});
  });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(),
              testing::StartsWith((folder_ / "ape/b.jpeg") + ": damaged JPEG image: "));
  EXPECT_THAT(error.hint(), HasSubstr("data.source.images.on_error: skip"));
}

TEST_F(ImageFolderTest, DamagedPicturesAreLeftOutWhereTheJobSaysSo) {
  const std::string whole = ReadFile(kFormatsFolder + "waves.jpg");
  WriteTestFile(folder_ / "ape/b.jpeg", whole.substr(0, whole.size() / 2));
  WriteTestFile(folder_ / "zebra/empty.png", "");
  const DataSets sets = Open(Train(", on_error: skip"));
  EXPECT_EQ(sets.train->size(), 3);
  ASSERT_EQ(sets.skipped.size(), 2u);
  EXPECT_THAT(sets.skipped[0], HasSubstr("ape/b.jpeg: damaged JPEG image: "));
  EXPECT_THAT(sets.skipped[1], HasSubstr("zebra/empty.png: neither a PNG nor a JPEG image"));
  EXPECT_THAT(sets.train->Where(1), EndsWith("/zebra/1.png"));
  // A class of which nothing is left is not one to be passed over.
  WriteTestFile(folder_ / "ape/a.jpg", "\xff\xd8\xff");
  EXPECT_THAT(Message(Train(", on_error: skip")),
              HasSubstr("/ape': every picture in it is damaged"));
  // The picture that is named is one of that class.
  WriteTestFile(folder_ / "ape/a.jpg", whole);
  WriteTestFile(folder_ / "zebra/1.png", "");
  WriteTestFile(folder_ / "zebra/deep/er/2.PNG", "");
  EXPECT_THAT(Message(Train(", on_error: skip")),
              HasSubstr("/zebra': every picture in it is damaged; the first: " +
                        (folder_ / "zebra/1.png")));
}

TEST_F(ImageFolderTest, ADamagedPartnerIsTheOneThatIsNamed) {
  WriteTestFile(folder_ / "ape/b.jpeg", "\xff\xd8\xff");
  const auto batches = Open(Train(), ", augment: [mixup]").TrainingBatches(1);
  std::vector<float> x(2 * 3 * 16);
  std::vector<float> y(2 * 2);
  std::string message;
  // Batches of zebras alone, into which every picture is mixed sooner or later.
  for (int64_t step = 1; message.empty() && step < 200; step += 2) {
    try {
      batches->Fill(step, 0, 2, std::vector<void*>{x.data(), y.data()});
    } catch (const Error& error) {
      message = error.message();
    }
  }
  EXPECT_THAT(message, StartsWith((folder_ / "ape/b.jpeg") + ": damaged JPEG image"));
}

TEST_F(ImageFolderTest, FoldersThatAreNoData) {
  EXPECT_THAT(Message("{train: " + (folder_ / "absent") + "}"), HasSubstr("absent"));
  EXPECT_THAT(Message("{train: " + (folder_ / "ape") + "}"),
              HasSubstr("holds no sub-folder, expected one for each of at least two classes"));
  EXPECT_THAT(Message("{train: " + (folder_ / "zebra") + "}"),
              HasSubstr("holds one sub-folder, 'deep'"));
  std::filesystem::create_directory(folder_ / "cat");
  EXPECT_THAT(Message(Train()),
              HasSubstr("class folder '" + (folder_ / "cat") + "' holds no .jpg, .jpeg or .png"));
}

TEST_F(ImageFolderTest, TestDataHaveTheClassesOfTheTrainingData) {
  const TestFolder other;
  WriteTestFile(other / "zebra/1.png", PlainPng(5, 5, 1, 2, 3));
  const DataSets sets = Open(Train(", test: " + other.path()));
  int64_t label = 0;
  sets.test->Read(0, 1, &label);
  EXPECT_EQ(label, 1);
  WriteTestFile(other / "zebras/1.png", PlainPng(5, 5, 1, 2, 3));
  const Error error = ErrorOf([&] { Open(Train(", test: " + other.path())); });
  EXPECT_THAT(error.message(), HasSubstr("there is no class 'zebras' in the training data"));
  EXPECT_THAT(error.hint(), HasSubstr("did you mean 'zebra'?"));
}

TEST_F(ImageFolderTest, PicturesOfOneSizeNeedNone) {
  std::filesystem::remove_all(folder_ / "zebra/deep");
  WriteTestFile(folder_ / "zebra/1.png", PlainPng(36, 48, 1, 2, 3));
  const DataSets sets = Open("{train: " + folder_.path() + "}");
  EXPECT_EQ(sets.train->fields()[0].shape, (Shape{3, 36, 48}));
  WriteTestFile(folder_ / "zebra/2.png", PlainPng(36, 47, 1, 2, 3));
  const DataSets odd = Open("{train: " + folder_.path() + "}");
  std::vector<uint8_t> pixels(3 * 36 * 48);
  EXPECT_THAT(ErrorOf([&] { odd.train->Read(3, 0, pixels.data()); }).message(),
              HasSubstr("zebra/2.png: a picture of 36 x 47 (height x width), but the others are"));
}

TEST_F(ImageFolderTest, TheSizeIsThatOfTheFirstWholePicture) {
  std::filesystem::remove_all(folder_ / "zebra/deep");
  WriteTestFile(folder_ / "zebra/1.png", PlainPng(36, 48, 1, 2, 3));
  WriteTestFile(folder_ / "ape/a.jpg", "no picture");
  const DataSets sets = Open("{train: " + folder_.path() + ", on_error: skip}");
  EXPECT_EQ(sets.train->fields()[0].shape, (Shape{3, 36, 48}));
  EXPECT_EQ(sets.train->size(), 2);
  EXPECT_THAT(Message("{train: " + folder_.path() + "}"), HasSubstr("ape/a.jpg: neither a PNG"));
}

TEST_F(ImageFolderTest, ALinkBackIsNamed) {
  std::filesystem::create_directory_symlink(folder_ / "ape", folder_ / "zebra/apes");
  EXPECT_EQ(Open(Train()).train->size(), 6);
  std::filesystem::create_directory_symlink(folder_ / "zebra", folder_ / "zebra/deep/link");
  const Error error = ErrorOf([&] { Open(Train()); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_THAT(error.message(),
              HasSubstr("folder '" + (folder_ / "zebra/deep/link") + "' is '" +
                        (folder_ / "zebra") + "' again, by way of a symbolic link"));
}

TEST_F(ImageFolderTest, TheDigestIsOfTheFiles) {
  const uint64_t before = Open(Train()).train->Digest();
  EXPECT_EQ(Open(Train(", cache: \"0\"")).train->Digest(), before);
  WriteTestFile(folder_ / "zebra/1.png", PlainPng(4, 6, 200, 100, 51));
  EXPECT_NE(Open(Train()).train->Digest(), before);
}

TEST_F(ImageFolderTest, ValidationIsAShareBySeed) {
  for (int i = 0; i < 16; ++i) {
    WriteTestFile(folder_ / ("zebra/v" + std::to_string(i) + ".png"), PlainPng(4, 4, i, 0, 0));
  }
  const DataSets sets = Open(Train(), ", validation: 0.25");
  EXPECT_EQ(sets.validation_selection.size(), 5);
  EXPECT_EQ(sets.train_selection.size(), 15);
}

}  // namespace
}  // namespace ingot::data
