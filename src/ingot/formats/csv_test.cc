// Tests of the CSV reader.
#include "ingot/formats/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Rows = std::vector<std::vector<std::string>>;

// All rows, read twice to see that Rewind goes back to the first one.
Rows Read(std::string_view text, CsvOptions options = {}) {
  CsvReader csv(BlobOf(text), "t.csv", options);
  const auto pass = [&] {
    Rows rows;
    while (csv.Next()) rows.emplace_back(csv.fields().begin(), csv.fields().end());
    return rows;
  };
  const Rows rows = pass();
  csv.Rewind();
  EXPECT_EQ(pass(), rows);
  return rows;
}

Error ReadError(std::string_view text, CsvOptions options = {}) {
  return ErrorOf([&] {
    CsvReader csv(BlobOf(text), "t.csv", options);
    while (csv.Next()) continue;
  });
}

TEST(Csv, ReadsHeaderAndRows) {
  CsvReader csv(BlobOf("a, b ,c\n1,2,3\n4,5,6\n"), "t.csv", {});
  EXPECT_THAT(csv.header(), ElementsAre("a", "b", "c"));
  ASSERT_TRUE(csv.Next());
  EXPECT_THAT(csv.fields(), ElementsAre("1", "2", "3"));
  EXPECT_EQ(csv.line(), 2);
  ASSERT_TRUE(csv.Next());
  EXPECT_EQ(csv.line(), 3);
  EXPECT_EQ(csv.Integer(csv.Column("b")), 5);
  EXPECT_FALSE(csv.Next());
  EXPECT_FALSE(csv.Next());
}

TEST(Csv, WithoutHeaderColumnsAreNumbered) {
  CsvReader csv(BlobOf("1,2\n3,4"), "t.csv", {.header = false});
  EXPECT_THAT(csv.header(), ElementsAre("1", "2"));
  ASSERT_TRUE(csv.Next());
  EXPECT_EQ(csv.line(), 1);
  EXPECT_THAT(csv.fields(), ElementsAre("1", "2"));
}

TEST(Csv, LineEndsAndTheLastLine) {
  const Rows expected = {{"1", "2"}, {"3", ""}};
  for (const char* text : {"a,b\n1,2\n3,\n", "a,b\n1,2\n3,", "a,b\r\n1,2\r\n3,\r\n",
                           "\xef\xbb\xbf"
                           "a,b\n1,2\n3,\n",
                           "\n\na,b\n\n1,2\r\n\r\n3,\n\n"}) {
    EXPECT_EQ(Read(text), expected) << text;
  }
}

TEST(Csv, OtherSeparators) {
  EXPECT_EQ(Read("a;b\n1,5;2", {.separator = ';'}), (Rows{{"1,5", "2"}}));
  EXPECT_EQ(Read("a\tb\n1\t2", {.separator = '\t'}), (Rows{{"1", "2"}}));
  EXPECT_THAT(ReadError("a", {.separator = '"'}).message(), HasSubstr("t.csv: the separator"));
}

TEST(Csv, QuotedFields) {
  EXPECT_EQ(Read("a,b,c\n\"x,y\",\"\",\"line 1\nline 2\"\n"),
            (Rows{{"x,y", "", "line 1\nline 2"}}));
  EXPECT_EQ(Read("a,b,c\n\"\"\"\",\"say \"\"hi\"\"!\",plain\n"),
            (Rows{{"\"", "say \"hi\"!", "plain"}}));
  EXPECT_EQ(Read("a,b\n\"1\"\"\",\"2\"\"\"\n\"3\"\"\",\"4\""),
            (Rows{{"1\"", "2\""}, {"3\"", "4"}}));
}

TEST(Csv, LinesCountInsideQuotes) {
  CsvReader csv(BlobOf("a,b\n\"1\n\n2\",x\ny,z\n"), "t.csv", {});
  ASSERT_TRUE(csv.Next());
  EXPECT_EQ(csv.line(), 2);
  ASSERT_TRUE(csv.Next());
  EXPECT_EQ(csv.line(), 5);
}

TEST(Csv, EmptyLinesOfOneColumnAreFields) {
  EXPECT_EQ(Read("a\n1\n\n3\n"), (Rows{{"1"}, {""}, {"3"}}));
}

TEST(Csv, EmptyFiles) {
  EXPECT_EQ(ReadError("").message(), "t.csv: an empty file, expected a header row");
  EXPECT_EQ(ReadError("\n\r\n").message(), "t.csv: an empty file, expected a header row");
  EXPECT_EQ(Read("", {.header = false}), Rows{});
  EXPECT_EQ(Read("a,b\n"), Rows{});
}

