// The test data through the model: loss and metrics by the same code as at the end of training, and
// the scores of every sample for what needs them all.
#include "ingot/cli/evaluation_report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/bars.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/cli/worst_samples.h"
#include "ingot/nn/layer.h"
#include "ingot/train/evaluation.h"
#include "ingot/train/setup.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostClassRows = 40;

// The targets of the test data as the network gets them.
class Targets {
 public:
  explicit Targets(const data::DataSets& data)
      : data_(data),
        conversion_(data.conversions[1]),
        field_(data.test->FieldIndex("y")),
        raw_(conversion_.input().dtype, conversion_.input().shape),
        y_(conversion_.output().dtype, conversion_.output().shape) {}

  // Valid until the next call.
  const Tensor& At(int64_t sample) {
    data_.test->Read(data_.test_selection[sample], field_, raw_.raw());
    conversion_.Apply(raw_.raw(), y_.raw());
    return y_;
  }

  // One-hot targets name the class of their largest value, single floats are 0 or 1.
  int64_t ClassAt(int64_t sample) {
    const Tensor& y = At(sample);
    if (IsInteger(y.dtype())) return y.ToInts()[0];
    const std::vector<double> values = y.ToDoubles();
    if (values.size() == 1) return values[0] > 0.5 ? 1 : 0;
    return std::max_element(values.begin(), values.end()) - values.begin();
  }

 private:
  const data::DataSets& data_;
  const data::Conversion& conversion_;
  int field_;
  Tensor raw_;
  Tensor y_;
};

// The logarithms of the probabilities that rows of logits stand for: they rank the samples of one
// class as the probabilities do, which the logits do not, and do not run into 1.
void TakeLogSoftmax(std::vector<double>& logits, int64_t columns) {
  for (auto row = logits.begin(); row != logits.end(); row += columns) {
    const double largest = *std::max_element(row, row + columns);
    double sum = 0;
    for (auto value = row; value != row + columns; ++value) sum += std::exp(*value - largest);
    for (auto value = row; value != row + columns; ++value) *value -= largest + std::log(sum);
  }
}

// [n, C] scores for [n, C] or, where one value decides between two classes, [n, 1].
Tensor Scores(const TensorView& output, nn::OutputKind kind) {
  const int64_t n = output.dim(0);
  const int64_t columns = n == 0 ? 0 : output.size() / n;
  Tensor scores(output.dtype, Shape{n, columns == 1 ? 2 : columns});
  std::vector<double> values(static_cast<size_t>(output.size()));
  ConvertElements(output.data, output.dtype, values.data(), DType::kF64, output.size());
  if (columns != 1) {
    if (kind == nn::OutputKind::kLogits) TakeLogSoftmax(values, columns);
    ConvertElements(values.data(), DType::kF64, scores.raw(), output.dtype, output.size());
    return scores;
  }
  std::vector<double> pairs;
  for (const double value : values) {
    pairs.push_back(kind == nn::OutputKind::kProbabilities ? 1 - value : -value);
    pairs.push_back(value);
  }
  ConvertElements(pairs.data(), DType::kF64, scores.raw(), output.dtype, 2 * n);
  return scores;
}

Tensor TargetRows(Targets& targets, int64_t first, const TensorView& output) {
  Tensor rows(DType::kF64, Shape(output.dims));
  std::span<double> values = rows.data<double>();
  const size_t width = values.size() / static_cast<size_t>(output.dim(0));
  for (int64_t i = 0; i < output.dim(0); ++i) {
    const std::vector<double> target = targets.At(first + i).ToDoubles();
    if (target.size() != width) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("the model gives {} values for a sample, its targets have {}", width,
                              target.size()));
    }
    std::copy(target.begin(), target.end(), values.begin() + static_cast<int64_t>(width) * i);
  }
  return rows;
}

// NaN: not defined for these data.
std::string Score(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.4f}", value);
}
Json Number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

