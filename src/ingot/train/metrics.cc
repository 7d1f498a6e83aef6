// Metrics: see metrics.h.
#include "ingot/train/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::train {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

double Ratio(double numerator, double denominator) {
  return denominator == 0 ? 0 : numerator / denominator;
}

double ElementOf(const TensorView& view, int64_t i) {
  if (view.dtype == DType::kF32) return view.as<const float>()[i];
  if (view.dtype == DType::kF64) return view.as<const double>()[i];
  ThrowUnsupportedDType("metrics", view.dtype);
}

// The mean of the values that are not NaN.
class DefinedMean {
 public:
  void Add(double value) {
    if (std::isnan(value)) return;
    sum_ += value;
    ++count_;
  }
  double value() const { return count_ == 0 ? kUndefined : sum_ / static_cast<double>(count_); }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

std::string_view WithoutPrefix(std::string_view metric) {
  for (const std::string_view prefix : {"validation_", "test_", "train_"}) {
    if (metric.substr(0, prefix.size()) == prefix) return metric.substr(prefix.size());
  }
  return metric;
}

}  // namespace

bool LargerIsBetter(std::string_view metric) {
  const std::string_view name = WithoutPrefix(metric);
  static constexpr std::string_view kErrors[] = {"loss", "mae",        "mse",
                                                 "rmse", "perplexity", "bits_per_byte"};
  return std::find(std::begin(kErrors), std::end(kErrors), name) == std::end(kErrors);
}

double MetricFromSum(std::string_view metric, double sum, double weight) {
  if (weight == 0) return kUndefined;
  const double mean = sum / weight;
  const std::string_view name = WithoutPrefix(metric);
  if (name == "rmse") return std::sqrt(mean);
  return name == "perplexity" ? std::exp(mean) : mean;
}

ClassificationMetrics::ClassificationMetrics(int64_t classes, int64_t k)
    : classes_(classes), k_(std::min(k, classes)) {
  if (classes < 2) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("classification metrics need 2 or more classes, not {}", classes));
  }
  if (k < 1) {
    throw Error(ErrorCode::kInvalidInput, fmt::format("top-k needs k of 1 or more, not {}", k));
  }
  confusion_.assign(static_cast<size_t>(classes * classes), 0);
}

void ClassificationMetrics::Add(const TensorView& scores, std::span<const int64_t> labels) {
  const auto n = static_cast<int64_t>(labels.size());
  if (scores.rank() != 2 || scores.dim(0) != n || scores.dim(1) != classes_) {
    throw Error(
        ErrorCode::kInvalidInput,
        fmt::format("scores of shape {} do not fit {} labels of {} classes: expected [{}, {}]",
                    Shape(scores.dims).ToString(), n, classes_, n, classes_));
  }
  for (int64_t row = 0; row < n; ++row) {
    const int64_t label = labels[static_cast<size_t>(row)];
    if (label < 0 || label >= classes_) {
      throw Error(
          ErrorCode::kInvalidInput,
          fmt::format("the label of sample {} is {}, outside [0, {})", samples(), label, classes_));
    }
    const auto first = scores_.size();
    for (int64_t c = 0; c < classes_; ++c) {
      const double score = ElementOf(scores, row * classes_ + c);
      if (std::isnan(score)) {
        scores_.resize(first);
        throw Error(ErrorCode::kNumeric,
                    fmt::format("the score of sample {} for class {} is NaN", samples(), c));
      }
      scores_.push_back(static_cast<float>(score));
    }
    const float* values = scores_.data() + first;
    const auto best = std::max_element(values, values + classes_) - values;
    // The label's rank: how many classes come before it, equal scores in the order of the classes.
    int64_t before = 0;
    for (int64_t c = 0; c < classes_; ++c) {
      before += values[c] > values[label] || (values[c] == values[label] && c < label) ? 1 : 0;
    }
    top_k_hits_ += before < k_ ? 1 : 0;
    ++confusion_[static_cast<size_t>(label * classes_ + best)];
    labels_.push_back(label);
  }
}

