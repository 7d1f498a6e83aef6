// One reader for each kind of file, each of which ends in rows of the model's raw input.
#include "ingot/cli/prediction_input.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/base/text.h"
#include "ingot/cli/file_kind.h"
#include "ingot/data/csv_source.h"
#include "ingot/data/transforms.h"
#include "ingot/formats/csv.h"
#include "ingot/formats/image.h"

namespace ingot::cli {
namespace {

Shape Rows(int64_t n, const Shape& row) {
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), row.dims().begin(), row.dims().end());
  return Shape(dims);
}

std::string TypeText(const data::Field& field) {
  return std::string(Name(field.dtype)) + field.shape.ToString();
}

// ---- pictures

PredictionInput ReadPicture(const std::string& path, const data::Field& wanted) {
  const Shape& shape = wanted.shape;
  const int channels = shape.rank() == 3 ? static_cast<int>(shape[2]) : 1;
  const bool takes_pictures = wanted.dtype == DType::kU8 &&
                              (shape.rank() == 2 || shape.rank() == 3) &&
                              (channels == 1 || channels == 3);
  if (!takes_pictures) {
    throw Error(ErrorCode::kInvalidInput,
                "'" + path + "' is a picture, but the model takes " + TypeText(wanted));
  }
  const Tensor picture = formats::ConvertImage(formats::ReadPng(path), channels);
  if (picture.shape()[0] != shape[0] || picture.shape()[1] != shape[1]) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("'{}' is {} x {} pixels, but the model takes {} x {} ({})", path,
                            picture.shape()[1], picture.shape()[0], shape[1], shape[0],
                            channels == 1 ? "grey" : "RGB"),
                "scale it to that size first; the background should be as in the training data");
  }
  return {picture.Reshape(Rows(1, shape)), true};
}

// ---- arrays

// Types that hold the model's values exactly or are made for it: floats for floats.
bool Converts(DType from, DType to) {
  const bool number = from != DType::kBool && (IsInteger(from) || IsFloat(from));
  return from == to || (number && IsFloat(to));
}

PredictionInput ReadArray(const std::string& path, FileKind kind, const data::Field& wanted) {
  Tensor array = ReadTensorFile(path, kind);
  const bool single = array.shape() == wanted.shape && array.shape().rank() > 0;
  const bool several = array.shape().rank() > 0 && array.shape()[0] > 0 &&
                       array.shape() == Rows(array.shape()[0], wanted.shape);
  if (!Converts(array.dtype(), wanted.dtype) || (!single && !several)) {
    std::string rows = std::string(Name(wanted.dtype)) + "[n";
    for (const int64_t dim : wanted.shape.dims()) rows += fmt::format(", {}", dim);
    throw Error(ErrorCode::kInvalidInput,
                "'" + path + "' holds " + array.Describe() + ", but the model takes " + rows + "]");
  }
  if (array.dtype() != wanted.dtype) array = array.Cast(wanted.dtype);
  if (single) array = array.Reshape(Rows(1, wanted.shape));
  return {array, single};
}

// ---- tables

// The mean of a feature in the training data: missing values stand for it there too.
std::vector<double> TrainingMeans(infer::Predictor& predictor) {
  const data::DataSets& data = predictor.data();
  const auto field = static_cast<size_t>(data.train->FieldIndex("x"));
  return data::FieldStatistics(*data.train, data::Selection::All(data.train->size()),
                               data::Conversion(data.train->fields()[field]))
      .mean;
}

// The columns of the features, in the model's order.
std::vector<size_t> FeatureColumns(const formats::CsvReader& csv,
                                   const data::CsvSourceOptions& options, size_t features) {
  std::vector<size_t> columns;
  if (!options.features.empty()) {
    for (const std::string& name : options.features) columns.push_back(csv.Column(name));
    return columns;
  }
  for (size_t i = 0; i < csv.header().size(); ++i) {
    if (options.label.empty() || csv.header()[i] != options.label) columns.push_back(i);
  }
  // By default the label is the last column.
  if (options.label.empty() && columns.size() == features + 1) columns.pop_back();
  if (columns.size() == features) return columns;
  throw Error(ErrorCode::kInvalidInput,
              fmt::format("'{}' has {} columns without the label, but the model takes {} features",
                          csv.name(), columns.size(), features));
}

