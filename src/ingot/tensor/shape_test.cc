// Shapes, axes, strides and broadcasting.
#include "ingot/tensor/shape.h"

#include <functional>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

std::string MessageOf(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.message();
  }
  return "no error";
}

TEST(ShapeTest, KnowsItsExtents) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.dim(0), 2);
  EXPECT_EQ(shape.dim(-1), 4);
  EXPECT_EQ(shape.size(), 24);
  EXPECT_EQ(shape.ToString(), "[2, 3, 4]");
}

TEST(ShapeTest, ScalarHasOneElementAndAnEmptyAxisNone) {
  EXPECT_EQ(Shape{}.size(), 1);
  EXPECT_EQ(Shape{}.ToString(), "[]");
  EXPECT_EQ((Shape{3, 0, 5}).size(), 0);
}

TEST(ShapeTest, RefusesWhatHasNoSize) {
  EXPECT_EQ(MessageOf([] {
              (void)(Shape{2, -1}).size();
            }),
            "shape [2, -1] is negative or too large");
  EXPECT_EQ(MessageOf([] {
              (void)(Shape{int64_t{1} << 40, int64_t{1} << 40}).size();
            }),
            "shape [1099511627776, 1099511627776] is negative or too large");
}

TEST(ShapeTest, RefusesAnAxisOutside) {
  EXPECT_EQ(MessageOf([] { (void)(Shape{2, 3}).dim(2); }), "axis 2 is outside a tensor of rank 2");
  EXPECT_EQ(MessageOf([] { (void)NormalizeAxis(-4, 3); }), "axis -4 is outside a tensor of rank 3");
  EXPECT_EQ(NormalizeAxis(-3, 3), 0);
}

TEST(ShapeTest, StridesAreRowMajor) {
  EXPECT_EQ(Strides(std::vector<int64_t>{2, 3, 4}), (std::vector<int64_t>{12, 4, 1}));
  EXPECT_TRUE(Strides({}).empty());
}

TEST(BroadcastShapesTest, FollowsNumPy) {
  EXPECT_EQ(BroadcastShapes({2, 1, 4}, {3, 1}), (Shape{2, 3, 4}));
  EXPECT_EQ(BroadcastShapes({}, {5}), Shape{5});
  EXPECT_EQ(BroadcastShapes({5}, {5}), Shape{5});
  EXPECT_EQ(BroadcastShapes({1}, {0}), Shape{0});
}

TEST(BroadcastShapesTest, NamesBothShapes) {
  EXPECT_EQ(MessageOf([] {
              (void)BroadcastShapes({2, 3}, {2});
            }),
            "shapes [2, 3] and [2] cannot be broadcast together");
  EXPECT_EQ(MessageOf([] { (void)BroadcastShapes({0}, {2}); }),
            "shapes [0] and [2] cannot be broadcast together");
}

}  // namespace
}  // namespace ingot
