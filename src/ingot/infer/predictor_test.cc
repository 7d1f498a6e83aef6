// Predictor: a model that was trained here says the same as its training did.
#include "ingot/infer/predictor.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/test_folder.h"
#include "ingot/train/trainer.h"

namespace ingot::infer {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr char kJob[] = R"(
epochs: 3
data: {source: mnist, batch: 50, folder: )" INGOT_SOURCE_DIR R"(/tests/data/mnist}
model:
  layers: [flatten, {dense: {units: 16, activation: relu}}, {dense: 10}]
optimizer: {adam: {learning_rate: 0.005}}
log: {tensorboard: false}
)";

class PredictorTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TestFolder;
    train::TrainRequest request;
    request.job = train::ReadJob(ParseConfig(kJob, "job"));
    request.out = Run();
    request.threads = 2;
    result_ = new train::TrainResult(train::Train(request));
  }
  static void TearDownTestSuite() {
    delete result_;
    delete folder_;
    result_ = nullptr;
    folder_ = nullptr;
  }
  static std::string Run() { return *folder_ / "run"; }

  static TestFolder* folder_;
  static train::TrainResult* result_;
};

TestFolder* PredictorTest::folder_ = nullptr;
train::TrainResult* PredictorTest::result_ = nullptr;

std::vector<int64_t> ArgMax(const Tensor& rows) {
  const std::vector<double> values = rows.ToDoubles();
  const auto columns = static_cast<size_t>(rows.shape()[1]);
  std::vector<int64_t> best;
  for (size_t i = 0; i < values.size(); i += columns) {
    const auto row = values.begin() + static_cast<std::ptrdiff_t>(i);
    best.push_back(std::max_element(row, row + static_cast<std::ptrdiff_t>(columns)) - row);
  }
  return best;
}

TEST_F(PredictorTest, SaysWhatItTakes) {
  const Predictor predictor = Predictor::Load(Run());
  EXPECT_EQ(predictor.raw_input().Describe(), "x u8[28, 28]");
  EXPECT_EQ(predictor.input().dtype, DType::kF32);
  EXPECT_EQ(predictor.output_shape(), (Shape{10}));
  EXPECT_EQ(predictor.classes(), 10);
  EXPECT_EQ(predictor.output_kind(), nn::OutputKind::kLogits);
  EXPECT_EQ(predictor.checkpoint(), Run() + "/checkpoints/final");
}

TEST_F(PredictorTest, TheTestAccuracyComesOutAgain) {
  Predictor predictor = Predictor::Load(Run());
  const std::shared_ptr<const data::Batches> batches = predictor.data().TestBatches(64);
  const Tensor outputs = predictor.PredictAll(*batches);
  ASSERT_EQ(outputs.shape(), (Shape{500, 10}));
  const std::vector<int64_t> predicted = ArgMax(outputs);
  int64_t right = 0;
  for (int64_t i = 0; i < 500; ++i) {
    uint8_t label = 0;
    predictor.data().test->Read(i, 1, &label);
    right += predicted[static_cast<size_t>(i)] == label ? 1 : 0;
  }
  EXPECT_DOUBLE_EQ(static_cast<double>(right) / 500, result_->summary.test_accuracy.value());
  EXPECT_GT(right, 350);
}

TEST_F(PredictorTest, RawImagesGoThroughTheTransformsOfTraining) {
  Predictor predictor = Predictor::Load(Run());
  Tensor raw(DType::kU8, Shape{300, 28, 28});
  for (int64_t i = 0; i < 300; ++i) predictor.data().test->Read(i, 0, raw.raw() + i * 784);
  const Tensor outputs = predictor.PredictRaw(raw);
  const Tensor all = predictor.PredictAll(*predictor.data().TestBatches(100));
  const std::vector<double> expected = all.ToDoubles();
  const std::vector<double> actual = outputs.ToDoubles();
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-4) << i;
  const Tensor probabilities = predictor.Probabilities(outputs);
  double sum = 0;
  for (size_t i = 0; i < 10; ++i) sum += probabilities.ToDoubles()[i];
  EXPECT_NEAR(sum, 1, 1e-6);
  EXPECT_EQ(ArgMax(probabilities), ArgMax(outputs));
}

TEST_F(PredictorTest, NeedsNoTrainingData) {
  const TestFolder other;
  fs::copy(Run(), other / "run", fs::copy_options::recursive);
  PredictorOptions options;
  options.data_folder = other / "nowhere";
  options.checkpoint = "newest";
  Predictor predictor = Predictor::Load(other / "run", options);
  EXPECT_THAT(predictor.checkpoint(), HasSubstr("/checkpoints/step-00000120"));
  EXPECT_EQ(predictor.PredictRaw(Tensor(DType::kU8, Shape{1, 28, 28})).shape(), (Shape{1, 10}));
  EXPECT_THROW(predictor.data(), Error);
}

TEST_F(PredictorTest, WrongInputsAreNamed) {
  Predictor predictor = Predictor::Load(Run());
  try {
    predictor.PredictRaw(Tensor(DType::kU8, Shape{2, 32, 32}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "the raw input is u8[2, 32, 32], but the model takes u8[n, 28, 28]");
  }
  try {
    Predictor::Load(*folder_ / "elsewhere");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), HasSubstr("is no run directory: it holds no job.yaml"));
  }
  PredictorOptions options;
  options.checkpoint = "finall";
  try {
    Predictor::Load(Run(), options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.hint(), HasSubstr("did you mean 'final'?"));
  }
}

TEST_F(PredictorTest, ADamagedModelIsRefused) {
  const TestFolder other;
  fs::copy(Run(), other / "run", fs::copy_options::recursive);
  const std::string path = other / "run/checkpoints/final/model.safetensors";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-3, std::ios::end);
  file.put('x');
  file.close();
  try {
    Predictor::Load(other / "run");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_EQ(error.message(), path + " is damaged: its SHA-256 is not the one in the manifest");
  }
}

}  // namespace
}  // namespace ingot::infer
