// Tests of the tar reader and writer.
#include "ingot/formats/tar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/tar_test_util.h"
#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::HasSubstr;

std::vector<std::byte> Sample() {
  const std::string large(1025, 'x');
  const std::vector<std::pair<std::string, std::span<const std::byte>>> files = {
      {"package/a", AsBytes("hello")}, {"empty", {}}, {"large", AsBytes(large)}};
  return EncodeTar(files);
}

TEST(Tar, RoundTrips) {
  const auto bytes = Sample();
  const std::vector<TarEntry> entries = ParseTar(bytes, "t.tar");
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "package/a");
  EXPECT_EQ(AsText(entries[0].bytes), "hello");
  EXPECT_EQ(entries[1].name, "empty");
  EXPECT_TRUE(entries[1].bytes.empty());
  EXPECT_EQ(AsText(entries[2].bytes), std::string(1025, 'x'));
}

TEST(Tar, PassesOverFolders) {
  auto bytes = Sample();
  bytes[156] = std::byte{'5'};
  // The checksum counts the type: five more than a plain file's '0', in the last octal digits.
  EXPECT_THAT(ErrorOf([&] { ParseTar(bytes, "t.tar"); }).message(),
              HasSubstr("t.tar: damaged tar archive: wrong checksum of the header at byte 0"));
  uint64_t sum = 0;
  for (size_t i = 0; i < 512; ++i) {
    sum += i >= 148 && i < 156 ? ' ' : std::to_integer<uint64_t>(bytes[i]);
  }
  for (size_t digit = 0; digit < 6; ++digit) {
    bytes[148 + 5 - digit] = static_cast<std::byte>('0' + ((sum >> (3 * digit)) & 7));
  }
  EXPECT_EQ(ParseTar(bytes, "t.tar").size(), 2u);
}

TEST(Tar, LongNamesOfGnuTarAndOfPax) {
  const std::string gnu = std::string(300, 'g') + ".jpg";
  const std::string pax = std::string(120, 'p') + "/\xc3\xa9.jpg";
  const std::string text =
      TarMember("pax_global_header", PaxRecord("path", "of none"), 'g') +
      TarMember("././@LongLink", gnu + '\0', 'L') + TarMember("ggg", "one") +
      TarMember("plain", "two") +
      TarMember("h", PaxRecord("mtime", "1.5") + PaxRecord("path", pax) + PaxRecord("size", "5"),
                'x') +
      TarMember("ppp", "three and more") + TarMember("last", "four");
  const std::vector<TarEntry> entries = ParseTar(AsBytes(text), "t.tar");
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].name, gnu);
  EXPECT_EQ(AsText(entries[0].bytes), "one");
  EXPECT_EQ(entries[1].name, "plain");
  EXPECT_EQ(entries[2].name, pax);
  EXPECT_EQ(AsText(entries[2].bytes), "three");
  EXPECT_EQ(entries[3].name, "last");
  // From where an entry begins its name can be read again.
  EXPECT_EQ(ParseTar(AsBytes(text).subspan(entries[0].at), "t.tar")[0].name, gnu);
  EXPECT_EQ(text.substr(entries[3].at, 4), "last");
}

TEST(Tar, DamagedPaxRecordsAreNamed) {
  for (const char* record : {"path=a\n", "9 path=a", "99 path=a\n", "0 path=a\n", "5 path=a\n",
                             "10 path a\n", "11 size=ten\n", "x"}) {
    const std::string text = TarMember("h", record, 'x') + TarMember("a", "b");
    const Error error = ErrorOf([&] { ParseTar(AsBytes(text), "t.tar"); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << record;
    EXPECT_THAT(error.message(), HasSubstr("t.tar: damaged tar archive: a pax ")) << record;
  }
}

TEST(Tar, NamesTruncationAndDamage) {
  const auto bytes = Sample();
  EXPECT_EQ(ErrorOf([&] { ParseTar(std::span(bytes).first(100), "t.tar"); }).message(),
            "t.tar: truncated tar archive: it ends inside a header");
  EXPECT_EQ(ErrorOf([&] { ParseTar(std::span(bytes).first(514), "t.tar"); }).message(),
            "t.tar: truncated tar archive: 'package/a' has 5 bytes, 2 are there");
  auto damaged = bytes;
  damaged[130] = std::byte{'9'};
  EXPECT_EQ(ErrorOf([&] { ParseTar(damaged, "t.tar"); }).code(), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace ingot::formats
