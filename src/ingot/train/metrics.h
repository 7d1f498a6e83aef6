// Metrics: from the sums of a run's steps (accuracy, top-k, MAE, RMSE), and from the predictions of
// a whole data set (confusion matrix, precision, recall, F1, AUC), as `ingot eval` reports them.
//
// Everything here is computed in double, in the order of the samples, by the calling thread:
// the same predictions give the same bits. No class here may be used from two threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/tensor/tensor.h"

namespace ingot::train {

// True where a larger value of the metric is better ("accuracy", "top_5", "auc"); false for losses
// and errors ("loss", "mae", "rmse", "perplexity"). A prefix such as "validation_" does not matter.
bool LargerIsBetter(std::string_view metric);

// The value of a metric over samples whose per-sample values add up to `sum`: sum / weight, and its
// square root for "rmse" (whose per-sample value is the squared error), its exp for "perplexity"
// (whose per-sample value is the cross-entropy). NaN where weight is 0.
double MetricFromSum(std::string_view metric, double sum, double weight);

// The scores of one class. Precision, recall and F1 are 0 where they are 0/0, as scikit-learn
// defines them; `auc` is NaN where the data have no sample of the class, or no other.
struct ClassScores {
  int64_t support = 0;    // samples of this class
  int64_t predicted = 0;  // samples that were predicted to be of this class
  double precision = 0;   // true positives / predicted
  double recall = 0;      // true positives / support
  double f1 = 0;          // harmonic mean of the two
  double auc = 0;         // area under the ROC curve, this class against the rest
};

struct ClassificationReport {
  int64_t samples = 0;
  int64_t classes = 0;
  double accuracy = 0;
  double top_k = 0;  // share of samples whose label is among the k largest scores
  int64_t k = 0;
  // confusion[label * classes + prediction]: number of samples.
  std::vector<int64_t> confusion;
  std::vector<ClassScores> per_class;
  // Means over the classes that have samples (for AUC: where it is defined), each class alike.
  double macro_precision = 0;
  double macro_recall = 0;
  double macro_f1 = 0;
  double macro_auc = 0;
};

// Collects scores and labels of a data set batch by batch. Keeps all scores (4 bytes a score) for
// the AUC, which needs them sorted.
class ClassificationMetrics {
 public:
  // Throws Error(kInvalidInput) unless classes >= 2 and 1 <= k. k above `classes` means all.
  explicit ClassificationMetrics(int64_t classes, int64_t k = 5);

  // `scores` [n, classes], f32 or f64, larger is likelier (logits or probabilities); `labels` n
  // class numbers. The prediction is the largest score; equal scores: the lower class first.
  // Throws Error(kInvalidInput) for a wrong shape or a label outside [0, classes), and
  // Error(kNumeric) for a score that is NaN.
  void Add(const TensorView& scores, std::span<const int64_t> labels);

  int64_t samples() const { return static_cast<int64_t>(labels_.size()); }
  // Throws Error(kInvalidInput) where nothing was added.
  ClassificationReport Report() const;

 private:
  int64_t classes_;
  int64_t k_;
  int64_t top_k_hits_ = 0;
  std::vector<float> scores_;    // [n, classes]
  std::vector<int64_t> labels_;  // [n]
  std::vector<int64_t> confusion_;
};

// Area under the ROC curve by the Mann-Whitney statistic: the chance that a positive sample has a
// larger score than a negative one, equal scores counting half. `positive` holds one flag for each
// score. NaN where there is no positive or no negative sample.
double AreaUnderCurve(std::span<const float> scores, std::span<const uint8_t> positive);

struct RegressionReport {
  int64_t samples = 0;
  double mae = 0;   // mean absolute error over samples and outputs
  double rmse = 0;  // root of the mean squared error over samples and outputs
  double r2 = 0;  // 1 - squared error / squared deviation from the targets' mean, over all outputs;
                  // NaN where the targets are all equal
};

class RegressionMetrics {
 public:
  // `prediction` and `target` of one shape [n, ...], each f32 or f64.
  // Throws Error(kInvalidInput) where the shapes differ.
  void Add(const TensorView& prediction, const TensorView& target);
  // Throws Error(kInvalidInput) where nothing was added.
  RegressionReport Report() const;

 private:
  int64_t samples_ = 0;
  int64_t values_ = 0;
  double absolute_ = 0;
  double squared_ = 0;
  double mean_ = 0;       // of the targets so far (Welford's running mean)
  double deviation_ = 0;  // sum of squared deviations from it
};

// The confusion matrix as text, one row for each label, for terminals; above 20 classes only the
// 20 most frequent confusions are listed.
std::string ConfusionText(const ClassificationReport& report);

}  // namespace ingot::train
