// Tests of the safetensors reader and writer. tests/data/formats/reference.safetensors was written
// by the reference implementation (make.py beside it).
#include "ingot/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/endian.h"
#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const char kReference[] = INGOT_SOURCE_DIR "/tests/data/formats/reference.safetensors";

// A file of the given header and so many bytes of data.
std::vector<std::byte> FileOf(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> bytes;
  AppendLittle(bytes, static_cast<uint64_t>(header.size()));
  AppendTo(bytes)(AsBytes(header));
  bytes.resize(bytes.size() + data_bytes);
  return bytes;
}

Error ParseError(const std::vector<std::byte>& bytes) {
  return ErrorOf([&] { SafetensorsFile::Parse(BlobOf(bytes), "m"); });
}

std::string MessageOf(const std::string& header, size_t data_bytes = 0) {
  const Error error = ParseError(FileOf(header, data_bytes));
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  return error.message();
}

std::vector<NamedTensor> Samples() {
  return {{"b.bias", Tensor::Of<float>({3}, {1, 2, 3})},
          {"odd", Tensor::Of<uint8_t>({3}, {7, 8, 9})},
          {"flags", Tensor::Of<bool>({2}, {true, false})},
          {"a.weight", Tensor::Of<float>({2, 2}, {-1, 0.5, 1e30f, 0})},
          {"half", Tensor::Of<Float16>({1}, {Float16(1.5f)})},
          {"brain", Tensor::Of<BFloat16>({1}, {BFloat16(-2.0f)})},
          {"step", Tensor::Scalar<int64_t>(1234567890123)},
          {"i8", Tensor::Of<int8_t>({2}, {-1, 1})},
          {"i16", Tensor::Of<int16_t>({1}, {-300})},
          {"i32", Tensor::Of<int32_t>({1}, {-70000})},
          {"f64", Tensor::Of<double>({1}, {0.1})},
          {"none", Tensor(DType::kF32, Shape{0, 4})}};
}