TEST(Csv, NamesRaggedRows) {
  const Error error = ReadError("a,b,c\n1,2,3\n1,2\n");
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(), "t.csv:3: the row has 2 fields, expected 3");
  EXPECT_EQ(ReadError("a,b\n\n1\n").message(), "t.csv:3: the row has 1 field, expected 2");
  EXPECT_EQ(ReadError("1,2\n1,2,3", {.header = false}).message(),
            "t.csv:2: the row has 3 fields, expected 2");
}

TEST(Csv, NamesBadQuotes) {
  EXPECT_EQ(ReadError("a,b\n1,2\n3,\"4\n5,6\n7,8").message(),
            "t.csv:3: an unclosed quote before '4\n5,6\n7,8'");
  EXPECT_EQ(ReadError("a,b\n\"1\"x,2\n").message(),
            "t.csv:2: text behind the closing quote of '1'");
  EXPECT_EQ(ReadError("a,b\n1,5\" disk\n").message(),
            "t.csv:2: a quote inside the unquoted field '5\"'");
  EXPECT_THAT(ReadError("a,b\n1,5\" disk\n").hint(), HasSubstr("double the quotes"));
}

TEST(Csv, NamesCarriageReturnsAlone) {
  EXPECT_EQ(ReadError("a,b\r1,2\r").message(), "t.csv:1: a carriage return without a line feed");
}

TEST(Csv, NamesColumnsGivenTwiceAndMissing) {
  EXPECT_EQ(ReadError("a,b,a\n").message(), "t.csv:1: the header names the column 'a' twice");
  CsvReader csv(BlobOf("sepal length,sepal width\n"), "t.csv", {});
  const Error error = ErrorOf([&] { csv.Column("sepal lenght"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_EQ(error.message(), "t.csv: no column 'sepal lenght'");
  EXPECT_EQ(error.hint(), "did you mean 'sepal length'?");
}

TEST(Csv, Numbers) {
  for (const auto& [text, value] : std::vector<std::pair<std::string, double>>{{"1", 1},
                                                                               {"-2.5", -2.5},
                                                                               {"+3", 3},
                                                                               {" 4e-3 ", 0.004},
                                                                               {"1E5", 1e5},
                                                                               {".5", 0.5},
                                                                               {"7.", 7}}) {
    EXPECT_EQ(ParseNumber(text), value) << text;
  }
  for (const char* text : {"", " ", "x", "1x", "nan", "NaN", "inf", "-Infinity", "1e999", "1,5",
                           "0x10", "+-1", "--1", "1 2"}) {
    EXPECT_EQ(ParseNumber(text), std::nullopt) << text;
  }
}

TEST(Csv, NamesLineAndColumnOfWhatIsNoNumber) {
  CsvReader csv(BlobOf("age,name\nNaN,Ann\n,Bob\n2.5,\"Carol\"\n"), "t.csv", {});
  const auto number = [&](size_t column) { return ErrorOf([&] { csv.Number(column); }).message(); };
  const auto integer = [&](size_t column) {
    return ErrorOf([&] { csv.Integer(column); }).message();
  };
  csv.Next();
  EXPECT_EQ(number(0), "t.csv:2: column 'age': found 'NaN', expected a finite number");
  csv.Next();
  EXPECT_EQ(number(0), "t.csv:3: column 'age': the field is empty, expected a number");
  EXPECT_EQ(integer(0), "t.csv:3: column 'age': the field is empty, expected a whole number");
  csv.Next();
  EXPECT_EQ(csv.Number(0), 2.5);
  EXPECT_EQ(integer(0), "t.csv:4: column 'age': found '2.5', expected a whole number");
  EXPECT_EQ(number(1), "t.csv:4: column 'name': found 'Carol', expected a finite number");
}

TEST(Csv, IntegersAreExact) {
  CsvReader csv(BlobOf("9223372036854775807,-9223372036854775808,3.0,1e3,9223372036854775808"),
                "t.csv", {.header = false});
  csv.Next();
  EXPECT_EQ(csv.Integer(0), INT64_MAX);
  EXPECT_EQ(csv.Integer(1), INT64_MIN);
  EXPECT_EQ(csv.Integer(2), 3);
  EXPECT_EQ(csv.Integer(3), 1000);
  EXPECT_THAT(ErrorOf([&] { csv.Integer(4); }).message(), HasSubstr("expected a whole number"));
}

TEST(Csv, FieldsViewTheMappedFile) {
  const TestFolder folder;
  const std::string path = WriteTestFile(folder / "t.csv", "a,b\n1,\"2\"\n");
  const Blob blob = MapBlob(path);
  CsvReader csv(blob, path, {});
  ASSERT_TRUE(csv.Next());
  const auto* text = reinterpret_cast<const char*>(blob.data.get());
  EXPECT_EQ(csv.fields()[0].data(), text + 4);
  EXPECT_EQ(csv.fields()[1].data(), text + 7);
  EXPECT_EQ(ErrorOf([&] { CsvReader(folder / "no.csv", {}); }).code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace ingot::formats
