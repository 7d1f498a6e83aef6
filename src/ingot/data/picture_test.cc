// Pictures to samples: scaling against Pillow, crops, colours, planes.
#include "ingot/data/picture.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/data/picture_test_util.h"
#include "ingot/formats/npy.h"

namespace ingot::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Options : PictureOptions {};

PictureReader Reader(const std::string& yaml) {
  static const auto table = [] {
    OptionTable<Options> t("pictures", "pictures");
    AddPictureOptions(t);
    return t;
  }();
  return PictureReader(table.Read(ParseConfig(yaml, "job.yaml")));
}

std::string Message(const std::string& yaml) {
  return ErrorOf([&] { Reader(yaml); }).message();
}

std::vector<int> Read(const PictureReader& reader, const std::string& bytes) {
  std::vector<uint8_t> out(static_cast<size_t>(reader.shape().size()));
  reader.Read(formats::CopyBlob(formats::AsBytes(bytes)), "p.png", out.data());
  return {out.begin(), out.end()};
}

int Difference(const Tensor& a, const Tensor& b) {
  int most = a.shape() == b.shape() ? 0 : 1000;
  for (size_t i = 0; most < 1000 && i < a.bytes(); ++i) {
    most = std::max(most, std::abs(int{a.data<uint8_t>()[i]} - int{b.data<uint8_t>()[i]}));
  }
  return most;
}

// red counts columns, green rows.
std::string Numbered(int64_t height, int64_t width) {
  return PngOf(MakePicture(height, width, [](int64_t y, int64_t x, int64_t c) {
    return static_cast<int>(c == 0 ? x : c == 1 ? y : 9);
  }));
}

TEST(PictureTest, ScalesAsPillowDoes) {
  const Tensor waves = formats::ReadImage(kFormatsFolder + "waves.png");
  const Tensor smaller = formats::ReadNpy(kFormatsFolder + "waves_17x11.npy");
  const Tensor larger = formats::ReadNpy(kFormatsFolder + "waves_70x80.npy");
  EXPECT_EQ(Difference(ResizePicture(waves, {11, 17}), smaller), 0);
  EXPECT_EQ(Difference(ResizePicture(waves, {80, 70}), larger), 0);
  EXPECT_EQ(Difference(ResizePicture(waves, {36, 48}), waves), 0);
}

TEST(PictureTest, AWindowIsAPartOfTheWhole) {
  const Tensor waves = formats::ReadImage(kFormatsFolder + "waves.png");  // 36 x 48
  for (const formats::ImageSize size :
       {formats::ImageSize{11, 17}, {80, 70}, {36, 48}, {36, 20}, {50, 48}}) {
    const Tensor whole = ResizePicture(waves, size);
    for (const PictureWindow& window : {PictureWindow{0, 0, {3, 4}},
                                        {size.height - 5, size.width - 1, {5, 1}},
                                        {2, 7, {9, 10}},
                                        {0, 0, size}}) {
      const Tensor part = ResizePicture(waves, size, window);
      ASSERT_EQ(part.shape(), (Shape{window.size.height, window.size.width, 3}));
      const auto expected = whole.data<uint8_t>();
      const auto pixels = part.data<uint8_t>();
      for (int64_t y = 0; y < window.size.height; ++y) {
        const int64_t row = ((window.top + y) * size.width + window.left) * 3;
        for (int64_t i = 0; i < window.size.width * 3; ++i) {
          ASSERT_EQ(pixels[static_cast<size_t>(y * window.size.width * 3 + i)],
                    expected[static_cast<size_t>(row + i)]);
        }
      }
    }
  }
}

TEST(PictureTest, CutsTheMiddleOut) {
  // 4 x 6 is not scaled where size is its height: columns 1 to 4 are left.
  EXPECT_THAT(Read(Reader("{size: 4}"), Numbered(4, 6)).size(), 3 * 4 * 4);
  const std::vector<int> pixels = Read(Reader("{size: 4}"), Numbered(4, 6));
  EXPECT_THAT(std::vector<int>(pixels.begin(), pixels.begin() + 4), ElementsAre(1, 2, 3, 4));
  // Green counts rows: the second plane.
  EXPECT_THAT(std::vector<int>(pixels.begin() + 16, pixels.begin() + 21),
              ElementsAre(0, 0, 0, 0, 1));
  const std::vector<int> tall = Read(Reader("{size: [2, 4]}"), Numbered(6, 4));
  EXPECT_THAT(std::vector<int>(tall.begin() + 8, tall.begin() + 16),
              ElementsAre(2, 2, 2, 2, 3, 3, 3, 3));
}

TEST(PictureTest, ResizeIsOfTheShorterSide) {
  // 8 x 16 to 4 x 8, of which the middle 2 x 2 is columns 3 and 4 of 8: 6 to 9 of 16.
  const std::vector<int> pixels = Read(Reader("{size: 2, resize: 4}"), Numbered(8, 16));
  EXPECT_THAT(std::vector<int>(pixels.begin(), pixels.begin() + 2),
              ElementsAre(testing::AllOf(testing::Ge(6), testing::Le(7)),
                          testing::AllOf(testing::Ge(8), testing::Le(9))));
}

TEST(PictureTest, StretchKeepsAllOfIt) {
  const std::vector<int> pixels = Read(Reader("{size: [2, 2], fit: stretch}"), Numbered(2, 200));
  EXPECT_LT(pixels[0], 60);
  EXPECT_GT(pixels[1], 130);
}

TEST(PictureTest, Colours) {
  EXPECT_THAT(Read(Reader("{size: 1}"), PlainPng(3, 3, 10, 20, 30)), ElementsAre(10, 20, 30));
  EXPECT_THAT(Read(Reader("{size: 1, colour: grey}"), PlainPng(3, 3, 10, 20, 30)), ElementsAre(18));
}

TEST(PictureTest, PicturesOfOneSizeAsTheyAre) {
  PictureReader reader = Reader("{}");
  EXPECT_FALSE(reader.has_size());
  reader.SetSize({3, 2});
  EXPECT_EQ(reader.shape(), (Shape{3, 3, 2}));
  EXPECT_EQ(Read(reader, Numbered(3, 2)).size(), 18u);
  const Error error = ErrorOf([&] { Read(reader, Numbered(2, 3)); });
  EXPECT_EQ(error.message(),
            "p.png: a picture of 2 x 3 (height x width), but the others are 3 x 2 (height x "
            "width)");
  EXPECT_THAT(error.hint(), HasSubstr("give the source a size"));
}

TEST(PictureTest, OptionsThatDoNotGoTogether) {
  EXPECT_THAT(Message("{resize: 4}"), HasSubstr("resize: 4 without size"));
  EXPECT_THAT(Message("{size: 8, resize: 4}"), HasSubstr("resize: 4 is less than size, 8 x 8"));
  EXPECT_THAT(Message("{size: 4, resize: 8, fit: stretch}"), HasSubstr("with fit: stretch"));
  EXPECT_THAT(Message("{size: [1, 2, 3]}"), HasSubstr("size is [height, width] or one number"));
  EXPECT_THAT(Message("{size: 0}"), HasSubstr("size is [height, width] or one number"));
}

}  // namespace
}  // namespace ingot::data
