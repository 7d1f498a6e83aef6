// Reads a table, checks every cell, and numbers the classes.
#include "ingot/data/csv_source.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/data/source_kind.h"
#include "ingot/formats/csv.h"

namespace ingot::data {

const OptionTable<CsvSourceOptions>& CsvSourceTable() {
  static const auto table =
      OptionTable<CsvSourceOptions>("csv", "a table of numbers with a label column")
          .Add("train", &CsvSourceOptions::train, "the file of the training data")
          .Add("test", &CsvSourceOptions::test, "the file of the test data (default: none)")
          .Required("train")
          .Add("label", &CsvSourceOptions::label, "the label's column (default: the last one)")
          .AddChoice("label_type", &CsvSourceOptions::label_type,
                     "number: regression; class: every distinct text is a class",
                     {"number", "class"})
          .Add("features", &CsvSourceOptions::features,
               "the features' columns, in order (default: all but the label)")
          .AddChoice("missing", &CsvSourceOptions::missing,
                     "what stands for a missing feature: an error, the mean of its column in the "
                     "training data, 0, or missing_value",
                     {"error", "mean", "zero", "constant"})
          .Add("missing_value", &CsvSourceOptions::missing_value, "for missing: constant")
          .Add("missing_texts", &CsvSourceOptions::missing_texts,
               "texts that mean that a value is missing")
          .Add("header", &CsvSourceOptions::header, "the first row names the columns")
          .Add("separator", &CsvSourceOptions::separator, "one character between fields");
  return table;
}

namespace {

formats::CsvOptions ReaderOptions(const CsvSourceOptions& options) {
  if (options.separator.size() != 1) {
    throw Error(ErrorCode::kInvalidInput,
                "separator '" + options.separator + "' is not one character",
                "for a tab write separator: \"\\t\"");
  }
  return {.separator = options.separator[0], .header = options.header};
}

// Texts sorted as class names: by value where all are whole numbers, else as texts.
std::vector<std::string> SortedClasses(const std::set<std::string>& texts) {
  std::vector<std::string> classes(texts.begin(), texts.end());
  const bool numbers = std::all_of(classes.begin(), classes.end(), [](const std::string& text) {
    return formats::ParseNumber(text).has_value();
  });
  if (numbers) {
    std::stable_sort(classes.begin(), classes.end(),
                     [](const std::string& a, const std::string& b) {
                       return *formats::ParseNumber(a) < *formats::ParseNumber(b);
                     });
  }
  return classes;
}

}  // namespace

// One pass over the file.
class CsvSource::Reader {
 public:
  Reader(CsvSource& source, const CsvSourceOptions& options, const CsvSource* like)
      : source_(source), options_(options), csv_(source.path_, ReaderOptions(options)) {
    ChooseColumns(like);
  }

  void ReadRows() {
    std::vector<std::string> label_texts;
    while (csv_.Next()) {
      source_.lines_.push_back(csv_.line());
      for (const size_t column : feature_columns_) source_.x_.push_back(Feature(column));
      const std::string_view label = Trim(csv_.fields()[label_column_]);
      if (IsMissing(label)) csv_.Fail(label_column_, "the label is missing");
      if (options_.label_type == "class") {
        label_texts.emplace_back(label);
      } else {
        source_.y_.push_back(csv_.Number(label_column_));
      }
    }
    if (source_.lines_.empty()) {
      throw Error(ErrorCode::kInvalidInput, source_.path_ + " has no rows of data");
    }
    if (options_.label_type == "class") NumberClasses(label_texts);
    Impute();
  }

 private:
  void ChooseColumns(const CsvSource* like) {
    const std::vector<std::string>& header = csv_.header();
    if (header.size() < 2) {
      throw Error(ErrorCode::kInvalidInput,
                  source_.path_ + " has one column, expected features and a label",
                  "is the separator another one than '" + options_.separator + "'?");
    }
    source_.label_ = like != nullptr          ? like->label_
                     : options_.label.empty() ? header.back()
                                              : options_.label;
    source_.features_ = like != nullptr ? like->features_ : options_.features;
    label_column_ = csv_.Column(source_.label_);
    if (source_.features_.empty()) {
      for (const std::string& name : header) {
        if (name != source_.label_) source_.features_.push_back(name);
      }
    }
    for (const std::string& name : source_.features_) {
      feature_columns_.push_back(csv_.Column(name));
      if (name == source_.label_) {
        throw Error(ErrorCode::kInvalidInput,
                    source_.path_ + ": column '" + name + "' is both the label and a feature",
                    "leave it out of features");
      }
    }
    if (like != nullptr) {
      source_.classes_ = like->classes_;
      source_.means_ = like->means_;
    }
  }

  bool IsMissing(std::string_view text) const {
    return std::find(options_.missing_texts.begin(), options_.missing_texts.end(), text) !=
           options_.missing_texts.end();
  }

