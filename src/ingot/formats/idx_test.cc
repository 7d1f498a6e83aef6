// Tests of the IDX reader and writer.
#include "ingot/formats/idx.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/gzip.h"
#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Tensor Counting(DType dtype, const Shape& shape) {
  Tensor values(DType::kI64, shape);
  std::iota(values.data<int64_t>().begin(), values.data<int64_t>().end(), -1);
  return values.Cast(dtype);
}

Error ParseError(const std::vector<std::byte>& bytes) {
  return ErrorOf([&] { ParseIdx(BlobOf(bytes), "images"); });
}

TEST(Idx, ReadsHandWrittenBytes) {
  const auto bytes = BytesOf({0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x01, 0x02, 0xff, 0xfe});
  const Tensor tensor = ParseIdx(BlobOf(bytes), "f");
  EXPECT_EQ(tensor.Describe(), "i16[1, 2]");
  EXPECT_EQ(tensor.ToInts(), (std::vector<int64_t>{258, -2}));
  EXPECT_EQ(EncodeIdx(tensor), bytes);
}

TEST(Idx, RoundTripsEveryTypePlainAndGzip) {
  for (const DType dtype :
       {DType::kU8, DType::kI8, DType::kI16, DType::kI32, DType::kF32, DType::kF64}) {
    const Tensor tensor = Counting(dtype, {3, 2, 5});
    const auto bytes = EncodeIdx(tensor);
    for (const auto& form : {bytes, Gzip(bytes)}) {
      const Tensor read = ParseIdx(BlobOf(form), "f");
      EXPECT_EQ(read.Describe(), tensor.Describe());
      EXPECT_EQ(read.ToDoubles(), tensor.ToDoubles());
    }
  }
}

TEST(Idx, RoundTripsEveryRankAndEmptyTensors) {
  std::vector<int64_t> dims;
  for (int rank = 1; rank <= 8; ++rank) {
    dims.push_back(rank % 3 + 1);
    const Tensor tensor = Counting(DType::kU8, Shape(dims));
    EXPECT_EQ(ParseIdx(BlobOf(EncodeIdx(tensor)), "f").ToInts(), tensor.ToInts());
  }
  const Tensor empty(DType::kF32, Shape{0, 28});
  EXPECT_EQ(ParseIdx(BlobOf(EncodeIdx(empty)), "f").shape(), empty.shape());
  EXPECT_EQ(ParseIdx(BlobOf(Gzip(EncodeIdx(empty))), "f").shape(), empty.shape());
}

TEST(Idx, BytesViewTheMappedFileAndKeepIt) {
  const TestFolder folder;
  const Tensor tensor = Counting(DType::kU8, {4, 7});
  const std::string path = WriteTestFile(folder / "images", AsText(EncodeIdx(tensor)));
  const Blob blob = MapBlob(path);
  const long owners = blob.data.use_count();
  const Tensor view = ParseIdx(blob, path);
  EXPECT_EQ(view.raw(), blob.data.get() + 12);
  EXPECT_EQ(blob.data.use_count(), owners + 1);

  const Tensor kept = ReadIdx(path);
  std::filesystem::remove(path);
  EXPECT_EQ(kept.ToInts(), tensor.ToInts());
}

