// Tests of PNG. The images in tests/data/formats were written by Pillow (make.py there).
#include "ingot/formats/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/formats/test_support.h"

namespace ingot::formats {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kFolder = INGOT_SOURCE_DIR "/tests/data/formats/";

std::vector<int> Values(const Tensor& image) {
  const auto data = image.data<uint8_t>();
  return {data.begin(), data.end()};
}

// The pixels of rgb.png: 5, 10, 15, ... over the 3 x 5 x 3 values.
std::vector<int> Rgb() {
  std::vector<int> values;
  for (int i = 0; i < 45; ++i) values.push_back(i * 5);
  return values;
}
std::vector<int> Grey() {
  std::vector<int> values;
  for (int i = 0; i < 15; ++i) values.push_back(i * 15);
  return values;
}

TEST(Png, ReadsColourAndGreyAsTheyAre) {
  const Tensor rgb = ReadPng(kFolder + "rgb.png");
  EXPECT_EQ(rgb.Describe(), "u8[3, 5, 3]");
  EXPECT_EQ(Values(rgb), Rgb());
  const Tensor grey = ReadPng(kFolder + "grey.png");
  EXPECT_EQ(grey.Describe(), "u8[3, 5, 1]");
  EXPECT_EQ(Values(grey), Grey());
}

TEST(Png, ReadsOtherDepthsAndPalettes) {
  EXPECT_EQ(Values(ReadPng(kFolder + "grey16.png")), Grey());
  std::vector<int> bits;
  for (const int value : Grey()) bits.push_back(value > 100 ? 255 : 0);
  EXPECT_EQ(Values(ReadPng(kFolder + "one_bit.png")), bits);
  // 15 colours into a palette of 16: nothing is lost.
  const Tensor palette = ReadPng(kFolder + "palette.png");
  EXPECT_EQ(palette.Describe(), "u8[3, 5, 3]");
  EXPECT_EQ(Values(palette), Rgb());
}

TEST(Png, RoundTripsOneToFourChannels) {
  for (int64_t channels = 1; channels <= 4; ++channels) {
    Tensor image(DType::kU8, Shape{7, 6, channels});
    for (size_t i = 0; i < image.bytes(); ++i) image.raw()[i] = static_cast<std::byte>(i * 37);
    const Tensor read = ParsePng(BlobOf(EncodePng(image)), "i.png");
    EXPECT_EQ(read.shape(), image.shape());
    EXPECT_EQ(Values(read), Values(image)) << channels;
  }
}

TEST(ConvertImage, GreyFollowsBt601) {
  const Tensor image =
      Tensor::Of<uint8_t>({1, 4, 3}, {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30});
  EXPECT_EQ(Values(ConvertImage(image, 1)), (std::vector<int>{76, 150, 29, 18}));
  EXPECT_EQ(Values(ConvertImage(image, 3)), Values(image));
}

TEST(ConvertImage, GreyBecomesColourAndAlphaLiesOverWhite) {
  const Tensor grey = Tensor::Of<uint8_t>({1, 2, 1}, {7, 200});
  EXPECT_EQ(Values(ConvertImage(grey, 3)), (std::vector<int>{7, 7, 7, 200, 200, 200}));
  const Tensor alpha = Tensor::Of<uint8_t>({1, 3, 2}, {0, 0, 0, 255, 0, 51});
  EXPECT_EQ(Values(ConvertImage(alpha, 1)), (std::vector<int>{255, 0, 204}));
  const Tensor rgba = ReadPng(kFolder + "rgba.png");
  EXPECT_EQ(rgba.Describe(), "u8[3, 5, 4]");
  EXPECT_EQ(Values(ConvertImage(rgba, 3))[1], (5 * 51 + 255 * 204 + 127) / 255);
}

TEST(ConvertImage, RefusesWhatIsNoImage) {
  EXPECT_EQ(ErrorOf([] {
              ConvertImage(Tensor(DType::kF32, Shape{2, 2, 1}), 1);
            }).message(),
            "f32[2, 2, 1] is no image");
  EXPECT_EQ(ErrorOf([] {
              EncodePng(Tensor(DType::kU8, Shape{2, 2}));
            }).message(),
            "u8[2, 2] is no image");
  EXPECT_THAT(ErrorOf([] {
                ConvertImage(Tensor(DType::kU8, Shape{1, 1, 1}), 2);
              }).message(),
              HasSubstr("2 channels"));
}

TEST(Png, NamesOtherFormats) {
  const Error jpeg = ErrorOf([] { ReadPng(kFolder + "photo.jpg"); });
  EXPECT_EQ(jpeg.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(jpeg.message(), HasSubstr("photo.jpg: looks like JPEG, expected a PNG image"));
  EXPECT_THAT(ErrorOf([] { ParsePng(BlobOf("hello"), "i.png"); }).message(),
              StartsWith("i.png: not a PNG image: it begins with '68 65 6c 6c 6f'"));
  EXPECT_EQ(ErrorOf([] { ReadPng(kFolder + "missing.png"); }).code(), ErrorCode::kNotFound);
}

TEST(Png, EveryTruncationIsAnError) {
  const std::string file = ReadFile(kFolder + "rgb.png");
  // The last 12 bytes are the IEND chunk, which no pixel needs.
  for (size_t size = 0; size + 12 < file.size(); ++size) {
    const Error error = ErrorOf([&] { ParsePng(BlobOf(file.substr(0, size)), "i.png"); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << size;
  }
}

TEST(Png, NamesDamage) {
  std::string file = ReadFile(kFolder + "rgb.png");
  file[50] = static_cast<char>(file[50] ^ 0x40);
  EXPECT_THAT(ErrorOf([&] { ParsePng(BlobOf(file), "i.png"); }).message(),
              StartsWith("i.png: damaged PNG image: "));
}

TEST(Png, LimitsTheSize) {
  const Error error = ErrorOf([] { ReadPng(kFolder + "rgb.png", {.pixels = 14}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr("rgb.png: 5 x 3 pixels are more than the limit of 14"));
  // A header that claims 8000 x 8000 pixels above some 70 bytes: refused before anything is
  // allocated.
  std::string file = ReadFile(kFolder + "rgb.png");
  for (const size_t at : {18u, 22u}) {
    file[at] = 0x1f;
    file[at + 1] = 0x40;
  }
  EXPECT_THAT(ErrorOf([&] { ParsePng(BlobOf(file), "i.png"); }).message(),
              HasSubstr("the PNG header says 8000 x 8000 pixels, more than"));
}

}  // namespace
}  // namespace ingot::formats
