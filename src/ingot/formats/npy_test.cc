// Tests of npy, npz and zip. The files in tests/data/formats were written by NumPy (make.py there).
#include "ingot/formats/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/endian.h"
#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kFolder = INGOT_SOURCE_DIR "/tests/data/formats/";

std::vector<std::byte> NpyOf(const std::string& header, size_t data_bytes, int version = 1) {
  std::vector<std::byte> bytes = BytesOf({0x93, 'N', 'U', 'M', 'P', 'Y', version, 0});
  if (version == 1) {
    AppendLittle(bytes, static_cast<uint16_t>(header.size()));
  } else {
    AppendLittle(bytes, static_cast<uint32_t>(header.size()));
  }
  AppendTo(bytes)(AsBytes(header));
  for (size_t i = 0; i < data_bytes; ++i) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

Error ParseError(const std::vector<std::byte>& bytes) {
  return ErrorOf([&] { ParseNpy(BlobOf(bytes), "a.npy"); });
}

TEST(Npy, RoundTripsEveryTypeAndRank) {
  for (const DType dtype :
       {DType::kBool, DType::kI8, DType::kI16, DType::kI32, DType::kI64, DType::kU8, DType::kU16,
        DType::kU32, DType::kU64, DType::kF16, DType::kF32, DType::kF64}) {
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3}, Shape{0, 2}, Shape{1, 2, 1, 2}}) {
      Tensor values(DType::kI64, shape);
      for (int64_t i = 0; i < values.size(); ++i)
        values.data<int64_t>()[static_cast<size_t>(i)] = i % 2;
      const Tensor tensor = values.Cast(dtype);
      const auto bytes = EncodeNpy(tensor);
      EXPECT_EQ((bytes.size() - tensor.bytes()) % 64, 0u);
      const Tensor read = ParseNpy(BlobOf(bytes), "a.npy");
      EXPECT_EQ(read.Describe(), tensor.Describe());
      EXPECT_EQ(read.ToDoubles(), tensor.ToDoubles());
    }
  }
}

TEST(Npy, ReadsNumPysFilesAndWritesTheSameBytes) {
  const Tensor c_order = ReadNpy(kFolder + "c_order.npy");
  EXPECT_EQ(c_order.Describe(), "f32[2, 3]");
  EXPECT_EQ(c_order.ToDoubles(), (std::vector<double>{0, 0.5, 1, 1.5, 2, 2.5}));
  EXPECT_EQ(TextOf(EncodeNpy(c_order)), ReadFile(kFolder + "c_order.npy"));

  const Tensor fortran = ReadNpy(kFolder + "fortran_big_endian.npy");
  EXPECT_EQ(fortran.Describe(), "i32[2, 3, 2]");
  std::vector<int64_t> counting(12);
  for (size_t i = 0; i < 12; ++i) counting[i] = static_cast<int64_t>(i) * 1000;
  EXPECT_EQ(fortran.ToInts(), counting);
}

TEST(Npy, ReadsVersions2And3AndOldIntegers) {
  for (const int version : {2, 3}) {
    const auto bytes =
        NpyOf("{\"descr\": \"|u1\", 'fortran_order': True, 'shape': (3L,)}  \n", 3, version);
    EXPECT_EQ(ParseNpy(BlobOf(bytes), "a.npy").ToInts(), (std::vector<int64_t>{0, 1, 2}));
  }
  EXPECT_EQ(ParseError(NpyOf("", 0, 4)).message(), "a.npy: npy version 4, expected 1, 2 or 3");
}

