// Contact sheets and heat maps.
#include "ingot/plot/contact_sheet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/plot/heat_map.h"
#include "ingot/plot/svg_canvas.h"

namespace ingot::plot {
namespace {

std::vector<int> Values(const Tensor& tensor) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(tensor.raw());
  return {bytes, bytes + tensor.size()};
}

TEST(AsPictureTest, LayoutsOfPictures) {
  const auto planes = AsPicture(Tensor::Of<uint8_t>({3, 1, 2}, {1, 2, 3, 4, 5, 6}));
  ASSERT_TRUE(planes);
  EXPECT_EQ(planes->shape(), (Shape{1, 2, 3}));
  EXPECT_THAT(Values(*planes), ::testing::ElementsAre(1, 3, 5, 2, 4, 6));
  EXPECT_EQ(AsPicture(Tensor(DType::kU8, Shape{4, 5, 3}))->shape(), (Shape{4, 5, 3}));
  EXPECT_EQ(AsPicture(Tensor(DType::kU8, Shape{1, 4, 5}))->shape(), (Shape{4, 5, 1}));
  EXPECT_EQ(AsPicture(Tensor(DType::kU8, Shape{4, 5}))->shape(), (Shape{4, 5, 1}));
  EXPECT_FALSE(AsPicture(Tensor(DType::kF32, Shape{7})));
  EXPECT_FALSE(AsPicture(Tensor(DType::kF32, Shape{2, 4, 5})));
}

TEST(AsPictureTest, NumbersAreScaledToBytes) {
  const auto picture = AsPicture(Tensor::Of<float>({1, 3}, {-1, 0, 1}));
  EXPECT_THAT(Values(*picture), ::testing::ElementsAre(0, 128, 255));
}

TEST(ContactSheetTest, NoPictureIsAnError) {
  EXPECT_THROW(DrawContactSheet("t", {}), Error);
  EXPECT_TRUE(DrawContactSheet("t", {{Tensor(DType::kU8, Shape{300, 2, 1}), {"a", "b"}}})
                  .starts_with("\x89PNG"));
}

TEST(HeatMapTest, LongNamesAreCutAndLargeMapsFit) {
  HeatMap map{"t", "label", "predicted", {"a", std::string(40, 'w')}, {1, 0, 2, 3}};
  const Rectangle size = SizeOf(map);
  SvgCanvas canvas(size.width, size.height);
  DrawHeatMap(map, canvas);
  EXPECT_THAT(canvas.Document(), ::testing::HasSubstr(">" + std::string(18, 'w') + "..<"));
  map.names.assign(1000, "x");
  map.counts.assign(1000000, 1);
  EXPECT_LT(SizeOf(map).width, 2200);
}

}  // namespace
}  // namespace ingot::plot