ClassificationReport ClassificationMetrics::Report() const {
  if (labels_.empty()) {
    throw Error(ErrorCode::kInvalidInput, "there is no sample to evaluate");
  }
  ClassificationReport report;
  report.samples = samples();
  report.classes = classes_;
  report.k = k_;
  report.top_k = Ratio(static_cast<double>(top_k_hits_), static_cast<double>(samples()));
  report.confusion = confusion_;
  const auto classes = static_cast<size_t>(classes_);
  int64_t right = 0;
  DefinedMean precision, recall, f1, auc;
  std::vector<float> column(labels_.size());
  std::vector<uint8_t> positive(labels_.size());
  for (size_t c = 0; c < classes; ++c) {
    ClassScores scores;
    const int64_t hits = confusion_[c * classes + c];
    right += hits;
    for (size_t other = 0; other < classes; ++other) {
      scores.support += confusion_[c * classes + other];
      scores.predicted += confusion_[other * classes + c];
    }
    scores.precision = Ratio(static_cast<double>(hits), static_cast<double>(scores.predicted));
    scores.recall = Ratio(static_cast<double>(hits), static_cast<double>(scores.support));
    scores.f1 = Ratio(2 * scores.precision * scores.recall, scores.precision + scores.recall);
    for (size_t i = 0; i < labels_.size(); ++i) {
      column[i] = scores_[i * classes + c];
      positive[i] = labels_[i] == static_cast<int64_t>(c) ? 1 : 0;
    }
    scores.auc = AreaUnderCurve(column, positive);
    if (scores.support > 0) {
      precision.Add(scores.precision);
      recall.Add(scores.recall);
      f1.Add(scores.f1);
      auc.Add(scores.auc);
    }
    report.per_class.push_back(scores);
  }
  report.accuracy = Ratio(static_cast<double>(right), static_cast<double>(samples()));
  report.macro_precision = precision.value();
  report.macro_recall = recall.value();
  report.macro_f1 = f1.value();
  report.macro_auc = auc.value();
  return report;
}

double AreaUnderCurve(std::span<const float> scores, std::span<const uint8_t> positive) {
  INGOT_ASSERT(scores.size() == positive.size(), "one flag for each score");
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  double positives = 0;
  double rank_sum = 0;  // of the positive samples; equal scores share the mean of their ranks
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    double here = 0;
    while (end < order.size() && scores[order[end]] == scores[order[begin]]) {
      here += positive[order[end]] != 0 ? 1 : 0;
      ++end;
    }
    rank_sum += here * (static_cast<double>(begin + 1) + static_cast<double>(end)) / 2;
    positives += here;
    begin = end;
  }
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (positives == 0 || negatives == 0) return kUndefined;
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

void RegressionMetrics::Add(const TensorView& prediction, const TensorView& target) {
  if (prediction.rank() == 0 || !std::equal(prediction.dims.begin(), prediction.dims.end(),
                                            target.dims.begin(), target.dims.end())) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("predictions of shape {} do not fit targets of shape {}",
                            Shape(prediction.dims).ToString(), Shape(target.dims).ToString()));
  }
  for (int64_t i = 0; i < prediction.size(); ++i) {
    const double wanted = ElementOf(target, i);
    const double error = ElementOf(prediction, i) - wanted;
    absolute_ += std::fabs(error);
    squared_ += error * error;
    ++values_;
    const double from_mean = wanted - mean_;
    mean_ += from_mean / static_cast<double>(values_);
    deviation_ += from_mean * (wanted - mean_);
  }
  samples_ += prediction.dim(0);
}

RegressionReport RegressionMetrics::Report() const {
  if (values_ == 0) throw Error(ErrorCode::kInvalidInput, "there is no sample to evaluate");
  RegressionReport report;
  report.samples = samples_;
  report.mae = absolute_ / static_cast<double>(values_);
  report.rmse = std::sqrt(squared_ / static_cast<double>(values_));
  report.r2 = deviation_ == 0 ? kUndefined : 1 - squared_ / deviation_;
  return report;
}

std::string ConfusionText(const ClassificationReport& report) {
  const int64_t classes = report.classes;
  constexpr int64_t kWidest = 20;
  std::string text;
  if (classes <= kWidest) {
    const int64_t largest = *std::max_element(report.confusion.begin(), report.confusion.end());
    const auto width = std::max<size_t>(fmt::format("{}", largest).size(), 2) + 1;
    text = fmt::format("{:>5} ", "label");
    for (int64_t c = 0; c < classes; ++c) text += fmt::format("{:>{}}", c, width);
    text += "  <- predicted\n";
    for (int64_t label = 0; label < classes; ++label) {
      text += fmt::format("{:>5} ", label);
      for (int64_t c = 0; c < classes; ++c) {
        text += fmt::format("{:>{}}", report.confusion[static_cast<size_t>(label * classes + c)],
                            width);
      }
      text += "\n";
    }
    return text;
  }
  struct Cell {
    int64_t count, label, prediction;
  };
  std::vector<Cell> cells;
  for (int64_t i = 0; i < classes * classes; ++i) {
    const int64_t count = report.confusion[static_cast<size_t>(i)];
    if (count > 0 && i / classes != i % classes) cells.push_back({count, i / classes, i % classes});
  }
  std::stable_sort(cells.begin(), cells.end(),
                   [](const Cell& a, const Cell& b) { return a.count > b.count; });
  if (cells.size() > kWidest) cells.resize(kWidest);
  for (const Cell& cell : cells) {
    text += fmt::format("label {} predicted as {}: {}\n", cell.label, cell.prediction, cell.count);
  }
  return text;
}

}  // namespace ingot::train