TEST(Npy, WritesVersion2ForLongHeaders) {
  const Tensor deep(DType::kU8, Shape(std::vector<int64_t>(30'000, 1)));
  const auto bytes = EncodeNpy(deep);
  EXPECT_EQ(bytes[6], std::byte{2});
  EXPECT_EQ(ParseNpy(BlobOf(bytes), "a.npy").shape(), deep.shape());
}

TEST(Npy, ViewsTheMappedFile) {
  const Blob blob = MapBlob(kFolder + "c_order.npy");
  EXPECT_EQ(ParseNpy(blob, "a.npy").raw(), blob.data.get() + blob.size - 24);
}

TEST(Npy, EveryTruncationIsAnError) {
  const auto bytes = EncodeNpy(Tensor::Of<float>({2}, {1, 2}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(ParseError(cut).code(), ErrorCode::kCorrupt) << size;
  }
  const std::vector<std::byte> cut(bytes.begin(), bytes.end() - 3);
  EXPECT_EQ(ParseError(cut).message(), "a.npy: truncated npy file: f32[2] is 8 bytes, 5 are there");
}

TEST(Npy, NamesWhatIsWrong) {
  EXPECT_THAT(ParseError(BytesOf({'P', 'K', 3, 4, 0, 0})).message(),
              StartsWith("a.npy: not an npy file: it begins with '50 4b 03 04 00 00'"));
  const auto message = [](const std::string& header) {
    return ParseError(NpyOf(header, 8)).message();
  };
  EXPECT_EQ(message("{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }"),
            "a.npy: trailing bytes: u8[7] is 7 bytes, 8 are there");
  EXPECT_EQ(
      message("{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 2), }"),
      "a.npy: oversized header: f64[9223372036854775807, 2] is more than any file can hold");
  EXPECT_EQ(message("{'descr': '|S8', 'fortran_order': False, 'shape': (), }"),
            "a.npy: npy type '|S8' is not supported, expected numbers, bool or text");
  EXPECT_EQ(message("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (), }"),
            "a.npy: an npy array of records, expected numbers");
  EXPECT_THAT(message("{'descr': '<f8', 'shape': (1,), }"),
              HasSubstr("damaged npy header: too few keys"));
  EXPECT_THAT(message("{'descr': '<f8', 'fortran_order': maybe, 'shape': (1,), }"),
              HasSubstr("damaged npy header: neither True nor False near character 34"));
  EXPECT_THAT(message("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
              HasSubstr("no extent from 0"));
  EXPECT_THAT(message("{'descr': '<f8"), HasSubstr("an unclosed quote"));
  EXPECT_THAT(message("{'shape': (), 'shape': (), }"), HasSubstr("the key 'shape'"));
  EXPECT_THAT(ErrorOf([] { EncodeNpy(Tensor(DType::kBf16, Shape{2})); }).message(),
              StartsWith("npy cannot hold bf16[2]"));
}

TEST(Npz, ReadsNumPysStoredAndCompressedFiles) {
  for (const std::string name : {"stored.npz", "compressed.npz"}) {
    const NpzFile file = NpzFile::Open(kFolder + name);
    EXPECT_THAT(file.names(), ElementsAre("weight", "ids"));
    EXPECT_EQ(file.Get("weight").ToDoubles(), (std::vector<double>{0, 0.5, 1, 1.5, 2, 2.5}));
    EXPECT_EQ(file.Get("ids").Describe(), "i64[100]");
    EXPECT_EQ(file.Get("ids").ToInts()[99], 99);
  }
}

std::vector<std::byte> SampleNpz() {
  std::vector<std::byte> bytes;
  const std::vector<NamedTensor> arrays = {{"x", Tensor::Of<float>({2}, {1, 2})},
                                           {"y", Tensor::Of<int64_t>({1}, {-5})}};
  WriteNpz(arrays, AppendTo(bytes));
  return bytes;
}

TEST(Npz, RoundTrips) {
  const NpzFile file = NpzFile::Parse(BlobOf(SampleNpz()), "a.npz");
  EXPECT_THAT(file.names(), ElementsAre("x", "y"));
  EXPECT_EQ(file.Get("x").ToDoubles(), (std::vector<double>{1, 2}));
  EXPECT_EQ(file.Get("y").ToInts(), (std::vector<int64_t>{-5}));
  EXPECT_EQ(SampleNpz(), SampleNpz());
}

TEST(Npz, NamesMissingArrays) {
  const NpzFile file = NpzFile::Parse(BlobOf(SampleNpz()), "a.npz");
  const Error error = ErrorOf([&] { file.Get("z"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_EQ(error.message(), "a.npz: no array 'z'");
}

TEST(Npz, FlippedBitsInContentsAreFound) {
  auto bytes = SampleNpz();
  bytes[30 + 5 + 128] ^= std::byte{1};  // the first element of x: local header, name, npy header
  const NpzFile file = NpzFile::Parse(BlobOf(bytes), "a.npz");
  EXPECT_EQ(ErrorOf([&] { file.Get("x"); }).message(),
            "a.npz: entry 'x.npy': wrong checksum: the contents are damaged");
  EXPECT_EQ(file.Get("y").ToInts(), (std::vector<int64_t>{-5}));
}

TEST(Npz, EveryTruncationIsAnError) {
  const auto bytes = SampleNpz();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    const Error error = ErrorOf([&] { NpzFile::Parse(BlobOf(cut), "a.npz"); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  }
  EXPECT_EQ(ErrorOf([&] { NpzFile::Parse(BlobOf("no zip"), "a.npz"); }).message(),
            "a.npz: not a zip archive, or a truncated one: it has no end of central directory");
}

TEST(Zip, WriterRefusesNamesGivenTwice) {
  const std::vector<NamedBytes> files = {{"a", {}}, {"a", {}}};
  std::vector<std::byte> bytes;
  EXPECT_EQ(ErrorOf([&] { WriteZip(files, AppendTo(bytes)); }).message(),
            "zip: two entries are called 'a'");
}

TEST(NpyTest, TextsAreUtf32InTheFile) {
  const Tensor texts =
      Tensor::OfStrings({2, 2}, {"", std::string("a\0b", 3), "gr\u00fc\u00df", "\U0001F600"});
  const std::vector<std::byte> bytes = EncodeNpy(texts);
  EXPECT_NE(TextOf(bytes).find("'descr': '<U4'"), std::string::npos);
  const Tensor read = ParseNpy(BlobOf(bytes), "a.npy");
  EXPECT_EQ(read.shape(), texts.shape());
  EXPECT_EQ(read.ToStrings(), texts.ToStrings());
  std::vector<std::byte> cut = bytes;
  cut.resize(bytes.size() - 4);
  EXPECT_THROW(ParseNpy(BlobOf(cut), "a.npy"), Error);
}

}  // namespace
}  // namespace ingot::formats