TEST(Safetensors, RoundTripsEveryType) {
  const auto bytes =
      EncodeSafetensors(Samples(), {{"format", "pt"}, {"note", "a \"quoted\" \n line"}});
  const SafetensorsFile file = SafetensorsFile::Parse(BlobOf(bytes), "m");
  EXPECT_EQ(file.entries().size(), Samples().size());
  for (const NamedTensor& sample : Samples()) {
    const Tensor read = file.Get(sample.name);
    EXPECT_EQ(read.Describe(), sample.tensor.Describe());
    EXPECT_EQ(read.ToDoubles(), sample.tensor.ToDoubles()) << sample.name;
  }
  EXPECT_EQ(file.metadata().at("note"), "a \"quoted\" \n line");
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(Safetensors, OrderDoesNotDependOnTheCallersAndHeaderIsPadded) {
  std::vector<NamedTensor> reversed = Samples();
  std::reverse(reversed.begin(), reversed.end());
  const auto bytes = EncodeSafetensors(Samples());
  EXPECT_EQ(bytes, EncodeSafetensors(reversed));
  EXPECT_EQ(LoadLittle<uint64_t>(bytes.data()) % 8, 0u);
  std::vector<std::string> names;
  const SafetensorsFile file = SafetensorsFile::Parse(BlobOf(bytes), "m");
  for (const SafetensorsEntry& entry : file.entries()) names.push_back(entry.name);
  EXPECT_THAT(names, ElementsAre("step", "f64", "a.weight", "b.bias", "none", "i32", "brain",
                                 "half", "i16", "i8", "odd", "flags"));
}

TEST(Safetensors, WritesTheExactBytesOfTheFormat) {
  const std::vector<NamedTensor> tensors = {{"x", Tensor::Of<uint8_t>({2}, {5, 6})}};
  std::string header =
      R"({"__metadata__":{"k":"v"},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  auto expected = FileOf(header, 2);
  expected[expected.size() - 2] = std::byte{5};
  expected[expected.size() - 1] = std::byte{6};
  EXPECT_EQ(EncodeSafetensors(tensors, {{"k", "v"}}), expected);
}

TEST(Safetensors, ReadsTheReferenceImplementationsFileAndWritesTheSameBytes) {
  const SafetensorsFile file = SafetensorsFile::Open(kReference);
  EXPECT_EQ(file.Get("weight").ToDoubles(), (std::vector<double>{0, 0.5, 1, 1.5, 2, 2.5}));
  EXPECT_EQ(file.Get("weight").Describe(), "f32[2, 3]");
  EXPECT_EQ(file.Get("naïve \"name\"").ToInts(), (std::vector<int64_t>{-1, 9}));
  EXPECT_EQ(file.Get("scalar").Describe(), "f64[]");
  EXPECT_EQ(file.Get("empty").Describe(), "f16[0, 3]");
  EXPECT_EQ(file.Get("mask").ToInts(), (std::vector<int64_t>{1, 0, 1}));
  EXPECT_THAT(file.metadata(),
              ElementsAre(std::pair<const std::string, std::string>("format", "np")));

  std::vector<NamedTensor> tensors;
  for (const auto& entry : file.entries()) tensors.push_back({entry.name, file.Get(entry.name)});
  EXPECT_EQ(TextOf(EncodeSafetensors(tensors, file.metadata())), ReadFile(kReference));
}

TEST(Safetensors, ViewsTheMappedFile) {
  const TestFolder folder;
  const std::string path = WriteTestFile(folder / "m", AsText(EncodeSafetensors(Samples())));
  const Blob blob = MapBlob(path);
  const Tensor view = SafetensorsFile::Parse(blob, path).Get("a.weight");
  EXPECT_GE(view.raw(), blob.data.get());
  EXPECT_LT(view.raw(), blob.data.get() + blob.size);
}

TEST(Safetensors, MisalignedTensorsAreCopied) {
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  auto bytes = FileOf(header, 5);
  bytes[bytes.size() - 1] = std::byte{0x3f};
  bytes[bytes.size() - 2] = std::byte{0x80};
  const Tensor tensor = SafetensorsFile::Parse(BlobOf(bytes), "m").Get("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % 4, 0u);
  EXPECT_EQ(tensor.data<float>()[0], 1.0f);
}

TEST(Safetensors, StreamsThroughTheSinkInOrder) {
  std::vector<std::byte> joined;
  size_t pieces = 0;
  WriteSafetensors(Samples(), {}, [&](std::span<const std::byte> piece) {
    ++pieces;
    joined.insert(joined.end(), piece.begin(), piece.end());
  });
  EXPECT_EQ(joined, EncodeSafetensors(Samples()));
  EXPECT_EQ(pieces, Samples().size());  // the header, and each tensor that is not empty
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const auto bytes = EncodeSafetensors(Samples());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(ParseError(cut).code(), ErrorCode::kCorrupt);
    EXPECT_THAT(ParseError(cut).message(), HasSubstr("m: truncated safetensors file"));
  }
}

TEST(Safetensors, NamesFilesThatAreSomethingElse) {
  EXPECT_THAT(ParseError(BytesOf({0x80, 2, 'c', 't', 'o', 'r', 'c', 'h', '.'})).message(),
              HasSubstr("m: not a safetensors file: its first 8 bytes state a header of"));
  EXPECT_EQ(MessageOf("[]"), "m: not a safetensors file: the header does not begin with '{'");
  EXPECT_EQ(MessageOf(""), "m: not a safetensors file: the header does not begin with '{'");
  EXPECT_THAT(MessageOf("{\"a\":}"), HasSubstr("m: the header is not valid JSON near byte 14: "));
  EXPECT_THAT(MessageOf("{} x"), HasSubstr("the header is not valid JSON"));
  EXPECT_THAT(MessageOf("{\"\xff\":{}}"), HasSubstr("the header is not valid JSON"));
}

TEST(Safetensors, NamesHeadersOfAnotherForm) {
  EXPECT_EQ(MessageOf(R"({"a":1})"), "m: the header holds the number 1 at 'a', expected an object");
  EXPECT_EQ(MessageOf(R"({"a":{"dtype":5}})"),
            "m: tensor 'a' holds the number 5 at 'dtype', expected text");
  EXPECT_EQ(MessageOf(R"({"a":{"shape":[-1]}})"),
            "m: tensor 'a' holds the number -1 at 'shape', expected whole numbers from 0");
  EXPECT_EQ(MessageOf(R"({"a":{"shape":[[1]]}})"),
            "m: tensor 'a' holds a list at 'shape', expected whole numbers from 0");
  EXPECT_EQ(MessageOf(R"({"a":{"color":"red"}})"),
            "m: tensor 'a' has the unknown key 'color', expected dtype, shape and data_offsets");
  EXPECT_EQ(MessageOf(R"({"a":{"dtype":"F32","shape":[1]}})"), "m: tensor 'a' lacks data_offsets");
  EXPECT_EQ(MessageOf(R"({"__metadata__":{"k":1}})"),
            "m: __metadata__ holds the number 1 at 'k', expected text");
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

TEST(Safetensors, NamesKeysGivenTwice) {
  const std::string a = Entry("a", "U8", "[0]", "[0,0]");
  EXPECT_EQ(MessageOf("{" + a + "," + a + "}"), "m: the header has the key 'a' twice");
  EXPECT_EQ(MessageOf(R"({"a":{"shape":[1],"shape":[2]}})"),
            "m: tensor 'a' has the key 'shape' twice");
  EXPECT_EQ(MessageOf(R"({"__metadata__":{"k":"1","k":"2"}})"),
            "m: __metadata__ has the key 'k' twice");
  EXPECT_EQ(MessageOf(R"({"__metadata__":{},"__metadata__":{}})"),
            "m: the header has the key '__metadata__' twice");
}

TEST(Safetensors, NamesOffsetsThatDoNotFit) {
  EXPECT_EQ(MessageOf("{" + Entry("a", "F32", "[2]", "[0,4]") + "}", 4),
            "m: tensor 'a' is f32[2], 8 bytes; its data_offsets hold 4");
  EXPECT_EQ(MessageOf("{" + Entry("a", "F32", "[9223372036854775807,2]", "[0,4]") + "}", 4),
            "m: tensor 'a' is f32[9223372036854775807, 2], too large; its data_offsets hold 4");
  EXPECT_EQ(MessageOf("{" + Entry("a", "U8", "[2]", "[2,0]") + "}", 2),
            "m: tensor 'a' has data_offsets [2, 0], expected [begin, end]");
  EXPECT_EQ(
      MessageOf(
          "{" + Entry("a", "U8", "[2]", "[0,2]") + "," + Entry("b", "U8", "[2]", "[1,3]") + "}", 3),
      "m: tensor 'b' begins at byte 1 of the data, inside the tensor that ends at 2");
  EXPECT_EQ(
      MessageOf(
          "{" + Entry("a", "U8", "[2]", "[0,2]") + "," + Entry("b", "U8", "[2]", "[3,5]") + "}", 5),
      "m: tensor 'b' begins at byte 3 of the data, behind a hole after the tensor that ends at 2");
  EXPECT_EQ(MessageOf("{" + Entry("a", "U8", "[2]", "[0,2]") + "}", 1),
            "m: truncated safetensors file: the tensors take 2 bytes, 1 are there");
  EXPECT_EQ(MessageOf("{" + Entry("a", "U8", "[2]", "[0,2]") + "}", 3),
            "m: trailing bytes: the tensors take 2 bytes, 3 are there");
}

TEST(Safetensors, SuggestsTypesAndNames) {
  const Error type = ParseError(FileOf("{" + Entry("a", "F31", "[1]", "[0,4]") + "}", 4));
  EXPECT_EQ(type.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(type.message(), "m: tensor 'a' has the unknown dtype 'F31'");
  EXPECT_THAT(type.hint(), HasSubstr("did you mean 'F"));
  const SafetensorsFile file = SafetensorsFile::Parse(BlobOf(EncodeSafetensors(Samples())), "m");
  const Error name = ErrorOf([&] { file.Get("a.wieght"); });
  EXPECT_EQ(name.code(), ErrorCode::kNotFound);
  EXPECT_EQ(name.message(), "m: no tensor 'a.wieght' among its 12");
  EXPECT_EQ(name.hint(), "did you mean 'a.weight'?");
}

TEST(Safetensors, RefusesBoolsThatAreNeither) {
  auto bytes = FileOf("{" + Entry("a", "BOOL", "[2]", "[0,2]") + "}", 2);
  bytes.back() = std::byte{2};
  const SafetensorsFile file = SafetensorsFile::Parse(BlobOf(bytes), "m");
  EXPECT_EQ(ErrorOf([&] { file.Get("a"); }).message(),
            "m: tensor 'a': bool element 1 is the byte 2, expected 0 or 1");
}

TEST(Safetensors, WriterRefusesWhatTheFormatLacks) {
  const Tensor one = Tensor::Of<float>({1}, {1});
  const auto message = [](std::vector<NamedTensor> tensors) {
    return ErrorOf([&] { EncodeSafetensors(tensors); }).message();
  };
  EXPECT_EQ(message({{"a", one}, {"a", one}}), "two tensors are called 'a'");
  EXPECT_EQ(message({{"__metadata__", one}}), "no tensor may be called '__metadata__'");
  EXPECT_THAT(message({{"\xff", one}}), HasSubstr("is not valid UTF-8"));
  EXPECT_EQ(message({{"c", Tensor(DType::kComplex128, Shape{1})}}),
            "safetensors cannot hold tensor 'c' of type c128");
}

}  // namespace
}  // namespace ingot::formats
