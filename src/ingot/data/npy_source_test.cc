// NumPy arrays as data: by file, by name in an npz, classes and numbers.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/base/test_folder.h"
#include "ingot/data/data_options.h"
#include "ingot/data/picture_test_util.h"
#include "ingot/formats/npy.h"

namespace ingot::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class NpySourceTest : public testing::Test {
 protected:
  void Write(const std::string& name, const Tensor& tensor) {
    const std::vector<std::byte> bytes = formats::EncodeNpy(tensor);
    WriteTestFile(folder_ / name, formats::AsText(bytes));
  }

  DataSets Open(const std::string& source, const std::string& more = "") {
    return OpenData(
        DataTable().Read(ParseConfig("{batch: 1, folder: " + folder_.path() +
                                         ", shuffle: false, source: " + source + more + "}",
                                     "job.yaml")),
        1);
  }

  std::string Message(const std::string& source) {
    return ErrorOf([&] { Open(source); }).message();
  }

  TestFolder folder_;
};

TEST_F(NpySourceTest, WholeNumbersAreClasses) {
  Write("x.npy", Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  Write("y.npy", Tensor::Of<int32_t>({3}, {0, 2, 1}));
  const DataSets sets = Open("{npy: {train_x: x.npy, train_y: y.npy}}");
  EXPECT_EQ(sets.x().Describe(), "x f32[2]");
  EXPECT_EQ(sets.y().Describe(), "y i64[]");
  EXPECT_EQ(sets.y().classes, 3);
  const auto batches = sets.TrainingBatches(1);
  // Mapped: nothing has to be read ahead.
  EXPECT_TRUE(batches->cheap());
  std::vector<float> x(2);
  int64_t y = 0;
  batches->Fill(1, 0, 1, std::vector<void*>{x.data(), &y});
  EXPECT_THAT(x, ElementsAre(3, 4));
  EXPECT_EQ(y, 2);
  EXPECT_EQ(sets.test, nullptr);
}

TEST_F(NpySourceTest, NumbersAreARegression) {
  Write("x.npy", Tensor::Of<uint8_t>({2, 1, 2}, {1, 2, 3, 4}));
  Write("y.npy", Tensor::Of<double>({2}, {0.5, 1.5}));
  Write("whole.npy", Tensor::Of<int64_t>({2, 1}, {7, -8}));
  EXPECT_EQ(Open("{npy: {train_x: x.npy, train_y: y.npy}}").y().Describe(), "y f32[1]");
  const DataSets sets = Open("{npy: {train_x: x.npy, train_y: whole.npy, label_type: number}}");
  EXPECT_EQ(sets.y().Describe(), "y f32[1]");
}

TEST_F(NpySourceTest, ArraysOfOneFileByName) {
  std::vector<std::byte> bytes;
  const std::vector<formats::NamedTensor> arrays = {
      {"images", Tensor::Of<uint8_t>({2, 2}, {1, 2, 3, 4})},
      {"labels", Tensor::Of<uint8_t>({2}, {1, 0})},
      {"images_test", Tensor::Of<uint8_t>({1, 2}, {9, 9})},
      {"labels_test", Tensor::Of<uint8_t>({1}, {1})}};
  formats::WriteNpz(arrays, formats::AppendTo(bytes));
  WriteTestFile(folder_ / "d.npz", formats::AsText(bytes));
  const DataSets sets =
      Open("{npz: {train: d.npz, x: images, y: labels, test_x: images_test, test_y: labels_test}}");
  EXPECT_EQ(sets.train->size(), 2);
  EXPECT_EQ(sets.test->size(), 1);
  EXPECT_EQ(sets.y().classes, 2);
  EXPECT_THAT(Message("{npz: {train: d.npz, x: image, y: labels}}"), HasSubstr("image"));
}

TEST_F(NpySourceTest, FaultsAreNamed) {
  Write("x.npy", Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  Write("y.npy", Tensor::Of<int64_t>({3}, {0, 5, 1}));
  Write("two.npy", Tensor::Of<int64_t>({2}, {0, 1}));
  Write("floats.npy", Tensor::Of<float>({3}, {0, 5, 1}));
  EXPECT_THAT(Message("{npy: {train_x: x.npy, train_y: two.npy}}"),
              HasSubstr("x.npy holds 3 samples but " + (folder_ / "two.npy") + " holds 2 labels"));
  // A label outside the classes.
  EXPECT_THAT(Message("{npy: {train_x: x.npy, train_y: y.npy, classes: 3}}"),
              HasSubstr("y.npy: " + (folder_ / "x.npy") + ", sample 1: label 5 is not in [0, 3)"));
  Write("most.npy", Tensor::Of<int64_t>({3}, {0, 1, INT64_MAX}));
  EXPECT_THAT(Message("{npy: {train_x: x.npy, train_y: most.npy}}"),
              HasSubstr("most.npy, label of sample 2: 9223372036854775807 is too large for the "
                        "number of a class, which is below 1073741824"));
  EXPECT_THAT(Message("{npy: {train_x: x.npy, train_y: y.npy, classes: 9223372036854775807}}"),
              HasSubstr("expected a number from 0 to 1073741824"));
  EXPECT_THAT(Message("{npy: {train_x: x.npy, train_y: floats.npy, label_type: class}}"),
              HasSubstr("expected one whole number a sample"));
  EXPECT_THAT(Message("{npy: {train_x: x.npy, train_y: y.npy, test_x: x.npy}}"),
              HasSubstr("test samples and labels need a file each"));
  EXPECT_THAT(Message("{npy: {train_x: x.npy}}"), HasSubstr("train_y"));
  Write("complex.npy", Tensor(DType::kComplex64, Shape{3, 2}));
  EXPECT_THAT(Message("{npy: {train_x: complex.npy, train_y: y.npy}}"),
              HasSubstr("complex.npy is c64[3, 2], expected real numbers"));
}

TEST_F(NpySourceTest, StandardisedByChannelWithStoredStatistics) {
  // Two channels of 1 x 2: 0, 2, 4, 6 with mean 3, and 10 everywhere.
  Write("x.npy", Tensor::Of<float>({2, 2, 1, 2}, {0, 2, 10, 10, 4, 6, 10, 10}));
  Write("y.npy", Tensor::Of<int64_t>({2}, {0, 1}));
  const DataSets sets = Open("{npy: {train_x: x.npy, train_y: y.npy}}",
                             ", transforms: [{standardise: {per: channel}}]");
  std::vector<float> x(4);
  int64_t y = 0;
  sets.TrainingBatches(1)->Fill(0, 0, 1, std::vector<void*>{x.data(), &y});
  EXPECT_NEAR(x[0], -3 / std::sqrt(5.0), 1e-6);
  EXPECT_NEAR(x[1], -1 / std::sqrt(5.0), 1e-6);
  EXPECT_EQ(x[2], 0);
  ASSERT_TRUE(sets.stored.contains("standardise.0"));
  EXPECT_THAT(sets.stored.at("standardise.0"), HasSubstr("\"mean\":[3.0,10.0]"));
}

}  // namespace
}  // namespace ingot::data