class TableReader {
 public:
  TableReader(infer::Predictor& predictor, const data::CsvSourceOptions& options)
      : predictor_(predictor), options_(options) {}

  Tensor Read(const std::string& path) {
    formats::CsvReader csv(path, {.separator = options_.separator[0], .header = options_.header});
    const data::Field& wanted = predictor_.raw_input();
    const auto features = static_cast<size_t>(wanted.shape.size());
    const std::vector<size_t> columns = FeatureColumns(csv, options_, features);
    std::vector<double> values;
    while (csv.Next()) {
      for (size_t f = 0; f < features; ++f) values.push_back(Value(csv, columns[f], f));
    }
    if (values.empty()) {
      throw Error(ErrorCode::kInvalidInput, "'" + path + "' has no rows of data");
    }
    const auto rows = static_cast<int64_t>(values.size() / std::max<size_t>(features, 1));
    return Tensor::Of<double>(Rows(rows, wanted.shape), std::span<const double>(values))
        .Cast(wanted.dtype);
  }

 private:
  double Value(const formats::CsvReader& csv, size_t column, size_t feature) {
    const std::string_view text = Trim(csv.fields()[column]);
    const std::vector<std::string>& missing = options_.missing_texts;
    if (std::find(missing.begin(), missing.end(), text) == missing.end()) return csv.Number(column);
    if (options_.missing == "error") csv.Fail(column, "the value is missing");
    if (options_.missing == "zero") return 0;
    if (options_.missing == "constant") return options_.missing_value;
    if (means_.empty()) means_ = TrainingMeans(predictor_);
    return means_[feature];
  }

  infer::Predictor& predictor_;
  const data::CsvSourceOptions& options_;
  std::vector<double> means_;
};

// A table for a model that was not trained on one: all the numbers of a sample in a row.
Tensor ReadNumbers(const std::string& path, const data::Field& wanted) {
  formats::CsvReader csv(path, {.header = false});
  const int64_t width = wanted.shape.size();
  std::vector<double> values;
  bool is_first = true;
  while (csv.Next()) {
    if (static_cast<int64_t>(csv.fields().size()) != width) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("{}:{}: {} columns, but a sample of the model has {} numbers ({})",
                              path, csv.line(), csv.fields().size(), width, TypeText(wanted)));
    }
    const bool is_header = is_first && !formats::ParseNumber(csv.fields()[0]);
    is_first = false;
    if (is_header) continue;
    for (size_t i = 0; i < csv.fields().size(); ++i) {
      const double value = csv.Number(i);
      if (wanted.dtype == DType::kU8 && (value < 0 || value > 255 || value != std::floor(value))) {
        csv.Fail(i, fmt::format("expected a whole number from 0 to 255, got '{}'",
                                std::string(csv.fields()[i])));
      }
      values.push_back(value);
    }
  }
  if (values.empty()) throw Error(ErrorCode::kInvalidInput, "'" + path + "' has no rows of data");
  const auto rows = static_cast<int64_t>(values.size()) / width;
  return Tensor::Of<double>(Rows(rows, wanted.shape), std::span<const double>(values))
      .Cast(wanted.dtype);
}

PredictionInput ReadTable(const std::string& path, infer::Predictor& predictor) {
  const NamedNode source = ReadNamed(predictor.job().data.source, "a source of data");
  if (source.name != "csv") return {ReadNumbers(path, predictor.raw_input()), false};
  const data::CsvSourceOptions options = data::CsvSourceTable().Read(source.options);
  return {TableReader(predictor, options).Read(path), false};
}

}  // namespace

PredictionInput ReadPredictionInput(const std::string& path, infer::Predictor& predictor) {
  switch (const FileKind kind = KindOf(path); kind) {
    case FileKind::kPng:
      return ReadPicture(path, predictor.raw_input());
    case FileKind::kIdx:
    case FileKind::kNpy:
      return ReadArray(path, kind, predictor.raw_input());
    case FileKind::kText:
      return ReadTable(path, predictor);
    case FileKind::kOther:
      break;
  }
  throw Error(ErrorCode::kUnsupported, "'" + path + "' is no PNG, IDX, npy or CSV file",
              "other pictures can be converted to PNG");
}

}  // namespace ingot::cli
