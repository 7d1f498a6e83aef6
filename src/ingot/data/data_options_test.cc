// The data section of a job: sources, transforms, messages for mistakes.
#include "ingot/data/data_options.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/data/prefetch.h"

namespace ingot::data {
namespace {

using testing::HasSubstr;

constexpr const char* kMnist = INGOT_SOURCE_DIR "/tests/data/mnist";

DataOptions Read(const std::string& yaml) {
  return DataTable().Read(ParseConfig(yaml, "job.yaml"));
}

Error Thrown(const std::string& yaml) {
  try {
    OpenData(Read(yaml), 0);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kInternal, "");
}

TEST(DataOptionsTest, OpensMnist) {
  const DataSets sets = OpenData(Read(std::string("batch: 128\nfolder: ") + kMnist), 1);
  EXPECT_EQ(sets.train->size(), 2000);
  EXPECT_EQ(sets.test->size(), 500);
  EXPECT_EQ(sets.x().Describe(), "x f32[28, 28]");
  EXPECT_EQ(sets.y().Describe(), "y i64[]");
  EXPECT_EQ(sets.y().classes, 10);
  EXPECT_EQ(sets.TrainingBatches(1)->StepsPerEpoch(), 16);
  EXPECT_EQ(sets.TestBatches(1000)->StepsPerEpoch(), 1);
  EXPECT_EQ(sets.ValidationBatches(1000), nullptr);
  // Bytes are divided by 255 unless the job says otherwise.
  const auto batches = sets.TrainingBatches(1);
  std::vector<float> x(784);
  int64_t y = 0;
  batches->Fill(0, 0, 1, std::vector<void*>{x.data(), &y});
  EXPECT_FLOAT_EQ(*std::max_element(x.begin(), x.end()), 1.0f);
  EXPECT_EQ(WithPrefetch(batches, sets.options), batches);
}

TEST(DataOptionsTest, BytesThatAreOnlyScaledMayStayBytes) {
  const std::string folder = std::string("folder: ") + kMnist;
  const DataSets sets = OpenData(Read(folder), 1);
  ASSERT_TRUE(sets.ScaleOfBytes());
  std::vector<float> x(784);
  std::vector<uint8_t> bytes(784);
  int64_t y = 0;
  sets.TrainingBatches(1)->Fill(3, 1, 1, std::vector<void*>{x.data(), &y});
  sets.TrainingBatches(1, true)->Fill(3, 1, 1, std::vector<void*>{bytes.data(), &y});
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(x[i], static_cast<float>(bytes[i]) * *sets.ScaleOfBytes());
  }
  EXPECT_FALSE(OpenData(Read(folder), 1, DType::kF64).ScaleOfBytes());
  const std::string shifted = "\ntransforms: [{normalise: {divide: 255, mean: [0.1]}}]";
  EXPECT_FALSE(OpenData(Read(folder + shifted), 1).ScaleOfBytes());
}

TEST(DataOptionsTest, AsksForMnistOnlyWhereTheJobDoesNotSay) {
  int asked = 0;
  const DataSets sets = OpenData(Read("source: mnist"), 1, DType::kF64, [&] {
    ++asked;
    return std::string(kMnist);
  });
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(sets.x().dtype, DType::kF64);
}

TEST(DataOptionsTest, LimitsSplitsAndTransforms) {
  const DataSets sets = OpenData(Read(std::string(R"(
limit: 1000
validation: 0.2
batch: 100
drop_last: true
prefetch: on
transforms:
  - normalise: {divide: 255, mean: [0.1307], std: [0.3081]}
  - flatten
  - one_hot
folder: )") + kMnist),
                                 1);
  EXPECT_EQ(sets.train_selection.size(), 800);
  EXPECT_EQ(sets.validation_selection.size(), 200);
  EXPECT_EQ(sets.x().Describe(), "x f32[784]");
  EXPECT_EQ(sets.y().Describe(), "y f32[10]");
  EXPECT_EQ(sets.ValidationBatches(64)->StepsPerEpoch(), 4);
  const auto batches = sets.TrainingBatches(1);
  EXPECT_NE(dynamic_cast<const Prefetcher*>(WithPrefetch(batches, sets.options).get()), nullptr);
}

TEST(DataOptionsTest, OpensCsvBesideTheJob) {
  const TestFolder folder;
  std::ofstream(folder / "train.csv") << "a,b,y\n1,2,3\n4,5,6\n";
  std::ofstream(folder / "test.csv") << "a,b,y\n7,8,9\n";
  std::ofstream(folder / "job.yaml") << "batch: 2\nsource:\n  csv: {train: train.csv, test: "
                                        "test.csv}\n";
  const DataSets sets = OpenData(DataTable().Read(LoadConfig(folder / "job.yaml")), 0);
  EXPECT_EQ(sets.train->size(), 2);
  EXPECT_EQ(sets.test->size(), 1);
  EXPECT_EQ(sets.x().Describe(), "x f32[2]");
  EXPECT_EQ(sets.y().Describe(), "y f32[1]");
}

TEST(DataOptionsTest, OpensIdxFilesByName) {
  const DataSets sets = OpenData(
      Read(std::string("source: {idx: {train_images: t10k-images-idx3-ubyte.gz, train_labels: "
                       "t10k-labels-idx1-ubyte.gz}}\nfolder: ") +
           kMnist),
      0);
  EXPECT_EQ(sets.train->size(), 500);
  EXPECT_EQ(sets.test, nullptr);
}

TEST(DataOptionsTest, SaysWhatIsWrong) {
  Error error = Thrown("source: mnits");
  EXPECT_EQ(error.message(), "job.yaml:1:9: source: unknown source 'mnits'");
  EXPECT_THAT(error.hint(), HasSubstr("mnist"));
  error = Thrown("source: mnist\nfolder: /nowhere/at/all");
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.message(), HasSubstr("there is no folder '/nowhere/at/all'"));
  error = Thrown("source: {csv: {}}");
  EXPECT_THAT(error.message(), HasSubstr("train"));
  error = Thrown("source: {csv: {train: a.csv, lable: y}}");
  EXPECT_THAT(error.message(), HasSubstr("lable"));
  EXPECT_THAT(error.hint(), HasSubstr("label"));
  error = Thrown("source: {idx: {train_images: a}}");
  EXPECT_THAT(error.message(), HasSubstr("images and labels need a file each"));
  EXPECT_THROW(Read("batch: 0"), Error);
  EXPECT_THROW(Read("batch: -3"), Error);
  EXPECT_THROW(Read("validation: 1"), Error);
  EXPECT_THROW(Read("prefetch: maybe"), Error);
}

TEST(DataOptionsTest, EverySourceHasHelp) {
  for (const SourceKind& kind : SourceKinds()) {
    EXPECT_FALSE(kind.summary.empty()) << kind.name;
    for (const OptionHelp& row : kind.help()) EXPECT_FALSE(row.help.empty()) << row.path;
  }
}

}  // namespace
}  // namespace ingot::data
