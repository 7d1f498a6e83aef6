// Sources: IDX, CSV and memory, and the messages for broken files.
#include "ingot/data/source.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/data/csv_source.h"
#include "ingot/data/idx_source.h"
#include "ingot/formats/idx.h"

namespace ingot::data {
namespace {

using testing::HasSubstr;

// Runs `f`, which must throw, and returns the error.
template <typename F>
Error Thrown(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kInternal, "");
}

void WriteIdx(const std::string& path, const Tensor& tensor) {
  const std::vector<std::byte> bytes = formats::EncodeIdx(tensor);
  WriteTestFile(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Tensor Images(int64_t n) {
  Tensor images(DType::kU8, Shape{n, 2, 2});
  for (size_t i = 0; i < images.data<uint8_t>().size(); ++i) {
    images.data<uint8_t>()[i] = static_cast<uint8_t>(i);
  }
  return images;
}

TEST(MemorySourceTest, GivesRecords) {
  const MemorySource source({"x", "y"}, {Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 6}),
                                         Tensor::Of<int64_t>({3}, {7, 8, 9})});
  EXPECT_EQ(source.size(), 3);
  EXPECT_EQ(source.fields()[0].Describe(), "x f32[2]");
  EXPECT_EQ(source.fields()[1].Describe(), "y i64[]");
  std::vector<float> x(2);
  source.Read(1, 0, x.data());
  EXPECT_EQ(x, (std::vector<float>{3, 4}));
  int64_t y = 0;
  source.Read(2, source.FieldIndex("y"), &y);
  EXPECT_EQ(y, 9);
  EXPECT_EQ(source.Where(2), "memory, sample 2");
}

TEST(MemorySourceTest, RefusesDifferentNumbersOfSamples) {
  const Error error = Thrown([] {
    MemorySource({"x", "y"}, {Tensor(DType::kF32, Shape{3, 2}), Tensor(DType::kF32, Shape{4})});
  });
  EXPECT_EQ(error.message(), "field 'x' has 3 samples but 'y' has 4");
}

TEST(MemorySourceTest, NamesUnknownFields) {
  const MemorySource source({"x"}, {Tensor(DType::kF32, Shape{3, 2})});
  EXPECT_EQ(Thrown([&] { source.FieldIndex("z"); }).message(), "the data have no field 'z'");
}

TEST(MemorySourceTest, DigestFollowsTheData) {
  const auto digest = [](float last) {
    return MemorySource({"x"}, {Tensor::Of<float>({2, 2}, {1, 2, 3, last})}).Digest();
  };
  EXPECT_EQ(digest(4), digest(4));
  EXPECT_NE(digest(4), digest(5));
  EXPECT_NE(MemorySource({"x"}, {Tensor(DType::kF32, Shape{2, 2})}).Digest(),
            MemorySource({"x"}, {Tensor(DType::kF32, Shape{4, 1})}).Digest());
}

TEST(IdxSourceTest, ReadsTheSliceOfMnist) {
  const IdxFiles files = FindIdxFiles(INGOT_SOURCE_DIR "/tests/data/mnist", "train");
  const IdxSource source(files.images, files.labels, 10);
  EXPECT_EQ(source.size(), 2000);
  EXPECT_EQ(source.fields()[0].Describe(), "x u8[28, 28]");
  EXPECT_EQ(source.fields()[1].classes, 10);
  uint8_t label = 0;
  source.Read(0, 1, &label);
  EXPECT_EQ(label, 5);  // the first training sample is a five
  EXPECT_THAT(source.Where(17), HasSubstr("train-images-idx3-ubyte.gz, sample 17"));
}

TEST(IdxSourceTest, SaysWhatWasLookedFor) {
  const TestFolder folder;
  Error error = Thrown([&] { FindIdxFiles(folder / "none", "train"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_EQ(error.message(), "there is no folder '" + folder / "none" +
                                 "' (looked for train-images-idx3-ubyte and "
                                 "train-images-idx3-ubyte.gz in it)");
  WriteIdx(folder / "train-images-idx3-ubyte", Images(3));
  error = Thrown([&] { FindIdxFiles(folder.path(), "train"); });
  EXPECT_EQ(error.message(), "folder '" + folder.path() +
                                 "' holds neither train-labels-idx1-ubyte nor "
                                 "train-labels-idx1-ubyte.gz");
  EXPECT_THAT(error.hint(), HasSubstr("t10k-images-idx3-ubyte"));
}

TEST(IdxSourceTest, ComparesImagesAndLabels) {
  const TestFolder folder;
  WriteIdx(folder / "images", Images(3));
  WriteIdx(folder / "labels", Tensor::Of<uint8_t>({4}, {0, 1, 2, 3}));
  EXPECT_EQ(Thrown([&] { IdxSource(folder / "images", folder / "labels"); }).message(),
            folder / "images" + " holds 3 images but " + folder / "labels" + " holds 4 labels");
  EXPECT_THAT(Thrown([&] { IdxSource(folder / "labels", folder / "images"); }).message(),
              HasSubstr("labels are u8[3, 2, 2], expected one whole number for each sample"));
}

TEST(IdxSourceTest, RefusesLabelsOutOfRange) {
  const TestFolder folder;
  WriteIdx(folder / "images", Images(3));
  WriteIdx(folder / "labels", Tensor::Of<uint8_t>({3}, {0, 10, 2}));
  const Error error = Thrown([&] { IdxSource(folder / "images", folder / "labels", 10); });
  EXPECT_THAT(error.message(), HasSubstr(folder / "labels"));
  EXPECT_THAT(error.message(), HasSubstr("sample 1: label 10 is not in [0, 10)"));
  EXPECT_EQ(IdxSource(folder / "images", folder / "labels").fields()[1].classes, 11);
}

TEST(IdxSourceTest, PassesOnWhatIsWrongWithAFile) {
  const TestFolder folder;
  WriteTestFile(folder / "images", "not an IDX file");
  WriteIdx(folder / "labels", Tensor::Of<uint8_t>({1}, {0}));
  const Error error = Thrown([&] { IdxSource(folder / "images", folder / "labels"); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(), HasSubstr(folder / "images"));
}

class CsvSourceTest : public testing::Test {
 protected:
  std::string Csv(const std::string& text) {
    WriteTestFile(folder_ / "data.csv", text);
    return folder_ / "data.csv";
  }
  static std::vector<double> X(const CsvSource& source, int64_t record) {
    std::vector<double> x(source.features().size());
    source.Read(record, 0, x.data());
    return x;
  }
  TestFolder folder_;
};

TEST_F(CsvSourceTest, ReadsNumbers) {
  const CsvSource source(Csv("a,b,price\n1,2,3\n4,5,6.5\n"), {});
  EXPECT_EQ(source.size(), 2);
  EXPECT_EQ(source.label(), "price");
  EXPECT_EQ(source.features(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(source.fields()[0].Describe(), "x f64[2]");
  EXPECT_EQ(source.fields()[1].Describe(), "y f64[1]");
  EXPECT_EQ(X(source, 1), (std::vector<double>{4, 5}));
  double y = 0;
  source.Read(1, 1, &y);
  EXPECT_EQ(y, 6.5);
  EXPECT_EQ(source.Where(1), folder_ / "data.csv:3");
}

TEST_F(CsvSourceTest, ChoosesColumnsAndNumbersClasses) {
  CsvSourceOptions options;
  options.label = "kind";
  options.label_type = "class";
  options.features = {"c", "a"};
  const CsvSource source(Csv("a,kind,b,c\n1,dog,x,3\n4,cat,y,6\n7,dog,z,9\n"), options);
  EXPECT_EQ(X(source, 0), (std::vector<double>{3, 1}));
  EXPECT_EQ(source.classes(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(source.fields()[1].classes, 2);
  int64_t y = -1;
  source.Read(0, 1, &y);
  EXPECT_EQ(y, 1);
  // The test half keeps the numbering, and knows no others.
  WriteTestFile(folder_ / "test.csv", "a,kind,b,c\n1,dog,x,3\n");
  const CsvSource test(folder_ / "test.csv", options, &source);
  test.Read(0, 1, &y);
  EXPECT_EQ(y, 1);
  WriteTestFile(folder_ / "test.csv", "a,kind,b,c\n1,dog,x,3\n1,dot,x,3\n");
  const Error error = Thrown([&] { CsvSource(folder_ / "test.csv", options, &source); });
  EXPECT_EQ(error.message(), folder_ /
                                 "test.csv:3: column 'kind': class 'dot' does not occur in "
                                 "the training data");
  EXPECT_THAT(error.hint(), HasSubstr("dog"));
}

TEST_F(CsvSourceTest, NumericClassesKeepTheirOrder) {
  CsvSourceOptions options;
  options.label_type = "class";
  const CsvSource source(Csv("a,k\n1,10\n1,9\n1,2\n"), options);
  EXPECT_EQ(source.classes(), (std::vector<std::string>{"2", "9", "10"}));
}

TEST_F(CsvSourceTest, FillsInMissingValues) {
  const std::string path = Csv("a,b,y\n1,,1\n3,4,1\n,8,1\n");
  CsvSourceOptions options;
  const Error error = Thrown([&] { CsvSource(path, options); });
  EXPECT_EQ(error.message(), path + ":2: column 'b': the value is missing");
  options.missing = "mean";
  const CsvSource mean(path, options);
  EXPECT_EQ(X(mean, 0), (std::vector<double>{1, 6}));
  EXPECT_EQ(X(mean, 2), (std::vector<double>{2, 8}));
  options.missing = "zero";
  EXPECT_EQ(X(CsvSource(path, options), 0), (std::vector<double>{1, 0}));
  options.missing = "constant";
  options.missing_value = -5;
  EXPECT_EQ(X(CsvSource(path, options), 0), (std::vector<double>{1, -5}));
  // The test half takes the means of the training half.
  options.missing = "mean";
  WriteTestFile(folder_ / "test.csv", "a,b,y\n?,100,1\n");
  EXPECT_EQ(X(CsvSource(folder_ / "test.csv", options, &mean), 0), (std::vector<double>{2, 100}));
}

TEST_F(CsvSourceTest, CategoriesAreOneHotBehindTheNumbers) {
  CsvSourceOptions options;
  options.categorical = {"colour"};
  const CsvSource source(Csv("colour,b,y\nred,3,1\nblue,8,1\n?,9,1\n"), options);
  EXPECT_EQ(source.fields()[0].Describe(), "x f64[4]");
  EXPECT_EQ(source.fields()[0].categorical, 3);
  const auto row = [](const CsvSource& of, int64_t record) {
    std::vector<double> x(4);
    of.Read(record, 0, x.data());
    return x;
  };
  EXPECT_EQ(row(source, 0), (std::vector<double>{3, 0, 0, 1}));
  EXPECT_EQ(row(source, 1), (std::vector<double>{8, 0, 1, 0}));
  EXPECT_EQ(row(source, 2), (std::vector<double>{9, 1, 0, 0}));
  // What the training half does not have is unknown.
  WriteTestFile(folder_ / "test.csv", "b,colour,y\n5,green,1\n6,red,1\n");
  const CsvSource test(folder_ / "test.csv", options, &source);
  EXPECT_EQ(row(test, 0), (std::vector<double>{5, 1, 0, 0}));
  EXPECT_EQ(row(test, 1), (std::vector<double>{6, 0, 0, 1}));
}

TEST_F(CsvSourceTest, CategoriesAsNumbersCountOnFromColumnToColumn) {
  CsvSourceOptions options;
  options.categorical = {"colour", "size"};
  options.encoding = "index";
  const std::string path = Csv("colour,size,y\nred,S,1\nblue,L,1\n,M,1\n");
  const CsvSource source(path, options);
  EXPECT_EQ(source.fields()[0].Describe(), "x i64[2]");
  EXPECT_EQ(source.fields()[0].classes, 7);
  std::vector<int64_t> x(2);
  source.Read(0, 0, x.data());
  EXPECT_EQ(x, (std::vector<int64_t>{2, 6}));  // unknown, blue, red; unknown, L, M, S from 3
  source.Read(2, 0, x.data());
  EXPECT_EQ(x, (std::vector<int64_t>{0, 5}));
  options.categorical = {"size"};
  options.features = {"size"};
  EXPECT_THAT(Thrown([&] {
                options.categorical = {"colour"};
                CsvSource(path, options);
              }).message(),
              HasSubstr("categorical: 'colour' is none of the features"));
}

TEST_F(CsvSourceTest, IsFittedToTheSamplesThatTrain) {
  std::string text = "colour,b,y\n";
  for (int i = 0; i < 20; ++i) text += "c" + std::to_string(i) + "," + std::to_string(i) + ",1\n";
  CsvSourceOptions options;
  options.categorical = {"colour"};
  CsvSource source(Csv(text), options);
  source.Fit(Selection::All(20).First(2));
  EXPECT_EQ(source.encoding().vocabularies[0], (std::vector<std::string>{"c0", "c1"}));
  EXPECT_EQ(source.fields()[0].shape, (Shape{4}));
  const CsvEncoding read = CsvEncoding::FromJson(source.encoding().ToJson());
  EXPECT_EQ(read.vocabularies, source.encoding().vocabularies);
  EXPECT_EQ(read.numbers, (std::vector<std::string>{"b"}));
  EXPECT_THROW(CsvEncoding::FromJson("{}"), Error);
  // The mean of b in them.
  options.missing = "mean";
  options.categorical = {};
  options.features = {"b"};
  CsvSource means(Csv("b,y\n2,1\n4,1\n100,1\n,1\n"), options);
  means.Fit(Selection::All(4).First(2));
  EXPECT_EQ(X(means, 3), (std::vector<double>{3}));
}

TEST_F(CsvSourceTest, SaysWhereItIsWrong) {
  const auto message = [&](const std::string& text) {
    return Thrown([&] { CsvSource(Csv(text), {}); }).message();
  };
  const std::string path = folder_ / "data.csv";
  EXPECT_THAT(message("a,b,y\n1,2,3\n1,2\n"), HasSubstr(path + ":3: "));
  EXPECT_THAT(message("a,b,y\n1,NaN,3\n"), HasSubstr(path + ":2: column 'b': "));
  EXPECT_THAT(message("a,b,y\n1,2,3\n1,two,3\n"), HasSubstr(path + ":3: column 'b': "));
  EXPECT_THAT(message("a,b,y\n1,2,many\n"), HasSubstr(path + ":2: column 'y': "));
  EXPECT_EQ(message("a,b,y\n1,2,\n"), path + ":2: column 'y': the label is missing");
  EXPECT_EQ(message("a,b,y\n"), path + " has no rows of data");
  EXPECT_EQ(message("a;b;y\n1;2;3\n"), path + " has one column, expected features and a label");
}

TEST_F(CsvSourceTest, SaysWhichColumnsThereAre) {
  CsvSourceOptions options;
  options.label = "pric";
  Error error = Thrown([&] { CsvSource(Csv("a,b,price\n1,2,3\n"), options); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(std::string(error.what()), HasSubstr("price"));
  options.label = "price";
  options.features = {"a", "price"};
  error = Thrown([&] { CsvSource(Csv("a,b,price\n1,2,3\n"), options); });
  EXPECT_THAT(error.message(), HasSubstr("column 'price' is both the label and a feature"));
}

}  // namespace
}  // namespace ingot::data
