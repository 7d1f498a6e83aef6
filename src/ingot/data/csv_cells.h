// CsvCells: the cells of a table's row as a job of the source csv takes them, in training and in
// prediction.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "ingot/data/csv_source.h"
#include "ingot/formats/csv.h"

namespace ingot::data {

// Throws Error(kInvalidInput) for a separator that is not one character.
formats::CsvOptions ReaderOptions(const CsvSourceOptions& options);

class CsvCells {
 public:
  // Both must outlive this.
  CsvCells(const formats::CsvReader& csv, const CsvSourceOptions& options)
      : csv_(csv), options_(options) {}

  bool IsMissing(std::string_view text) const;
  // Of the reader's row. NaN for a missing number that something else stands for; where a missing
  // one is an error, `hint` says what to do.
  double Number(size_t column, const std::string& hint = "") const;
  // "" for a missing one, which is never a category.
  std::string_view Category(size_t column) const;

 private:
  const formats::CsvReader& csv_;
  const CsvSourceOptions& options_;
};

}  // namespace ingot::data
