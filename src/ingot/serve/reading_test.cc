// What the server reads from clients: JSON, wire messages, compressed bodies, BYTES,
// configurations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/serve/compression.h"
#include "ingot/serve/data_type.h"
#include "ingot/serve/json_reader.h"
#include "ingot/serve/json_writer.h"
#include "ingot/serve/rest_infer.h"
#include "ingot/serve/wire.h"

namespace ingot::serve {
namespace {

using ::testing::HasSubstr;

std::string FaultOf(const std::string& json) {
  try {
    JsonReader reader(json);
    reader.Skip();
    reader.End();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.message();
  }
  return "";
}

TEST(JsonReaderTest, TakesWhatIsJson) {
  for (const char* json :
       {"{}", "[]", " [1, -2.5e-3, 0, 1E+9] ", R"({"a":[{"b":null}],"c":"\u00e9\n"})",
        R"("\ud83d\ude00")", "true", "\"h\xc3\xa9\""}) {
    EXPECT_EQ(FaultOf(json), "") << json;
  }
}

TEST(JsonReaderTest, NamesThePlaceOfAFault) {
  for (const char* json : {"",
                           "{",
                           "[1,]",
                           "[1 2]",
                           "{\"a\"}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "01",
                           "1.",
                           "1e",
                           "-",
                           "tru",
                           "nul",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"a\nb\"",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "[] []",
                           "\"",
                           "+1",
                           ".5",
                           "[1,,2]"}) {
    EXPECT_THAT(FaultOf(json), HasSubstr("JSON, byte ")) << json;
  }
  EXPECT_THAT(FaultOf(std::string(100, '[')), HasSubstr("nested deeper than 64"));
}

TEST(JsonReaderTest, NumbersKeepTheirValue) {
  const auto number = [](const std::string& text) { return JsonReader(text).Double(); };
  EXPECT_EQ(number("0.1"), 0.1);
  EXPECT_EQ(number("1e-400"), 0);
  EXPECT_THROW(number("1e400"), Error);
  EXPECT_EQ(JsonReader("9223372036854775807").Int(), INT64_MAX);
  EXPECT_THROW(JsonReader("9223372036854775808").Int(), Error);
  EXPECT_EQ(JsonReader("18446744073709551615").Uint(), UINT64_MAX);
  EXPECT_EQ(JsonReader("3.0").Int(), 3);
  EXPECT_THROW(JsonReader("3.5").Int(), Error);
  EXPECT_THROW(JsonReader("1e400").Int(), Error);
  EXPECT_EQ(JsonReader("1e3").Uint(), 1000u);
  EXPECT_EQ(JsonReader("3.0").Uint(), 3u);
  for (const char* json : {"3.5", "-1", "-1e3", "1e400", "18446744073709551616"}) {
    EXPECT_THROW(JsonReader(json).Uint(), Error) << json;
  }
}

TEST(JsonWriterTest, StringsComeBack) {
  const std::string text = "a\"\\\n\t\x01 h\xc3\xa9";
  std::string json, again;
  AppendJsonString(text, json);
  JsonReader(json).String(again);
  EXPECT_EQ(again, text);
}

TEST(TensorJsonTest, EveryIntegerTypeHasItsRange) {
  const auto read = [](DType dtype, const std::string& json) {
    std::string out;
    JsonReader reader(json);
    ReadTensorData(reader, dtype, out);
    return out.size();
  };
  EXPECT_EQ(read(DType::kI8, "[[-128], [127]]"), 2u);
  EXPECT_THROW(read(DType::kI8, "[128]"), Error);
  EXPECT_THROW(read(DType::kU8, "[-1]"), Error);
  EXPECT_THROW(read(DType::kU32, "[4294967296]"), Error);
  EXPECT_THROW(read(DType::kF16, "[1]"), Error);
  EXPECT_THROW(read(DType::kF32, "[\"1\"]"), Error);
  EXPECT_EQ(read(DType::kBool, "[true, 0]"), 2u);
}

TEST(WireReaderTest, DamagedMessagesAreRefused) {
  const auto walk = [](std::string_view bytes) {
    WireReader reader(bytes);
    uint32_t field = 0;
    WireType type{};
    while (reader.Next(field, type)) reader.Skip(type);
  };
  std::string good;
  PutBytes(1, "abc", good);
  PutNumber(2, 300, good);
  EXPECT_NO_THROW(walk(good));
  for (size_t size = 1; size < good.size(); ++size) {
    if (size == 5) continue;  // ends between fields
    EXPECT_THROW(walk(std::string_view(good).substr(0, size)), Error) << size;
  }
  EXPECT_THROW(walk(std::string(11, '\xff')), Error);
  EXPECT_THROW(walk(std::string_view("\x00\x01", 2)), Error);  // field number 0
  EXPECT_THROW(walk("\x0b"), Error);                           // a group
}

TEST(CompressionTest, ComesBackAndHasALimit) {
  const std::string text(100'000, 'x');
  for (const Encoding encoding : {Encoding::kGzip, Encoding::kDeflate}) {
    const std::string packed = Compress(text, encoding);
    EXPECT_LT(packed.size(), text.size() / 50);
    EXPECT_EQ(Decompress(packed, encoding, text.size()), text);
    EXPECT_THROW(Decompress(packed, encoding, text.size() - 20'000), Error);
    EXPECT_THROW(Decompress(packed.substr(0, packed.size() / 2), encoding, 1 << 20), Error);
    EXPECT_THROW(Decompress("no such thing", encoding, 1 << 20), Error);
    EXPECT_THROW(Decompress("", encoding, 1 << 20), Error);
  }
}

TEST(CompressionTest, ChoosesWhatIsAccepted) {
  EXPECT_EQ(ChooseEncoding("gzip, deflate"), Encoding::kGzip);
  EXPECT_EQ(ChooseEncoding("br;q=1, deflate;q=0.5"), Encoding::kDeflate);
  EXPECT_EQ(ChooseEncoding("gzip;q=0, identity"), Encoding::kNone);
  EXPECT_EQ(ChooseEncoding("gzip;q=0.000, deflate;q=0.001"), Encoding::kDeflate);
  EXPECT_EQ(ChooseEncoding(""), Encoding::kNone);
}

TEST(BytesTest, ElementsAreCheckedAgainstTheirLengths) {
  std::string bytes;
  AppendBytesElement("ab", bytes);
  AppendBytesElement("", bytes);
  const auto split = [](const std::string& text, int64_t count) {
    return SplitBytesElements(std::as_bytes(std::span<const char>(text.data(), text.size())),
                              count);
  };
  EXPECT_THAT(split(bytes, 2), ::testing::ElementsAre("ab", ""));
  EXPECT_THROW(split(bytes, 3), Error);
  EXPECT_THROW(split(bytes.substr(0, 5), -1), Error);
  EXPECT_THROW(split(bytes.substr(0, 8), -1), Error);
}

}  // namespace
}  // namespace ingot::serve
