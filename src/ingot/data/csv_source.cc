// Reads a table, checks every cell, and numbers the classes.
#include "ingot/data/csv_source.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/data/class_numbers.h"
#include "ingot/data/csv_cells.h"
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
          .Add("categorical", &CsvSourceOptions::categorical,
               "features whose texts are categories; in x they come behind the numbers")
          .AddChoice("encoding", &CsvSourceOptions::encoding,
                     "of categories: one_hot, or index for a layer embed_columns (or embedding, "
                     "where all features are categories); texts that the training data do not have "
                     "and missing ones are a category of their own",
                     {"one_hot", "index"})
          .AddChoice("missing", &CsvSourceOptions::missing,
                     "what stands for a missing number: an error, the mean of its column in the "
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

constexpr char kMissingHint[] = "fill it in, or set missing to mean, zero or constant";

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
      : source_(source),
        options_(options),
        csv_(source.path_, ReaderOptions(options)),
        cells_(csv_, options) {
    ChooseColumns(like);
  }

  void ReadRows() {
    std::vector<std::string> label_texts;
    while (csv_.Next()) {
      source_.lines_.push_back(csv_.line());
      for (const size_t column : number_columns_)
        source_.numbers_.push_back(cells_.Number(column, kMissingHint));
      for (size_t c = 0; c < category_columns_.size(); ++c) source_.codes_.push_back(Code(c));
      const std::string_view label = Trim(csv_.fields()[label_column_]);
      if (cells_.IsMissing(label)) csv_.Fail(label_column_, "the label is missing");
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
      if (name == source_.label_) {
        throw Error(ErrorCode::kInvalidInput,
                    source_.path_ + ": column '" + name + "' is both the label and a feature",
                    "leave it out of features");
      }
    }
    if (like != nullptr) source_.classes_ = like->classes_;
    ChooseCategories();
  }

  // Divides the features into numbers and categories.
  void ChooseCategories() {
    for (const std::string& name : options_.categorical) {
      const auto& features = source_.features_;
      if (std::find(features.begin(), features.end(), name) != features.end()) continue;
      throw Error(ErrorCode::kNotFound,
                  source_.path_ + ": categorical: '" + name + "' is none of the features",
                  DidYouMean(name, features));
    }
    CsvEncoding& encoding = source_.encoding_;
    encoding.one_hot = options_.encoding == "one_hot";
    for (const std::string& name : source_.features_) {
      const auto& categorical = options_.categorical;
      const bool is_category =
          std::find(categorical.begin(), categorical.end(), name) != categorical.end();
      (is_category ? category_columns_ : number_columns_).push_back(csv_.Column(name));
      (is_category ? encoding.categories : encoding.numbers).push_back(name);
    }
    source_.texts_.resize(category_columns_.size());
    codes_.resize(category_columns_.size());
    if (options_.missing != "mean") {
      source_.missing_value_ = options_.missing == "constant" ? options_.missing_value : 0;
    }
  }

  // The text's place among those that have been seen.
  uint32_t Code(size_t column) {
    const std::string_view text = cells_.Category(category_columns_[column]);
    const auto found = codes_[column].find(text);
    if (found != codes_[column].end()) return found->second;
    const auto code = static_cast<uint32_t>(source_.texts_[column].size());
    source_.texts_[column].emplace_back(text);
    codes_[column].emplace(text, code);
    return code;
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
    const ClassNumbers numbers(source_.classes_);
    for (size_t i = 0; i < texts.size(); ++i) {
      source_.label_classes_.push_back(numbers.Get(texts[i], [&] {
        return source_.Where(static_cast<int64_t>(i)) + ": column '" + source_.label_ + "'";
      }));
    }
  }

  CsvSource& source_;
  const CsvSourceOptions& options_;
  formats::CsvReader csv_;
  CsvCells cells_;
  size_t label_column_ = 0;
  std::vector<size_t> number_columns_;
  std::vector<size_t> category_columns_;
  std::vector<std::map<std::string, uint32_t, std::less<>>> codes_;  // by column of categories
};

