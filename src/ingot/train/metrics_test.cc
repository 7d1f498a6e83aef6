// Metrics against values worked out by hand and against scikit-learn's definitions.
#include "ingot/train/metrics.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

ClassificationReport ReportOf(const Tensor& scores, const std::vector<int64_t>& labels,
                              int64_t k = 2) {
  ClassificationMetrics metrics(scores.shape()[1], k);
  metrics.Add(scores.view(), labels);
  return metrics.Report();
}

TEST(Metrics, DirectionAndValueFromSums) {
  EXPECT_TRUE(LargerIsBetter("accuracy"));
  EXPECT_TRUE(LargerIsBetter("validation_top_5"));
  EXPECT_FALSE(LargerIsBetter("loss"));
  EXPECT_FALSE(LargerIsBetter("validation_loss"));
  EXPECT_FALSE(LargerIsBetter("test_rmse"));
  EXPECT_DOUBLE_EQ(MetricFromSum("accuracy", 90, 120), 0.75);
  EXPECT_DOUBLE_EQ(MetricFromSum("rmse", 36, 4), 3);
  EXPECT_DOUBLE_EQ(MetricFromSum("validation_rmse", 36, 4), 3);
  EXPECT_TRUE(std::isnan(MetricFromSum("loss", 1, 0)));
}

TEST(Metrics, ClassificationByHand) {
  // Predictions 0, 1, 1, 2, 0, 2 for labels 0, 0, 1, 1, 2, 2.
  const Tensor scores = Tensor::Of<float>({6, 3}, {0.8f, 0.1f, 0.1f,  //
                                                   0.3f, 0.6f, 0.1f,  //
                                                   0.2f, 0.7f, 0.1f,  //
                                                   0.1f, 0.4f, 0.5f,  //
                                                   0.5f, 0.3f, 0.2f,  //
                                                   0.1f, 0.2f, 0.7f});
  const ClassificationReport report = ReportOf(scores, {0, 0, 1, 1, 2, 2});
  EXPECT_EQ(report.samples, 6);
  EXPECT_DOUBLE_EQ(report.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(report.top_k, 5.0 / 6);  // only sample 4 has its label in third place
  EXPECT_EQ(report.confusion, (std::vector<int64_t>{1, 1, 0, 0, 1, 1, 1, 0, 1}));
  EXPECT_DOUBLE_EQ(report.per_class[0].precision, 0.5);
  EXPECT_DOUBLE_EQ(report.per_class[0].recall, 0.5);
  EXPECT_DOUBLE_EQ(report.per_class[0].f1, 0.5);
  EXPECT_EQ(report.per_class[1].support, 2);
  EXPECT_EQ(report.per_class[2].predicted, 2);
  EXPECT_DOUBLE_EQ(report.macro_f1, 0.5);
  // Class 0: positives 0.8, 0.3; negatives 0.2, 0.1, 0.5, 0.1: 4 + 3 of 8 pairs.
  EXPECT_DOUBLE_EQ(report.per_class[0].auc, 7.0 / 8);
}

TEST(Metrics, AucCountsEqualScoresHalf) {
  const std::vector<uint8_t> positive = {0, 0, 1, 1};
  EXPECT_DOUBLE_EQ(AreaUnderCurve(std::vector<float>{0.1f, 0.4f, 0.35f, 0.8f}, positive), 0.75);
  EXPECT_DOUBLE_EQ(AreaUnderCurve(std::vector<float>{1, 1, 1, 1}, positive), 0.5);
  EXPECT_DOUBLE_EQ(AreaUnderCurve(std::vector<float>{0, 1, 1, 2}, positive), 0.875);
  EXPECT_DOUBLE_EQ(AreaUnderCurve(std::vector<float>{4, 3, 2, 1}, positive), 0);
  EXPECT_TRUE(std::isnan(AreaUnderCurve(std::vector<float>{1, 2}, std::vector<uint8_t>{1, 1})));
}

TEST(Metrics, EqualScoresPredictTheLowerClass) {
  const Tensor scores = Tensor::Of<double>({2, 3}, {1, 1, 0, 1, 1, 0});
  const ClassificationReport report = ReportOf(scores, {0, 1}, 1);
  EXPECT_DOUBLE_EQ(report.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(report.top_k, 0.5);
}

TEST(Metrics, ClassesWithoutSamplesDoNotCountInMacroMeans) {
  const Tensor scores = Tensor::Of<float>({2, 3}, {1, 0, 0, 0, 1, 0});
  const ClassificationReport report = ReportOf(scores, {0, 1});
  EXPECT_DOUBLE_EQ(report.macro_recall, 1);
  EXPECT_EQ(report.per_class[2].support, 0);
  EXPECT_TRUE(std::isnan(report.per_class[2].auc));
  EXPECT_DOUBLE_EQ(report.macro_auc, 1);
}

TEST(Metrics, BadInputIsNamed) {
  ClassificationMetrics metrics(3);
  const Tensor scores = Tensor::Of<float>({1, 3}, {0, 0, 1});
  try {
    metrics.Add(scores.view(), std::vector<int64_t>{3});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(error.message(), "the label of sample 0 is 3, outside [0, 3)");
  }
  try {
    metrics.Add(scores.view(), std::vector<int64_t>{0, 1});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("scores of shape [1, 3] do not fit 2 labels"));
  }
  const Tensor bad = Tensor::Of<float>({1, 3}, {0, std::numeric_limits<float>::quiet_NaN(), 1});
  try {
    metrics.Add(bad.view(), std::vector<int64_t>{0});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    EXPECT_EQ(error.message(), "the score of sample 0 for class 1 is NaN");
  }
  EXPECT_THROW(metrics.Report(), Error);  // nothing whole was added
}

TEST(Metrics, Regression) {
  RegressionMetrics metrics;
  metrics.Add(Tensor::Of<float>({2, 1}, {1, 2}).view(), Tensor::Of<float>({2, 1}, {2, 2}).view());
  metrics.Add(Tensor::Of<float>({1, 1}, {7}).view(), Tensor::Of<double>({1, 1}, {5}).view());
  const RegressionReport report = metrics.Report();
  EXPECT_EQ(report.samples, 3);
  EXPECT_DOUBLE_EQ(report.mae, 1);
  EXPECT_DOUBLE_EQ(report.rmse, std::sqrt(5.0 / 3));
  EXPECT_NEAR(report.r2, 1 - 5.0 / 6.0, 1e-12);
  EXPECT_THROW(metrics.Add(Tensor(DType::kF32, {2}).view(), Tensor(DType::kF32, {3}).view()),
               Error);
}

TEST(Metrics, ConfusionTextShowsEveryCellOrTheWorst) {
  const Tensor scores = Tensor::Of<float>({3, 2}, {1, 0, 0, 1, 1, 0});
  EXPECT_EQ(ConfusionText(ReportOf(scores, {0, 0, 1})),
            "label   0  1  <- predicted\n"
            "    0   1  1\n"
            "    1   1  0\n");
  std::vector<float> wide(2 * 30, 0.0f);
  wide[7] = 1;
  wide[30 + 7] = 1;
  EXPECT_EQ(ConfusionText(ReportOf(Tensor::Of<float>({2, 30}, wide), {7, 29})),
            "label 29 predicted as 7: 1\n");
}

}  // namespace
}  // namespace ingot::train