std::string ClassTable(const EvaluationReport& report) {
  const std::vector<train::ClassScores>& classes = report.classification->per_class;
  size_t width = 5;
  for (size_t c = 0; c < classes.size(); ++c) {
    width = std::max(width, DisplayWidth(ClassName(report, static_cast<int64_t>(c))));
  }
  const auto line = [width](const std::string& name, const std::string& samples,
                            const std::string& precision, const std::string& recall,
                            const std::string& f1, const std::string& auc) {
    return name + std::string(width - std::min(width, DisplayWidth(name)), ' ') +
           fmt::format(" {:>9} {:>10} {:>8} {:>8} {:>8}\n", samples, precision, recall, f1, auc);
  };
  std::string text = line("class", "samples", "precision", "recall", "F1", "AUC");
  for (size_t c = 0; c < std::min(classes.size(), kMostClassRows); ++c) {
    const train::ClassScores& scores = classes[c];
    text +=
        line(ClassName(report, static_cast<int64_t>(c)), WithThousands(scores.support),
             Score(scores.precision), Score(scores.recall), Score(scores.f1), Score(scores.auc));
  }
  if (classes.size() > kMostClassRows) {
    text += fmt::format("... and {} more (--json has all)\n", classes.size() - kMostClassRows);
  }
  const train::ClassificationReport& all = *report.classification;
  return text + line("mean", WithThousands(all.samples), Score(all.macro_precision),
                     Score(all.macro_recall), Score(all.macro_f1), Score(all.macro_auc));
}

std::string ClassificationText(const EvaluationReport& report) {
  const train::ClassificationReport& all = *report.classification;
  int64_t right = 0;
  for (int64_t c = 0; c < all.classes; ++c) {
    right += all.confusion[static_cast<size_t>(c * all.classes + c)];
  }
  std::string text = fmt::format("accuracy  {:.2f}% ({} of {} samples)\n", 100 * all.accuracy,
                                 WithThousands(right), WithThousands(all.samples));
  if (all.k < all.classes) text += fmt::format("top {}     {:.2f}%\n", all.k, 100 * all.top_k);
  for (const auto& [name, value] : report.means) {
    if (name != "accuracy" && name != fmt::format("top_{}", all.k)) {
      text += fmt::format("{:<9} {}\n", name, Score(value));
    }
  }
  return text + "\n" + ClassTable(report) + "\nconfusion matrix\n" + train::ConfusionText(all);
}

Json ClassificationJson(const EvaluationReport& report) {
  const train::ClassificationReport& all = *report.classification;
  Json json;
  json["samples"] = all.samples;
  json["accuracy"] = all.accuracy;
  json[fmt::format("top_{}", all.k)] = all.top_k;
  json["precision"] = Number(all.macro_precision);
  json["recall"] = Number(all.macro_recall);
  json["f1"] = Number(all.macro_f1);
  json["auc"] = Number(all.macro_auc);
  json["classes"] = Json::array();
  for (size_t c = 0; c < all.per_class.size(); ++c) {
    const train::ClassScores& scores = all.per_class[c];
    json["classes"].push_back({{"name", ClassName(report, static_cast<int64_t>(c))},
                               {"samples", scores.support},
                               {"predicted", scores.predicted},
                               {"precision", Number(scores.precision)},
                               {"recall", Number(scores.recall)},
                               {"f1", Number(scores.f1)},
                               {"auc", Number(scores.auc)}});
  }
  json["confusion"] = Json::array();
  for (int64_t row = 0; row < all.classes; ++row) {
    const auto begin = all.confusion.begin() + row * all.classes;
    json["confusion"].push_back(std::vector<int64_t>(begin, begin + all.classes));
  }
  return json;
}

std::string WorstText(const EvaluationReport& report) {
  std::string text = fmt::format("\nworst classified\n{:>8}  {:>6}  {:<16} {:<24} {}\n", "index",
                                 "p", "label", "predicted", "where");
  for (const JudgedSample& sample : report.worst) {
    text += fmt::format(
        "{:>8}  {:>6.4f}  {:<16} {:<24} {}\n", sample.index, sample.probability,
        ClassName(report, sample.label),
        fmt::format("{} ({:.4f})", ClassName(report, sample.predicted), sample.of_predicted),
        sample.where);
  }
  return text;
}

Json WorstJson(const EvaluationReport& report) {
  Json json = Json::array();
  for (const JudgedSample& sample : report.worst) {
    json.push_back({{"index", sample.index},
                    {"label", ClassName(report, sample.label)},
                    {"predicted", ClassName(report, sample.predicted)},
                    {"probability", Number(sample.probability)},
                    {"probability_of_predicted", Number(sample.of_predicted)},
                    {"where", sample.where}});
  }
  return json;
}

