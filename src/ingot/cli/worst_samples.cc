// WorstSamples, and the pictures of an evaluation: see worst_samples.h and evaluation_report.h.
#include "ingot/cli/worst_samples.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/plot/contact_sheet.h"
#include "ingot/plot/heat_map.h"
#include "ingot/plot/picture.h"

namespace ingot::cli {
namespace {

bool IsWorse(const JudgedSample& a, const JudgedSample& b) {
  return a.probability != b.probability ? a.probability < b.probability : a.index < b.index;
}

// Of one row of outputs, in place: one value becomes two classes, logits become probabilities.
void ToProbabilities(nn::OutputKind kind, std::vector<double>& row) {
  if (row.size() == 1) {
    const double p = kind == nn::OutputKind::kProbabilities ? row[0] : 1 / (1 + std::exp(-row[0]));
    row = {1 - p, p};
    return;
  }
  if (kind == nn::OutputKind::kProbabilities) return;
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (double& value : row) sum += value = std::exp(value - largest);
  for (double& value : row) value /= sum;
}

}  // namespace

void WorstSamples::Add(int64_t first, const TensorView& output, nn::OutputKind kind,
                       std::span<const int64_t> labels) {
  if (count_ == 0 || labels.empty()) return;
  const auto columns = static_cast<size_t>(output.size()) / labels.size();
  std::vector<double> values(static_cast<size_t>(output.size()));
  ConvertElements(output.data, output.dtype, values.data(), DType::kF64, output.size());
  std::vector<double> row;
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(i * columns);
    row.assign(begin, begin + static_cast<std::ptrdiff_t>(columns));
    ToProbabilities(kind, row);
    JudgedSample sample;
    sample.index = first + static_cast<int64_t>(i);
    sample.label = labels[i];
    sample.predicted = std::max_element(row.begin(), row.end()) - row.begin();
    sample.probability = row[static_cast<size_t>(labels[i])];
    sample.of_predicted = row[static_cast<size_t>(sample.predicted)];
    kept_.push_back(std::move(sample));
    std::push_heap(kept_.begin(), kept_.end(), IsWorse);
    if (static_cast<int64_t>(kept_.size()) <= count_) continue;
    std::pop_heap(kept_.begin(), kept_.end(), IsWorse);
    kept_.pop_back();
  }
}

std::vector<JudgedSample> WorstSamples::Take() {
  std::sort(kept_.begin(), kept_.end(), IsWorse);
  return std::exchange(kept_, {});
}

void Locate(const data::DataSets& data, bool with_picture, JudgedSample& sample) {
  const int64_t record = data.test_selection[sample.index];
  sample.where = data.test->Where(record);
  if (!with_picture) return;
  const int field = data.test->FieldIndex("x");
  const data::Field& x = data.test->fields()[static_cast<size_t>(field)];
  Tensor raw(x.dtype, x.shape);
  data.test->Read(record, field, raw.raw());
  sample.picture = plot::AsPicture(raw);
}

std::string ConfusionPicture(const EvaluationReport& report, const std::string& path) {
  if (!report.classification) {
    throw Error(ErrorCode::kInvalidInput, "the model of '" + report.run +
                                              "' is no classifier of "
                                              "samples: it has no confusion matrix");
  }
  const train::ClassificationReport& all = *report.classification;
  plot::HeatMap map;
  map.title = fmt::format("{}: accuracy {:.2f}% of {} samples", report.run, 100 * all.accuracy,
                          WithThousands(all.samples));
  map.row_title = "label";
  map.column_title = "predicted";
  for (int64_t c = 0; c < all.classes; ++c) map.names.push_back(ClassName(report, c));
  map.counts = all.confusion;
  const plot::Rectangle size = plot::SizeOf(map);
  return plot::DrawFile(path, size.width, size.height,
                        [&map](plot::Canvas& canvas) { plot::DrawHeatMap(map, canvas); });
}

std::string WorstSheet(const EvaluationReport& report) {
  std::vector<plot::SheetPicture> pictures;
  for (const JudgedSample& sample : report.worst) {
    if (!sample.picture) continue;
    pictures.push_back(
        {*sample.picture,
         {fmt::format("is {} {:.4f}", ClassName(report, sample.label), sample.probability),
          fmt::format("said {} {:.2f}", ClassName(report, sample.predicted), sample.of_predicted),
          fmt::format("#{}", sample.index)}});
    if (sample.label == sample.predicted) pictures.back().captions[1] = "said so";
  }
  if (pictures.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                "there is no sheet of worst-classified pictures to draw for '" + report.run + "'",
                "the model must be a classifier, and its data pictures: [h, w], [h, w, 3] or "
                "[3, h, w] a sample");
  }
  return plot::DrawContactSheet(report.run + ": worst classified", pictures);
}

}  // namespace ingot::cli