  double Feature(size_t column) const {
    if (!IsMissing(Trim(csv_.fields()[column]))) return csv_.Number(column);
    if (options_.missing == "error") {
      csv_.Fail(column, "the value is missing",
                "fill it in, or set missing to mean, zero or constant");
    }
    if (options_.missing == "zero") return 0;
    if (options_.missing == "constant") return options_.missing_value;
    return std::numeric_limits<double>::quiet_NaN();  // until the mean is known
  }

  void NumberClasses(const std::vector<std::string>& texts) {
    if (source_.classes_.empty()) {
      source_.classes_ = SortedClasses({texts.begin(), texts.end()});
      if (source_.classes_.size() < 2) {
        throw Error(ErrorCode::kInvalidInput, source_.path_ + ": all labels are '" +
                                                  source_.classes_[0] +
                                                  "', expected at least two classes");
      }
    }
    std::map<std::string, int64_t, std::less<>> numbers;
    for (const std::string& name : source_.classes_) {
      numbers.emplace(name, static_cast<int64_t>(numbers.size()));
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto found = numbers.find(texts[i]);
      if (found == numbers.end()) {
        throw Error(ErrorCode::kInvalidInput,
                    source_.Where(static_cast<int64_t>(i)) + ": column '" + source_.label_ +
                        "': class '" + texts[i] + "' does not occur in the training data",
                    DidYouMean(texts[i], source_.classes_));
      }
      source_.label_classes_.push_back(found->second);
    }
  }

  // Replaces the NaN that stand for missing values by the column's mean.
  void Impute() {
    const size_t features = feature_columns_.size();
    if (options_.missing != "mean") return;
    if (source_.means_.empty()) {
      for (size_t f = 0; f < features; ++f) source_.means_.push_back(Mean(f));
    }
    for (size_t i = 0; i < source_.x_.size(); ++i) {
      if (source_.x_[i] != source_.x_[i]) source_.x_[i] = source_.means_[i % features];
    }
  }

  double Mean(size_t feature) const {
    double sum = 0;
    int64_t count = 0;
    for (size_t i = feature; i < source_.x_.size(); i += feature_columns_.size()) {
      if (source_.x_[i] != source_.x_[i]) continue;
      sum += source_.x_[i];
      ++count;
    }
    if (count == 0) {
      throw Error(ErrorCode::kInvalidInput,
                  source_.path_ + ": column '" + source_.features_[feature] +
                      "' has no value at all, so it has no mean",
                  "leave it out of features");
    }
    return sum / static_cast<double>(count);
  }

  CsvSource& source_;
  const CsvSourceOptions& options_;
  formats::CsvReader csv_;
  size_t label_column_ = 0;
  std::vector<size_t> feature_columns_;
};

CsvSource::CsvSource(const std::string& path, const CsvSourceOptions& options,
                     const CsvSource* like)
    : path_(path) {
  Reader(*this, options, like).ReadRows();
  const auto width = static_cast<int64_t>(features_.size());
  fields_.push_back({.name = "x", .dtype = DType::kF64, .shape = Shape{width}});
  if (classes_.empty()) {
    fields_.push_back({.name = "y", .dtype = DType::kF64, .shape = Shape{1}});
  } else {
    fields_.push_back({.name = "y",
                       .dtype = DType::kI64,
                       .shape = Shape{},
                       .classes = static_cast<int64_t>(classes_.size())});
  }
}

ContiguousField CsvSource::Contiguous(int field) const {
  const void* data = field == 0               ? static_cast<const void*>(x_.data())
                     : label_classes_.empty() ? static_cast<const void*>(y_.data())
                                              : static_cast<const void*>(label_classes_.data());
  return {static_cast<const std::byte*>(data), fields_[static_cast<size_t>(field)].bytes()};
}

void CsvSource::Read(int64_t record, int field, void* out) const {
  const ContiguousField all = Contiguous(field);
  std::memcpy(out, all.data + static_cast<size_t>(record) * all.stride, all.stride);
}

std::string CsvSource::Where(int64_t record) const {
  return path_ + ":" + std::to_string(lines_[static_cast<size_t>(record)]);
}

namespace {

OpenedSource OpenCsv(const CsvSourceOptions& options, const OpenContext& context) {
  OpenedSource opened;
  auto train = std::make_shared<CsvSource>(context.Resolve(options.train), options);
  opened.class_names = train->classes();
  opened.train = train;
  if (!options.test.empty()) {
    opened.test = std::make_shared<CsvSource>(context.Resolve(options.test), options, train.get());
  }
  return opened;
}

}  // namespace

SourceKind CsvSourceKind() {
  return DefineSource(CsvSourceTable(), OpenCsv);
}

}  // namespace ingot::data
