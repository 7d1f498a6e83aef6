// CsvEncoding: how the columns of a table become the numbers of a sample; stored with the model, so
// that predictions need no training data.
//
// First come the columns of numbers, in order, then those of categories: one-hot, with a first
// place for what the training data do not have, or one number each, counted on from column to
// column, the first of each for what the training data do not have.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/data/source.h"

namespace ingot::data {

struct CsvEncoding {
  std::vector<std::string> numbers;     // columns
  std::vector<std::string> categories;  // the same
  bool one_hot = true;
  // By column of numbers: what stands for a missing value that is not an error; empty until known.
  std::vector<double> means;
  // By column of categories: the texts of the training data, sorted.
  std::vector<std::vector<std::string>> vocabularies;

  // "x" as it comes out: f64, or i64 where all are numbers of categories.
  Field field() const;
  // Of all columns together, those for unknown texts included.
  int64_t vocabulary() const;

  // `values` by column of numbers, NaN where one is missing; `texts` by column of categories. Into
  // field().bytes() bytes.
  void Encode(std::span<const double> values, std::span<const std::string_view> texts,
              void* out) const;

  std::string ToJson() const;
  // Throws Error(kCorrupt).
  static CsvEncoding FromJson(const std::string& text);

 private:
  // Of a column's texts; 0 for one that is not among them.
  int64_t Number(size_t column, std::string_view text) const;
};

}  // namespace ingot::data