// The outputs [n, T, C] of a model that answers for each position of a sequence: its loss is the
// mean over positions, so that exp(loss) is the perplexity.
bool IsSequence(const nn::Network& network, const data::DataSets& data) {
  return network.output_kind != nn::OutputKind::kValues && IsInteger(data.y().dtype) &&
         data.y().shape.rank() > 0;
}

}  // namespace

std::string ClassName(const EvaluationReport& report, int64_t c) {
  const auto at = static_cast<size_t>(c);
  return at < report.class_names.size() ? report.class_names[at] : std::to_string(c);
}

EvaluationReport EvaluateRun(const EvaluationRequest& request) {
  infer::Predictor predictor = infer::Predictor::Load(request.run, request.predictor);
  const data::DataSets& data = predictor.data();
  if (data.test == nullptr) {
    throw Error(ErrorCode::kInvalidInput, "the job of '" + request.run + "' has no test data",
                "name them in data.source of its job.yaml");
  }
  EvaluationReport report;
  report.run = request.run;
  report.checkpoint = predictor.checkpoint();
  report.class_names = data.class_names;
  train::Evaluator evaluator(train::NetworkOptionsOf(predictor.job(), data, false),
                             train::RegistryOf({}), nn::StandardLayers(),
                             data.TestBatches(train::EvaluationBatch(predictor.job().data.batch)),
                             request.predictor.threads);
  const nn::OutputKind kind = evaluator.network().output_kind;
  Targets targets(data);
  std::optional<train::ClassificationMetrics> classification;
  train::RegressionMetrics regression;
  WorstSamples worst(request.worst);
  if (IsSequence(evaluator.network(), data)) {
    report.means = evaluator.Evaluate(predictor.parameters());
    if (!report.means.contains("perplexity")) {
      report.means["perplexity"] = std::exp(report.means.at("loss"));
    }
    return report;
  }
  const auto on_rows = [&](int64_t first, const TensorView& output) {
    if (kind == nn::OutputKind::kValues) {
      regression.Add(output, TargetRows(targets, first, output).view());
      return;
    }
    const Tensor scores = Scores(output, kind);
    if (!classification) classification.emplace(scores.shape()[1]);
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < output.dim(0); ++i) labels.push_back(targets.ClassAt(first + i));
    classification->Add(scores.view(), labels);
    worst.Add(first, output, kind, labels);
  };
  report.means = evaluator.Evaluate(predictor.parameters(), on_rows, nullptr);
  if (classification) {
    report.classification = classification->Report();
    report.worst = worst.Take();
    for (JudgedSample& sample : report.worst) Locate(data, request.pictures, sample);
  } else {
    report.regression = regression.Report();
  }
  return report;
}

std::string ReportText(const EvaluationReport& report) {
  std::string text = "model     " + report.checkpoint + "\n";
  if (report.classification) {
    text += ClassificationText(report);
    return report.worst.empty() ? text : text + WorstText(report);
  }
  if (!report.regression) {
    for (const auto& [name, value] : report.means)
      text += fmt::format("{:<9} {:.6g}\n", name, value);
    return text;
  }
  const train::RegressionReport& regression = *report.regression;
  text += fmt::format("samples   {}\n", WithThousands(regression.samples));
  text += fmt::format("MAE       {:.6g}\nRMSE      {:.6g}\nR2        {}\n", regression.mae,
                      regression.rmse, Score(regression.r2));
  for (const auto& [name, value] : report.means) {
    if (name != "mae" && name != "rmse") text += fmt::format("{:<9} {:.6g}\n", name, value);
  }
  return text;
}

std::string ReportJson(const EvaluationReport& report) {
  Json json;
  json["run"] = report.run;
  json["checkpoint"] = report.checkpoint;
  for (const auto& [name, value] : report.means) json[name] = Number(value);
  if (report.classification) {
    json.update(ClassificationJson(report));
    if (!report.worst.empty()) json["worst"] = WorstJson(report);
  } else if (report.regression) {
    json["samples"] = report.regression->samples;
    json["mae"] = Number(report.regression->mae);
    json["rmse"] = Number(report.regression->rmse);
    json["r2"] = Number(report.regression->r2);
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ingot::cli