CsvSource::CsvSource(const std::string& path, const CsvSourceOptions& options,
                     const CsvSource* like)
    : path_(path) {
  Reader(*this, options, like).ReadRows();
  fields_.resize(2);
  fields_[1] = {.name = "y", .dtype = DType::kF64, .shape = Shape{1}};
  if (!classes_.empty()) {
    fields_[1] = {.name = "y",
                  .dtype = DType::kI64,
                  .shape = Shape{},
                  .classes = static_cast<int64_t>(classes_.size())};
  }
  if (like != nullptr) {
    FitLike(*like);
  } else {
    Fit(Selection::All(size()));
  }
}

void CsvSource::Fit(const Selection& rows) {
  encoding_.means.clear();
  for (size_t column = 0; column < encoding_.numbers.size(); ++column) {
    encoding_.means.push_back(missing_value_ ? *missing_value_ : Mean(rows, column));
  }
  const size_t columns = texts_.size();
  encoding_.vocabularies.assign(columns, {});
  for (size_t column = 0; column < columns; ++column) {
    std::vector<std::string>& vocabulary = encoding_.vocabularies[column];
    std::vector<bool> is_seen(texts_[column].size());
    for (int64_t i = 0; i < rows.size(); ++i) {
      is_seen[codes_[static_cast<size_t>(rows[i]) * columns + column]] = true;
    }
    for (size_t code = 0; code < is_seen.size(); ++code) {
      if (is_seen[code] && !texts_[column][code].empty())
        vocabulary.push_back(texts_[column][code]);
    }
    std::sort(vocabulary.begin(), vocabulary.end());
  }
  Encode();
}

void CsvSource::FitLike(const CsvSource& like) {
  encoding_ = like.encoding_;
  Encode();
}

void CsvSource::Encode() {
  fields_[0] = encoding_.field();
  std::vector<int64_t> dims = fields_[0].shape.dims();
  dims.insert(dims.begin(), size());
  x_ = Tensor(fields_[0].dtype, Shape(dims));
  const size_t numbers = encoding_.numbers.size();
  std::vector<std::string_view> texts(texts_.size());
  for (size_t row = 0; row < lines_.size(); ++row) {
    for (size_t c = 0; c < texts.size(); ++c) texts[c] = texts_[c][codes_[row * texts.size() + c]];
    encoding_.Encode(std::span(numbers_).subspan(row * numbers, numbers), texts,
                     x_.raw() + row * fields_[0].bytes());
  }
}

double CsvSource::Mean(const Selection& rows, size_t column) const {
  double sum = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    const double value = numbers_[static_cast<size_t>(rows[i]) * encoding_.numbers.size() + column];
    if (value != value) continue;
    sum += value;
    ++count;
  }
  if (count == 0) {
    throw Error(ErrorCode::kInvalidInput,
                path_ + ": column '" + encoding_.numbers[column] +
                    "' has no value at all, so it has no mean",
                "leave it out of features");
  }
  return sum / static_cast<double>(count);
}

ContiguousField CsvSource::Contiguous(int field) const {
  const void* data = field == 0               ? static_cast<const void*>(x_.raw())
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
  std::shared_ptr<CsvSource> test;
  if (!options.test.empty()) {
    test = std::make_shared<CsvSource>(context.Resolve(options.test), options, train.get());
    opened.test = test;
  }
  opened.fit = [train, test](const Selection& training) {
    if (training.size() != train->size()) {
      train->Fit(training);
      if (test != nullptr) test->FitLike(*train);
    }
    return std::map<std::string, std::string>{{"csv", train->encoding().ToJson()}};
  };
  return opened;
}

}  // namespace

SourceKind CsvSourceKind() {
  return DefineSource(CsvSourceTable(), OpenCsv);
}

}  // namespace ingot::data
