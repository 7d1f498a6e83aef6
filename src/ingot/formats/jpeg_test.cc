// Tests of JPEG, against what Pillow reads of the same files (tests/data/formats/make.py).
#include "ingot/formats/jpeg.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/npy.h"
#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kFolder = INGOT_SOURCE_DIR "/tests/data/formats/";

// The largest difference between two pictures of the same number of values.
int Difference(const Tensor& a, const Tensor& b) {
  int most = a.bytes() == b.bytes() ? 0 : 1000;
  for (size_t i = 0; most < 1000 && i < a.bytes(); ++i) {
    most = std::max(most, std::abs(int{a.data<uint8_t>()[i]} - int{b.data<uint8_t>()[i]}));
  }
  return most;
}

TEST(Jpeg, ReadsWhatPillowReads) {
  for (const std::string name : {"waves", "waves_progressive", "waves_grey", "waves_cmyk"}) {
    const Tensor image = ReadImage(kFolder + name + ".jpg");
    EXPECT_EQ(image.Describe(), name == "waves_grey" ? "u8[36, 48, 1]" : "u8[36, 48, 3]");
    // Both decode with libjpeg-turbo, of which there are versions.
    EXPECT_LE(Difference(image, ReadNpy(kFolder + name + ".npy")), 2) << name;
  }
}

TEST(Jpeg, DecodesAtASmallerScaleWhereThatIsEnough) {
  const Blob blob = MapBlob(kFolder + "waves.jpg");
  EXPECT_EQ(ParseJpeg(blob, "w", {}, {18, 24}).Describe(), "u8[18, 24, 3]");
  EXPECT_EQ(ParseJpeg(blob, "w", {}, {18, 25}).Describe(), "u8[36, 48, 3]");
  EXPECT_EQ(ParseJpeg(blob, "w", {}, {4, 4}).Describe(), "u8[5, 6, 3]");
  EXPECT_EQ(ParseJpeg(blob, "w", {}, {100, 100}).Describe(), "u8[36, 48, 3]");
}

TEST(Jpeg, EveryTruncationIsAnError) {
  const std::string file = ReadFile(kFolder + "waves.jpg");
  // The last two bytes mark the end, which no pixel needs.
  for (size_t size = 0; size + 2 < file.size(); ++size) {
    const Error error = ErrorOf([&] { ParseJpeg(BlobOf(file.substr(0, size)), "cut.jpg"); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << size;
    EXPECT_THAT(error.message(), StartsWith("cut.jpg: "));
  }
}

TEST(Jpeg, BytesBetweenTheParts) {
  std::string file = ReadFile(kFolder + "waves.jpg");
  const Tensor whole = ParseJpeg(BlobOf(file), "w");
  file.insert(file.find("\xff\xdb"), "junk");
  EXPECT_EQ(Difference(ParseJpeg(BlobOf(file), "w"), whole), 0);
}

TEST(Jpeg, NamesDamage) {
  std::string file = ReadFile(kFolder + "waves.jpg");
  const size_t frame = file.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  file[frame + 1] = '\xc3';  // lossless JPEG
  const Error lossless = ErrorOf([&] { ParseJpeg(BlobOf(file), "w.jpg"); });
  EXPECT_EQ(lossless.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(lossless.message(), StartsWith("w.jpg: a kind of JPEG that is not read: "));
  EXPECT_THAT(ErrorOf([] { ParseJpeg(BlobOf("hello"), "w.jpg"); }).message(),
              HasSubstr("w.jpg: not a JPEG image: it begins with '68 65 6c'"));
  EXPECT_EQ(ErrorOf([] { ParseJpeg(BlobOf(""), "w.jpg"); }).code(), ErrorCode::kCorrupt);
}

TEST(Jpeg, LimitsTheSize) {
  const Error error = ErrorOf([] { ReadImage(kFolder + "waves.jpg", {.pixels = 48 * 36 - 1}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr("48 x 36 pixels are more than the limit"));
}

TEST(Image, TheSizeComesFromTheHeaderAlone) {
  const std::string jpeg = ReadFile(kFolder + "waves.jpg");
  const std::string png = ReadFile(kFolder + "rgb.png");
  const ImageSize waves = ParseImageSize(BlobOf(jpeg.substr(0, jpeg.size() - 20)), "w.jpg");
  EXPECT_EQ(waves.height, 36);
  EXPECT_EQ(waves.width, 48);
  const ImageSize rgb = ParseImageSize(BlobOf(png.substr(0, 40)), "i.png");
  EXPECT_EQ(rgb.height, 3);
  EXPECT_EQ(rgb.width, 5);
  for (const std::string& file : {jpeg, png}) {
    EXPECT_THAT(ErrorOf([&] { ParseImageSize(BlobOf(file), "a", {.pixels = 14}); }).message(),
                HasSubstr("pixels are more than the limit of 14"));
    EXPECT_EQ(ErrorOf([&] { ParseImageSize(BlobOf(file.substr(0, 20)), "a"); }).code(),
              ErrorCode::kCorrupt);
  }
  EXPECT_THAT(ErrorOf([] { ParseImageSize(BlobOf(""), "a"); }).message(), HasSubstr("is empty"));
}

TEST(Image, IsWhateverTheFirstBytesSay) {
  EXPECT_EQ(ReadImage(kFolder + "rgba.png").Describe(), "u8[3, 5, 4]");
  const Error gif = ErrorOf([] { ParseImage(BlobOf("GIF89a"), "a.jpg"); });
  EXPECT_EQ(gif.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(gif.message(), HasSubstr("a.jpg: looks like GIF, expected a PNG or JPEG image"));
  EXPECT_THAT(ErrorOf([] { ParseImage(BlobOf(""), "a.jpg"); }).message(), HasSubstr("is empty"));
  EXPECT_THAT(ErrorOf([] { ParseImage(BlobOf("text"), "a.jpg"); }).message(),
              HasSubstr("neither a PNG nor a JPEG image: it begins with '74 65 78 74'"));
}

}  // namespace
}  // namespace ingot::formats
