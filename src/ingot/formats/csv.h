// CSV (RFC 4180) row by row over a mapped file.
//
// Fields may stand in double quotes, inside which separators, line ends and doubled quotes are
// text. Lines end with LF or CRLF; the last one need not. A UTF-8 byte order mark at the begin is
// skipped, and so are empty lines, but in a file of one column, where they are an empty field.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/formats/bytes.h"

namespace ingot::formats {

struct CsvOptions {
  char separator = ',';
  bool header = true;  // the first row names the columns
};

// A finite number with optional sign, decimals and exponent, blanks around it allowed; none where
// the text is something else, NaN, infinite or outside the range of double.
std::optional<double> ParseNumber(std::string_view text);

// Not safe for use by several threads at once; distinct readers may share a Blob.
//
//   CsvReader csv("iris.csv", {});
//   while (csv.Next()) Use(csv.fields(), csv.Number(2));
class CsvReader {
 public:
  // Maps the file and reads the header row. Throws Error: kNotFound or kIo from the file,
  // kInvalidInput for an empty file with a header wanted, a header that names a column twice, a
  // separator that is a quote or a line end, and as Next does.
  CsvReader(const std::string& path, CsvOptions options);
  // The same from bytes; `name` is what messages call them.
  CsvReader(Blob blob, std::string name, CsvOptions options);
  // Fields point into the reader itself: it stays where it is.
  CsvReader(const CsvReader&) = delete;
  CsvReader& operator=(const CsvReader&) = delete;

  // The columns' names; "1", "2", ... where there is no header row.
  const std::vector<std::string>& header() const { return header_; }
  // The index of a column; throws Error(kNotFound) with the nearest name.
  size_t Column(std::string_view name) const;

  // Goes to the next row; false at the end. Throws Error(kInvalidInput) "FILE:LINE: ..." for a row
  // with another number of fields than the first, an unclosed quote, text behind a closing quote, a
  // quote inside an unquoted field and a carriage return without a line feed.
  bool Next();
  // Goes back before the first row of data.
  void Rewind();

  // The row's fields, valid until Next, Rewind or the end of the reader.
  std::span<const std::string_view> fields() const { return fields_; }
  // The line of the file on which the row begins, from 1.
  int64_t line() const { return line_; }
  const std::string& name() const { return name_; }

  // The field as a number. Throws Error(kInvalidInput) "FILE:LINE: column 'age': ..." where it is
  // not a finite number (or, for Integer, not a whole one in the range of int64).
  double Number(size_t column) const;
  int64_t Integer(size_t column) const;

  // Throws Error(kInvalidInput) "FILE:LINE: column 'age': message".
  [[noreturn]] void Fail(size_t column, const std::string& message,
                         const std::string& hint = "") const;

 private:
  void Start();
  bool ReadRow();
  std::string_view PlainField();
  void QuotedField();
  bool EndOfLine();
  [[noreturn]] void FailLine(int64_t line, const std::string& message,
                             const std::string& hint = "") const;

  Blob blob_;
  std::string name_;
  CsvOptions options_;
  std::string_view text_;
  std::vector<std::string> header_;
  size_t columns_ = 0;  // 0: not yet known

  size_t at_ = 0;          // the next byte to read
  int64_t next_line_ = 1;  // its line
  int64_t line_ = 0;       // of the current row
  size_t data_at_ = 0;     // of the first row of data
  int64_t data_line_ = 1;
  std::vector<std::string_view> fields_;
  std::string unescaped_;  // fields with doubled quotes, one behind the other
  struct Unescaped {
    size_t field;
    size_t begin;
    size_t size;
  };
  std::vector<Unescaped> unescaped_fields_;
};

}  // namespace ingot::formats
