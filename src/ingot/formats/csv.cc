// The CSV reader. Fields view the file; only those with doubled quotes are copied, into one buffer
// that is kept from row to row.
#include "ingot/formats/csv.h"

#include <cmath>
#include <set>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::formats {
namespace {

constexpr size_t kShown = 40;  // bytes of a field that a message shows

std::string Shown(std::string_view field) {
  std::string text = "'";
  text += field.substr(0, kShown);
  text += field.size() > kShown ? "...'" : "'";
  return text;
}

std::string CountOfFields(size_t count) {
  return std::to_string(count) + (count == 1 ? " field" : " fields");
}

// from_chars knows no plus sign.
std::string_view WithoutPlus(std::string_view text) {
  text = Trim(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  return text;
}

}  // namespace

std::optional<double> ParseNumber(std::string_view text) {
  const std::optional<double> value = ParseWhole<double>(WithoutPlus(text));
  return value && std::isfinite(*value) ? value : std::nullopt;
}

CsvReader::CsvReader(const std::string& path, CsvOptions options)
    : CsvReader(MapBlob(path), path, options) {}

CsvReader::CsvReader(Blob blob, std::string name, CsvOptions options)
    : blob_(std::move(blob)), name_(std::move(name)), options_(options) {
  const char separator = options_.separator;
  if (separator == '"' || separator == '\n' || separator == '\r' || separator == '\0') {
    throw Error(ErrorCode::kInvalidInput,
                name_ + ": the separator cannot be a quote, a line end or a zero byte",
                "common ones are ',', ';' and a tab");
  }
  text_ = AsText(blob_.bytes());
  if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
  Start();
}

// Reads the header row, or looks at the first row to count the columns.
void CsvReader::Start() {
  data_at_ = at_;
  const bool any = ReadRow();
  if (!any) {
    if (options_.header) {
      throw Error(ErrorCode::kInvalidInput, name_ + ": an empty file, expected a header row");
    }
    return;
  }
  columns_ = fields_.size();
  std::set<std::string> names;
  for (size_t i = 0; i < columns_; ++i) {
    std::string column = options_.header ? std::string(Trim(fields_[i])) : std::to_string(i + 1);
    if (!names.insert(column).second) {
      FailLine(line_, "the header names the column '" + column + "' twice");
    }
    header_.push_back(std::move(column));
  }
  if (options_.header) {
    data_at_ = at_;
    data_line_ = next_line_;
  }
  Rewind();
}

size_t CsvReader::Column(std::string_view name) const {
  for (size_t i = 0; i < header_.size(); ++i) {
    if (header_[i] == name) return i;
  }
  throw Error(ErrorCode::kNotFound, name_ + ": no column '" + std::string(name) + "'",
              DidYouMean(name, header_));
}

void CsvReader::Rewind() {
  at_ = data_at_;
  next_line_ = data_line_;
  line_ = 0;
  fields_.clear();
}

bool CsvReader::Next() {
  if (!ReadRow()) return false;
  if (fields_.size() != columns_) {
    FailLine(
        line_,
        "the row has " + CountOfFields(fields_.size()) + ", expected " + std::to_string(columns_),
        "every row must have as many fields as the first; text with a separator needs quotes");
  }
  return true;
}

// Takes a line end, if one stands here.
bool CsvReader::EndOfLine() {
  if (at_ < text_.size() && text_[at_] == '\r') {
    if (at_ + 1 >= text_.size() || text_[at_ + 1] != '\n') {
      FailLine(next_line_, "a carriage return without a line feed",
               "convert the line ends to LF or CRLF");
    }
    ++at_;
  }
  if (at_ >= text_.size() || text_[at_] != '\n') return false;
  ++at_;
  ++next_line_;
  return true;
}

bool CsvReader::ReadRow() {
  fields_.clear();
  unescaped_.clear();
  unescaped_fields_.clear();
  // With one column an empty line is an empty field; while the columns are not known, it is
  // nothing.
  while (columns_ != 1 && at_ < text_.size() && EndOfLine()) continue;
  if (at_ >= text_.size()) return false;
  line_ = next_line_;
  while (true) {
    if (at_ < text_.size() && text_[at_] == '"') {
      QuotedField();
    } else {
      fields_.push_back(PlainField());
    }
    if (at_ >= text_.size() || EndOfLine()) break;
    ++at_;  // the separator: a field ends nowhere else
  }
  for (const Unescaped& u : unescaped_fields_) {
    fields_[u.field] = std::string_view(unescaped_).substr(u.begin, u.size);
  }
  return true;
}

std::string_view CsvReader::PlainField() {
  const size_t begin = at_;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == options_.separator || c == '\n' || c == '\r') break;
    if (c == '"') {
      FailLine(next_line_,
               "a quote inside the unquoted field " + Shown(text_.substr(begin, at_ + 1 - begin)),
               "put the whole field in quotes and double the quotes inside");
    }
  }
  return text_.substr(begin, at_ - begin);
}

void CsvReader::QuotedField() {
  const int64_t first_line = next_line_;
  const size_t begin = ++at_;
  const size_t unescaped_begin = unescaped_.size();
  size_t copied = begin;  // what precedes is in unescaped_, if anything had to be copied
  bool escaped = false;
  for (; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\n') ++next_line_;
    if (text_[at_] != '"') continue;
    if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
    unescaped_.append(text_.substr(copied, at_ + 1 - copied));
    escaped = true;
    copied = ++at_ + 1;
  }
  if (at_ >= text_.size()) {
    FailLine(first_line, "an unclosed quote before " + Shown(text_.substr(begin, kShown)),
             "a quote that is text must be doubled inside a quoted field");
  }
  if (escaped) {
    unescaped_.append(text_.substr(copied, at_ - copied));
    unescaped_fields_.push_back(
        {fields_.size(), unescaped_begin, unescaped_.size() - unescaped_begin});
  }
  fields_.push_back(text_.substr(begin, at_ - begin));
  ++at_;
  const char next = at_ < text_.size() ? text_[at_] : '\n';
  if (next != options_.separator && next != '\n' && next != '\r') {
    FailLine(next_line_, "text behind the closing quote of " + Shown(fields_.back()),
             "a quote that is text must be doubled inside a quoted field");
  }
}

double CsvReader::Number(size_t column) const {
  const std::string_view field = fields_[column];
  const std::optional<double> number = ParseNumber(field);
  if (number) return *number;
  if (Trim(field).empty()) Fail(column, "the field is empty, expected a number");
  Fail(column, "found " + Shown(field) + ", expected a finite number");
}

int64_t CsvReader::Integer(size_t column) const {
  const std::string_view field = fields_[column];
  const std::string_view text = WithoutPlus(field);
  if (const auto value = ParseWhole<int64_t>(text)) return *value;
  // "3.0" is whole too; above 2^53 a double no longer says which whole number it is.
  const std::optional<double> number = ParseNumber(field);
  if (number && std::floor(*number) == *number && std::fabs(*number) <= 0x1p53) {
    return static_cast<int64_t>(*number);
  }
  if (text.empty()) Fail(column, "the field is empty, expected a whole number");
  Fail(column, "found " + Shown(field) + ", expected a whole number");
}

void CsvReader::Fail(size_t column, const std::string& message, const std::string& hint) const {
  FailLine(line_, "column '" + header_[column] + "': " + message, hint);
}

void CsvReader::FailLine(int64_t line, const std::string& message, const std::string& hint) const {
  throw Error(ErrorCode::kInvalidInput, name_ + ":" + std::to_string(line) + ": " + message, hint);
}

}  // namespace ingot::formats