TEST(Idx, ReadsTheSliceOfMnist) {
  const std::string folder = INGOT_SOURCE_DIR "/tests/data/mnist/";
  const Tensor images = ReadIdx(folder + "t10k-images-idx3-ubyte.gz");
  const Tensor labels = ReadIdx(folder + "t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(images.Describe(), "u8[500, 28, 28]");
  EXPECT_EQ(labels.Describe(), "u8[500]");
  EXPECT_EQ(ReadIdx(folder + "train-images-idx3-ubyte.gz").Describe(), "u8[2000, 28, 28]");
  EXPECT_EQ(ReadIdx(folder + "train-labels-idx1-ubyte.gz").Describe(), "u8[2000]");
  const auto first = labels.data<uint8_t>().first(5);
  EXPECT_EQ(std::vector<int>(first.begin(), first.end()), (std::vector<int>{7, 2, 1, 0, 4}));
}

TEST(Idx, MissingFileIsNamed) {
  const TestFolder folder;
  const Error error = ErrorOf([&] { ReadIdx(folder / "train-images-idx3-ubyte"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.message(), HasSubstr(folder / "train-images-idx3-ubyte"));
}

TEST(Idx, NamesWrongMagic) {
  const Error error = ParseError(BytesOf({0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 0}));
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(), StartsWith("images: not an IDX file: it begins with '89 50 4e 47', "
                                          "expected '00 00', an element type"));
  EXPECT_THAT(error.hint(), HasSubstr("00 00 08 03"));
  for (const auto& magic : {BytesOf({0, 0, 0x0a, 1}), BytesOf({0, 0, 8, 0}), BytesOf({0, 0, 8, 9}),
                            BytesOf({0, 1, 8, 1})}) {
    EXPECT_THAT(ParseError(magic).message(), HasSubstr("not an IDX file"));
  }
}

TEST(Idx, NamesTruncationWithBytesWantedAndThere) {
  auto bytes = EncodeIdx(Counting(DType::kU8, {10, 28, 28}));
  bytes.resize(bytes.size() - 840);
  const Error error = ParseError(bytes);
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_EQ(error.message(),
            "images: truncated IDX file: the header says u8[10, 28, 28], 7,840 bytes behind the "
            "header; 7,000 bytes are there");
  EXPECT_EQ(ParseError(Gzip(bytes)).message(), error.message() + " (inflated)");
}

TEST(Idx, EveryTruncationIsAnError) {
  const auto bytes = EncodeIdx(Counting(DType::kI32, {2, 3}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(ParseError(cut).code(), ErrorCode::kCorrupt);
    EXPECT_EQ(ParseError(Gzip(cut)).code(), ErrorCode::kCorrupt);
    EXPECT_THAT(ParseError(cut).message(), HasSubstr("truncated IDX file"));
  }
}

TEST(Idx, NamesTrailingBytes) {
  auto bytes = EncodeIdx(Counting(DType::kU8, {10}));
  bytes.resize(bytes.size() + 3);
  EXPECT_EQ(ParseError(bytes).message(),
            "images: trailing bytes: the header says u8[10], 10 bytes behind the header; 13 bytes "
            "are there, 3 bytes too many");
  EXPECT_THAT(ParseError(Gzip(bytes)).message(), HasSubstr("trailing bytes"));
}

TEST(Idx, NamesOversizedHeaders) {
  std::vector<std::byte> overflow = BytesOf({0, 0, 0x0e, 3});
  overflow.resize(16, std::byte{0xff});
  for (const auto& form : {overflow, Gzip(overflow)}) {
    EXPECT_EQ(ParseError(form).message(),
              "images: oversized header: f64[4294967295, 4294967295, 4294967295] is more than any "
              "file can hold");
  }
  // It fits into 64 bits, but not into the file; nothing of that size may be allocated.
  const auto large = BytesOf({0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 1, 2, 3});
  EXPECT_THAT(ParseError(large).message(), HasSubstr("; 3 bytes are there"));
  EXPECT_THAT(ParseError(Gzip(large)).message(),
              HasSubstr("oversized header: u8[4294967295, 65535]"));
}

TEST(Idx, WriterRefusesWhatTheFormatLacks) {
  EXPECT_THAT(ErrorOf([] { EncodeIdx(Tensor(DType::kI64, Shape{2})); }).message(),
              StartsWith("IDX cannot hold i64[2]"));
  EXPECT_THAT(ErrorOf([] { EncodeIdx(Tensor(DType::kU8, Shape{})); }).message(),
              StartsWith("IDX cannot hold u8[]"));
}

}  // namespace
}  // namespace ingot::formats
