// Texts that mean that a value is missing.
#include "ingot/data/csv_cells.h"

#include <algorithm>
#include <limits>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::data {

formats::CsvOptions ReaderOptions(const CsvSourceOptions& options) {
  if (options.separator.size() != 1) {
    throw Error(ErrorCode::kInvalidInput,
                "separator '" + options.separator + "' is not one character",
                "for a tab write separator: \"\\t\"");
  }
  return {.separator = options.separator[0], .header = options.header};
}

bool CsvCells::IsMissing(std::string_view text) const {
  const std::vector<std::string>& missing = options_.missing_texts;
  return std::find(missing.begin(), missing.end(), text) != missing.end();
}

double CsvCells::Number(size_t column, const std::string& hint) const {
  if (!IsMissing(Trim(csv_.fields()[column]))) return csv_.Number(column);
  if (options_.missing == "error") csv_.Fail(column, "the value is missing", hint);
  return std::numeric_limits<double>::quiet_NaN();
}

std::string_view CsvCells::Category(size_t column) const {
  const std::string_view text = Trim(csv_.fields()[column]);
  return IsMissing(text) ? std::string_view() : text;
}

}  // namespace ingot::data
