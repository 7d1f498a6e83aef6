// CsvSource: tables of numbers and categories with a label column.
//
// Fields: "x", the features, as CsvEncoding makes them of the columns: f64 [features] for numbers;
// and "y", the label: f64 [1] for numbers, i64 [] for classes (numbered in the order of their
// texts, numerically where all are whole numbers). The whole table is read and checked once, and
// kept in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/options.h"
#include "ingot/data/csv_encoding.h"
#include "ingot/data/selection.h"
#include "ingot/data/source.h"

namespace ingot::data {

// The options of `source: {csv: {...}}`; the two files are for those who open the data of a job.
struct CsvSourceOptions {
  std::string train;
  std::string test;
  std::string label;                     // a column's name; empty: the last column
  std::string label_type = "number";     // or "class"
  std::vector<std::string> features;     // columns' names; empty: all but the label
  std::vector<std::string> categorical;  // features whose texts are categories
  std::string encoding = "one_hot";      // or "index"
  std::string missing = "error";         // or "mean", "zero", "constant"
  double missing_value = 0;              // for "constant"
  std::vector<std::string> missing_texts = {"", "NA", "N/A", "?"};
  bool header = true;  // without it the columns are named "1", "2", ...
  std::string separator = ",";
};

const OptionTable<CsvSourceOptions>& CsvSourceTable();

class CsvSource : public Source {
 public:
  // `like` (may be null) is the training half: its columns, classes and encoding are used for this
  // file too. Without it the encoding is taken from all rows (see Fit). Throws Error: kNotFound
  // where the file or a column does not exist (with the nearest name); kInvalidInput "FILE:LINE:
  // column 'age': ..." for a ragged row, NaN, text where a number is expected, a missing value
  // unless `missing` says what to do, a missing label, and a class that `like` does not have; and
  // for a file without rows.
  CsvSource(const std::string& path, const CsvSourceOptions& options,
            const CsvSource* like = nullptr);

  int64_t size() const override { return static_cast<int64_t>(lines_.size()); }
  const std::vector<Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override;
  ContiguousField Contiguous(int field) const override;
  std::string Where(int64_t record) const override;

  // Takes means and vocabularies from the selected rows, or from another source, and encodes all
  // rows anew. Not while another thread reads.
  void Fit(const Selection& rows);
  void FitLike(const CsvSource& like);
  const CsvEncoding& encoding() const { return encoding_; }

  // The names of the columns of "x", in the order of the job or the file.
  const std::vector<std::string>& features() const { return features_; }
  const std::string& label() const { return label_; }
  // The text of each class, by its number; empty for labels that are numbers.
  const std::vector<std::string>& classes() const { return classes_; }

 private:
  class Reader;

  void Encode();
  double Mean(const Selection& rows, size_t column) const;

  std::string path_;
  std::vector<std::string> features_;
  std::string label_;
  std::vector<std::string> classes_;
  // What stands for missing numbers: "mean", or their replacement.
  std::optional<double> missing_value_;
  CsvEncoding encoding_;
  std::vector<Field> fields_;
  std::vector<double> numbers_;                  // [rows, columns of numbers], NaN where missing
  std::vector<std::vector<std::string>> texts_;  // by column of categories, those that occur
  std::vector<uint32_t> codes_;                  // [rows, columns of categories], into texts_
  Tensor x_;                                     // [rows, ...]
  std::vector<double> y_;                        // [rows], or empty
  std::vector<int64_t> label_classes_;           // [rows], or empty
  std::vector<int64_t> lines_;                   // of the file, by record
};

}  // namespace ingot::data
