// Tests of gzip and raw deflate.
#include "ingot/formats/gzip.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::HasSubstr;

constexpr size_t kNoLimit = size_t{1} << 30;

// Compressible, but not to nothing.
std::string SampleText(size_t size) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < size) text += static_cast<char>('a' + random() % 4);
  return text;
}

std::string GunzipText(std::span<const std::byte> bytes) {
  return std::string(AsText(Gunzip(bytes, "f.gz", kNoLimit).bytes()));
}

TEST(Gzip, RoundTripsAtEveryLevelAndSize) {
  for (const size_t size : {0u, 1u, 63u, 4096u, 100'000u}) {
    const std::string text = SampleText(size);
    for (const int level : {0, 1, 6, 9}) {
      EXPECT_EQ(GunzipText(Gzip(AsBytes(text), level)), text) << size << " at level " << level;
    }
  }
}

TEST(Gzip, CompressesAndIsDeterministic) {
  const std::string text = SampleText(100'000);
  const auto bytes = Gzip(AsBytes(text));
  EXPECT_LT(bytes.size(), text.size() / 2);
  EXPECT_EQ(bytes, Gzip(AsBytes(text)));
}

TEST(Gzip, ReadsWhatTheGzipProgramWrites) {
  // printf hello | gzip -n
  const auto bytes =
      BytesOf({0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb, 0x48, 0xcd,
               0xc9, 0xc9, 0x07, 0x00, 0x86, 0xa6, 0x10, 0x36, 0x05, 0x00, 0x00, 0x00});
  EXPECT_EQ(GunzipText(bytes), "hello");
}

TEST(Gzip, JoinsMembersAndIgnoresZeroPadding) {
  auto bytes = Gzip(AsBytes(SampleText(5000)));
  const auto second = Gzip(AsBytes("and the rest"));
  bytes.insert(bytes.end(), second.begin(), second.end());
  EXPECT_EQ(GunzipText(bytes), SampleText(5000) + "and the rest");
  bytes.resize(bytes.size() + 100);
  EXPECT_EQ(GunzipText(bytes), SampleText(5000) + "and the rest");
}

TEST(Gzip, GrowsWhereTheLastMemberIsTheSmallest) {
  auto bytes = Gzip(AsBytes(std::string(300'000, 'x')));
  const auto second = Gzip(AsBytes("y"));
  bytes.insert(bytes.end(), second.begin(), second.end());
  EXPECT_EQ(GunzipText(bytes), std::string(300'000, 'x') + "y");
}

TEST(Gzip, ReaderGivesPiecesOfAnySize) {
  const std::string text = SampleText(10'000);
  const auto bytes = Gzip(AsBytes(text));
  GzipReader reader(bytes, "f.gz");
  std::string read;
  std::vector<std::byte> piece(777);
  while (const size_t count = reader.Read(piece)) read += AsText({piece.data(), count});
  EXPECT_EQ(read, text);
  EXPECT_EQ(reader.Read(piece), 0u);
}

TEST(Gzip, RefusesMoreThanTheLimit) {
  const auto bytes = Gzip(AsBytes(std::string(10'000, 'x')));
  EXPECT_EQ(Gunzip(bytes, "f.gz", 10'000).size, 10'000u);
  const Error error = ErrorOf([&] { Gunzip(bytes, "f.gz", 9'999); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message(), "f.gz: inflates to more than the limit of 9.8 KiB");
}

TEST(Gzip, NamesWrongMagic) {
  const Error error = ErrorOf([] { Gunzip(AsBytes("PK.."), "f.gz", kNoLimit); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_EQ(error.message(), "f.gz: not a gzip stream: it begins with '50 4b', expected '1f 8b'");
}

TEST(Gzip, EveryTruncationIsAnError) {
  const auto bytes = Gzip(AsBytes(SampleText(300)));
  for (size_t size = 2; size < bytes.size(); ++size) {
    const Error error = ErrorOf([&] { Gunzip(std::span(bytes).first(size), "f.gz", kNoLimit); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.message(), HasSubstr("f.gz: truncated gzip stream: it ends after " +
                                           std::to_string(size) + " bytes"));
  }
}

TEST(Gzip, FlippedBitsInDataOrTrailerAreErrors) {
  auto bytes = Gzip(AsBytes(SampleText(300)));
  for (size_t i = 10; i < bytes.size(); ++i) {
    bytes[i] ^= std::byte{0x10};
    const Error error = ErrorOf([&] { Gunzip(bytes, "f.gz", kNoLimit); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << "byte " << i;
    bytes[i] ^= std::byte{0x10};
  }
}

TEST(Gzip, NamesBytesBehindTheStream) {
  auto bytes = Gzip(AsBytes("hello"));
  bytes.push_back(std::byte{'x'});
  const Error error = ErrorOf([&] { Gunzip(bytes, "f.gz", kNoLimit); });
  EXPECT_EQ(error.message(), "f.gz: 1 bytes behind the end of the gzip stream are not gzip");
}

// Raw deflate data of gzip's: behind its header of 10 bytes, before its trailer of 8.
std::span<const std::byte> RawPart(const std::vector<std::byte>& gzip) {
  return std::span(gzip).subspan(10, gzip.size() - 18);
}

TEST(InflateRaw, FillsExactly) {
  for (const size_t size : {0u, 1u, 5000u}) {
    const std::string text = SampleText(size);
    std::vector<std::byte> out(size);
    InflateRaw(RawPart(Gzip(AsBytes(text))), out, "f");
    EXPECT_EQ(TextOf(out), text);
  }
}

TEST(InflateRaw, NamesWrongSizesAndTruncation) {
  const auto gzip = Gzip(AsBytes(SampleText(500)));
  std::vector<std::byte> small(499), large(501), right(500);
  EXPECT_THAT(ErrorOf([&] { InflateRaw(RawPart(gzip), small, "f"); }).message(),
              HasSubstr("f: deflate data hold more than the 499 bytes"));
  EXPECT_EQ(ErrorOf([&] { InflateRaw(RawPart(gzip), large, "f"); }).message(),
            "f: deflate data hold 500 bytes, 501 are declared");
  const auto cut = RawPart(gzip).first(40);
  EXPECT_THAT(ErrorOf([&] { InflateRaw(cut, right, "f"); }).message(),
              HasSubstr("f: truncated deflate data"));
  EXPECT_THAT(ErrorOf([&] {
                InflateRaw(BytesOf({7, 7, 7}), right, "f");
              }).message(),
              HasSubstr("f: damaged deflate data: invalid"));
}

}  // namespace
}  // namespace ingot::formats
